//! YAML text as a tree in which every value knows its place.
//!
//! The parser gives events one by one, so depth, aliases and size are bounded while reading, not afterwards.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use crate::diagnostic::Severity;
use crate::render::Finding;
use crate::source::Span;

/// Deepest nesting; the mesh file itself needs 7.
pub(crate) const MAX_DEPTH: usize = 32;
/// Most values in a file after aliases are replaced by what they stand for.
pub(crate) const MAX_NODES: usize = 200_000;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// Text, a number, …: what it means is up to the field. Quoted text is not `plain`.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Node {
    const fn null(span: Span) -> Self {
        Self { span, value: Value::Null }
    }

    /// Whether nothing is written here.
    pub(crate) const fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The entries, if this is a mapping.
    pub(crate) fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The value under `key`, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Everything in it, itself included.
    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Self::count).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.count()).sum(),
        }
    }

    /// How deep it is, itself included.
    fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(entries) => entries.iter().map(|entry| entry.node.depth()).max().unwrap_or(0),
        }
    }

    /// Forgets all places: this is a default, not something in the file.
    pub(crate) fn unplaced(mut self) -> Self {
        self.span = Span::NONE;
        self.value = match self.value {
            Value::List(items) => Value::List(items.into_iter().map(Self::unplaced).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|entry| Entry { key_span: Span::NONE, node: entry.node.unplaced(), ..entry })
                    .collect(),
            ),
            other => other,
        };
        self
    }
}

/// Reads `text`. The tree is there unless the text is not YAML at all; findings may come with either.
pub(crate) fn read(text: &str) -> (Option<Node>, Vec<Finding>) {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let done = match event {
            Ok((event, span)) => builder.take(event, convert(span)),
            Err(error) => Err(syntax(&error)),
        };
        if let Err(finding) = done {
            builder.findings.push(finding);
            return (None, builder.findings);
        }
    }
    let root = builder.root.unwrap_or(Node::null(Span::point(1, 1)));
    (Some(root), builder.findings)
}

fn convert(span: saphyr_parser::Span) -> Span {
    Span {
        line: span.start.line().max(1),
        column: span.start.col() + 1,
        end_line: span.end.line().max(span.start.line()).max(1),
        end_column: span.end.col() + 1,
    }
}

fn error(span: Span, message: impl Into<String>) -> Finding {
    Finding { severity: Severity::Error, span, message: message.into(), help: None }
}

fn syntax(scan: &ScanError) -> Finding {
    let span = Span::point(scan.marker().line().max(1), scan.marker().col() + 1);
    // The parser has a bound of its own, and reads ahead of the events that are counted here.
    if scan.info().contains("recursion limit") {
        return too_deep(span);
    }
    let mut finding = error(span, format!("this is not YAML: {}", scan.info()));
    if scan.info().contains("flow") || scan.info().contains("block mapping") {
        finding.help = Some("text with `{`, `}`, `[`, `]`, `,` or `: ` in it needs quotes".to_owned());
    }
    finding
}

/// A list or mapping that is not finished.
struct Open {
    anchor: usize,
    span: Span,
    shape: Shape,
}

enum Shape {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, lines: HashMap<String, usize>, key: Option<Key> },
}

impl Shape {
    fn empty_map() -> Self {
        Self::Map { entries: Vec::new(), lines: HashMap::new(), key: None }
    }
}

/// The key read last, waiting for its value.
enum Key {
    Good(String, Span),
    /// Repeated or not text: reported, its value is dropped.
    Bad,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
    findings: Vec<Finding>,
}

impl Builder {
    /// Takes one event; an error here ends the reading.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(error(span, "a mesh file holds one document, a second one begins here"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.is_some(), span);
                let plain = style == ScalarStyle::Plain;
                let value = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Value::Null
                } else {
                    Value::Scalar { text: text.into_owned(), plain }
                };
                self.spend(1, span)?;
                self.place(Node { span, value }, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.is_some(), span);
                self.begin(Open { anchor, span, shape: Shape::List(Vec::new()) })?;
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.is_some(), span);
                self.begin(Open { anchor, span, shape: Shape::empty_map() })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(error(span, "this alias is used inside the value that it stands for"));
                };
                let (count, depth) = (node.count(), node.depth());
                if self.open.len() + depth > MAX_DEPTH {
                    return Err(too_deep(span));
                }
                let node = node.clone();
                self.spend(count, span)?;
                self.place(Node { span, ..node }, 0);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn no_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            self.findings.push(error(span, "YAML tags (`!…`) have no meaning in a mesh file"));
        }
    }

    fn spend(&mut self, nodes: usize, span: Span) -> Result<(), Finding> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(error(
                span,
                format!("the file has more than {MAX_NODES} values (aliases count in full)"),
            ));
        }
        Ok(())
    }

    fn begin(&mut self, open: Open) -> Result<(), Finding> {
        self.spend(1, open.span)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(open.span));
        }
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, end: Span) {
        let Some(open) = self.open.pop() else { return };
        let value = match open.shape {
            Shape::List(items) => Value::List(items),
            Shape::Map { entries, .. } => Value::Map(entries),
        };
        let span = Span { end_line: end.end_line, end_column: end.end_column, ..open.span };
        self.place(Node { span, value }, open.anchor);
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut parent.shape {
            Shape::List(items) => items.push(node),
            Shape::Map { entries, lines, key } => match key.take() {
                None => *key = Some(read_key(node, lines, &mut self.findings)),
                Some(Key::Good(key, key_span)) => entries.push(Entry { key, key_span, node }),
                Some(Key::Bad) => {}
            },
        }
    }
}

fn too_deep(span: Span) -> Finding {
    error(span, format!("nested deeper than {MAX_DEPTH} levels"))
}

/// Reads a key; `lines` says where each key of the mapping was written first.
fn read_key(node: Node, lines: &mut HashMap<String, usize>, findings: &mut Vec<Finding>) -> Key {
    let Value::Scalar { text, .. } = node.value else {
        findings.push(error(node.span, "a field name must be text"));
        return Key::Bad;
    };
    let Some(first) = lines.get(&text) else {
        lines.insert(text.clone(), node.span.line);
        return Key::Good(text, node.span);
    };
    let mut finding = error(node.span, format!("`{}` is written twice", crate::context::shorten(&text)));
    finding.help = Some(format!("first written in line {first}"));
    findings.push(finding);
    Key::Bad
}
