//! What is wrong with a file, and how it is shown.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but somebody should look at this.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A place in the file, with the text found there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line itself, or the part of it around the place. Secrets in it are masked.
    pub excerpt: String,
    /// Where in `excerpt` the place begins, in characters from 0.
    pub offset: usize,
    /// How many characters it covers, at least 1.
    pub length: usize,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, if that is known.
    pub help: Option<String>,
    /// The file as the caller named it.
    pub file: String,
    /// Where; `None` when it concerns the file as a whole.
    pub position: Option<Position>,
}

impl Diagnostic {
    /// An error about the file as a whole.
    pub(crate) fn about_file(file: &str, message: String) -> Self {
        Self { severity: Severity::Error, message, help: None, file: file.to_owned(), position: None }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.message)?;
        let Some(place) = &self.position else {
            write!(f, "\n --> {}", self.file)?;
            return self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  = {help}"));
        };
        let number = place.line.to_string();
        let blank = " ".repeat(number.len());
        let indent = " ".repeat(place.offset);
        let carets = "^".repeat(place.length);
        write!(f, "\n{blank}--> {}:{}:{}", self.file, place.line, place.column)?;
        write!(f, "\n{blank} |\n{number} | {}\n{blank} | {indent}{carets}", place.excerpt)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " {help}"))
    }
}

/// Everything that is wrong with a file, in the order of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there were than are listed.
    pub omitted: usize,
}

impl Report {
    /// How many of the listed findings are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|found| found.severity == Severity::Error).count()
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n\n… and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
