use std::collections::BTreeMap;

use super::Glob;
use crate::kinds::{Flag, List, Opt, Text};
use crate::section::section;

section! {
    /// What is said about tools of an upstream, instead of or besides what the upstream says.
    pub struct ToolRule {
        /// What kind of tool it is.
        category: Option<String> as Opt<Text>,
        /// Words to find it by.
        tags: Option<Vec<String>> as Opt<List<Text>>,
        /// Whether it changes nothing: such calls may be cached and shadowed.
        read_only: Option<bool> as Opt<Flag>,
        /// Whether calling it twice is like calling it once: such calls may be repeated.
        idempotent: Option<bool> as Opt<Flag>,
        /// Whether it is left out of lists. It can still be called.
        hidden: Option<bool> as Opt<Flag>,
        /// What it is for, instead of what the upstream says.
        description: Option<String> as Opt<Text>,
    }
}

/// Which tools of an upstream there are, and what is said about them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Only these tools exist; empty: all of them.
    pub include: Vec<Glob>,
    /// These do not.
    pub exclude: Vec<Glob>,
    /// What is said about tools, by pattern.
    pub rules: BTreeMap<String, ToolRule>,
}

impl Selection {
    /// Whether nothing is left out and nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty() && self.rules.is_empty()
    }

    /// Whether a tool of this name exists for anybody. What is excluded is excluded, also when it is included.
    #[must_use]
    pub fn admits(&self, tool: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|glob| glob.matches(tool)))
            && !self.exclude.iter().any(|glob| glob.matches(tool))
    }

    /// Whether a tool is left out of lists.
    #[must_use]
    pub fn hides(&self, tool: &str) -> bool {
        self.rules.values().any(|rule| rule.hidden.is_some()) && self.rule(tool).hidden == Some(true)
    }

    /// What is said about a tool. Where several patterns say something, each field comes from the nearest: the exact name,
    /// then the pattern with the most characters.
    #[must_use]
    pub fn rule(&self, tool: &str) -> ToolRule {
        let mut found: Vec<_> =
            self.rules.iter().filter(|(pattern, _)| Glob::covers(pattern, tool)).collect();
        let distance = |pattern: &str| (pattern.contains('*'), usize::MAX - pattern.len());
        found.sort_by_key(|(pattern, _)| distance(pattern));
        let mut said = ToolRule {
            category: None,
            tags: None,
            read_only: None,
            idempotent: None,
            hidden: None,
            description: None,
        };
        for (_, rule) in found {
            said.category = said.category.or_else(|| rule.category.clone());
            said.tags = said.tags.or_else(|| rule.tags.clone());
            said.read_only = said.read_only.or(rule.read_only);
            said.idempotent = said.idempotent.or(rule.idempotent);
            said.hidden = said.hidden.or(rule.hidden);
            said.description = said.description.or_else(|| rule.description.clone());
        }
        said
    }
}
