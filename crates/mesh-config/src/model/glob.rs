use std::fmt;

use serde::{Serialize, Serializer};

/// Longest tool name that MCP allows.
const LONGEST: usize = 128;

/// The name of a tool, with `*` for any characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn allows(text: &str) -> bool {
        (1..=LONGEST).contains(&text.chars().count())
            && !text.contains(|char: char| char.is_control() || char.is_whitespace())
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the name of one tool.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `pattern` stands for `name`.
    #[must_use]
    pub fn covers(pattern: &str, name: &str) -> bool {
        matches(pattern, name)
    }

    /// Whether it stands for `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }
}

/// Whether `name` is what `pattern` says, each `*` being any characters or none.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return name.ends_with(piece);
        }
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
    }
    true
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_characters_or_none() {
        for (pattern, name) in [
            ("get", "get"),
            ("*", ""),
            ("get_*", "get_"),
            ("*_x", "a_x"),
            ("a*b*c", "a1b2b3c"),
            ("a**c", "abc"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("get", "get_x"),
            ("get_*", "get"),
            ("*_x", "a_xy"),
            ("a*b*c", "acb"),
            ("xy*yx", "xyx"),
            ("a*a", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
