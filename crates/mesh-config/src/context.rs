//! What every decoder works with: where it is, what it may look up, and what it found.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::diagnostic::Severity;
use crate::expand::{Expanded, expand};
use crate::render::{Finding, MAX_FINDINGS};
use crate::source::{Source, Span};
use crate::suggest::nearest;
use crate::tree::{Node, Value};

/// An address that something will listen on.
#[derive(Debug)]
pub(crate) struct Listens {
    pub(crate) path: String,
    pub(crate) address: SocketAddr,
    pub(crate) span: Span,
}

/// The mention of an upstream or agent that must exist.
#[derive(Debug)]
pub(crate) struct Mention {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) span: Span,
}

/// What was seen on the way, for the checks that look at the whole file. Kept apart from the decoded values so
/// that these checks also run on a file that has other errors.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) listens: Vec<Listens>,
    pub(crate) upstreams: Vec<Mention>,
    pub(crate) peers: Vec<Mention>,
}

/// One step from the root to the value being decoded.
struct Step {
    name: String,
    /// The key in the file; [`Span::NONE`] for list items and defaults.
    key: Span,
}

/// Passed through all decoders.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) facts: Facts,
    pub(crate) findings: Vec<Finding>,
    pub(crate) omitted: usize,
    /// What the whole is called.
    pub(crate) whole: &'static str,
    folder: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
    steps: Vec<Step>,
}

impl<'a> Context<'a> {
    /// Begins at the root of `source`; relative paths start from `folder`.
    pub(crate) fn new(
        source: &'a Source<'a>,
        folder: &'a Path,
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            source,
            facts: Facts::default(),
            findings: Vec::new(),
            omitted: 0,
            whole: "the mesh file",
            folder,
            env,
            steps: Vec::new(),
        }
    }

    /// Runs `decode` one step further down.
    pub(crate) fn inside<T>(&mut self, name: &str, key: Span, decode: impl FnOnce(&mut Self) -> T) -> T {
        self.steps.push(Step { name: name.to_owned(), key });
        let result = decode(self);
        self.steps.pop();
        result
    }

    /// Where we are, like `agents.sales.tasks`.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            if !path.is_empty() && !step.name.starts_with('[') {
                path.push('.');
            }
            path.push_str(&shorten(&step.name));
        }
        path
    }

    /// Where we are, for use in a sentence.
    pub(crate) fn place(&self) -> String {
        if self.steps.is_empty() { self.whole.to_owned() } else { self.path() }
    }

    /// The key whose value is being decoded, or `node` itself where there is no key.
    pub(crate) fn key_span(&self, node: &Node) -> Span {
        self.steps.last().map(|step| step.key).filter(|span| span.is_written()).unwrap_or(node.span)
    }

    /// The name of the key whose value is being decoded.
    pub(crate) fn key_name(&self) -> &str {
        self.steps.last().map_or("", |step| &step.name)
    }

    /// Notes an error.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.note(Severity::Error, span, message.into(), None);
    }

    /// Notes an error and what to do about it.
    pub(crate) fn error_with_help(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.note(Severity::Error, span, message.into(), Some(help.into()));
    }

    /// Notes a finding; beyond [`MAX_FINDINGS`] they are only counted.
    pub(crate) fn note(&mut self, severity: Severity, span: Span, message: String, help: Option<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { severity, span, message, help });
        } else {
            self.omitted += 1;
        }
    }

    /// Notes that `written` is none of `valid`, and which of them is nearest.
    pub(crate) fn unknown<'v>(
        &mut self,
        span: Span,
        message: String,
        written: &str,
        valid: impl IntoIterator<Item = &'v str>,
    ) {
        // Looking for the nearest name takes time, which a finding that is only counted is not worth.
        let near = if self.findings.len() < MAX_FINDINGS { nearest(written, valid) } else { None };
        let help = near.map(|name| format!("did you mean `{}`?", shorten(name)));
        self.note(Severity::Error, span, message, help);
    }

    /// Notes that something else was expected than `node`.
    pub(crate) fn expected(&mut self, node: &Node, what: &str) {
        self.error(node.span, format!("expected {what}, found {}", describe(node)));
    }

    /// The text of a scalar with its references replaced; anything else is reported.
    pub(crate) fn scalar(&mut self, node: &Node, what: &str) -> Option<Expanded> {
        let Value::Scalar { text, .. } = &node.value else {
            self.expected(node, what);
            return None;
        };
        match expand(text, self.env) {
            Ok(expanded) if expanded.text.contains('\0') => {
                self.error(node.span, "text cannot have a NUL character in it");
                None
            }
            Ok(expanded) => Some(expanded),
            Err(bad) => {
                let span = self.source.find(node.span, &bad.at).map_or(node.span, |found| match bad.help {
                    Some(_) => Span { end_column: found.end_column + 1, ..found },
                    None => found,
                });
                self.note(Severity::Error, span, format!("{} ({})", bad.message, self.path()), bad.help);
                None
            }
        }
    }

    /// What [`Self::scalar`] would give, without reporting anything.
    pub(crate) fn peek(&self, node: &Node) -> Option<String> {
        let Value::Scalar { text, .. } = &node.value else { return None };
        expand(text, self.env).ok().map(|expanded| expanded.text)
    }

    /// `path` seen from the folder of the file.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path).components().collect()
    }
}

/// A value as words in a sentence. Of a variable, only the name is told: its value may be a secret.
pub(crate) fn describe(node: &Node) -> String {
    match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::Scalar { text, .. } if text.contains("${") => format!("the value of `{}`", shorten(text)),
        Value::Scalar { text, plain: true } => format!("`{}`", shorten(text)),
        Value::Scalar { text, plain: false } => format!("the text \"{}\"", shorten(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// Text from the file, made fit for a message: short and without control characters.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String =
        text.chars().take(LONGEST).map(|char| if char.is_control() { ' ' } else { char }).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
