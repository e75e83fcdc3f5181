//! The text of the file and places in it.

/// A stretch of text on one or more lines, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// First line, from 1; 0 means "not written in the file" (a default).
    pub(crate) line: usize,
    /// First column, from 1.
    pub(crate) column: usize,
    /// Line of the end.
    pub(crate) end_line: usize,
    /// Column just after the end.
    pub(crate) end_column: usize,
}

impl Span {
    /// The place of something that is not in the file.
    pub(crate) const NONE: Self = Self { line: 0, column: 0, end_line: 0, end_column: 0 };

    /// A single character.
    pub(crate) const fn point(line: usize, column: usize) -> Self {
        Self { line, column, end_line: line, end_column: column + 1 }
    }

    /// Whether this is a place in the file.
    pub(crate) const fn is_written(self) -> bool {
        self.line > 0
    }
}

/// The text of the file, by line.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// Name shown in diagnostics.
    pub(crate) name: String,
    lines: Vec<&'a str>,
}

impl<'a> Source<'a> {
    /// Splits `text` into lines.
    pub(crate) fn new(name: String, text: &'a str) -> Self {
        Self { name, lines: text.lines().collect() }
    }

    /// Line number `line`, counted from 1.
    pub(crate) fn line(&self, line: usize) -> Option<&'a str> {
        self.lines.get(line.checked_sub(1)?).copied()
    }

    /// The first place inside `span` where `needle` is written.
    pub(crate) fn find(&self, span: Span, needle: &str) -> Option<Span> {
        if !span.is_written() {
            return None;
        }
        for line in span.line..=span.end_line {
            let text = self.line(line)?;
            let skip = if line == span.line { span.column - 1 } else { 0 };
            let start = text.char_indices().nth(skip).map_or(text.len(), |(at, _)| at);
            if let Some(at) = text[start..].find(needle) {
                let column = text[..start + at].chars().count() + 1;
                let end_column = column + needle.chars().count();
                return Some(Span { line, column, end_line: line, end_column });
            }
        }
        None
    }
}
