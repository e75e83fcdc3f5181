//! What has changed since an answer was kept.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

const STRIPES: usize = 64;

/// Numbers that grow when something changes: one for all tools of an upstream, and one for each of a fixed number of
/// groups of its resources. A resource that changes takes the others of its group with it, which costs a question too
/// many and needs no list of what there is.
#[derive(Debug)]
pub(crate) struct Generations {
    tools: AtomicU64,
    resources: [AtomicU64; STRIPES],
    hasher: std::hash::RandomState,
}

impl Default for Generations {
    fn default() -> Self {
        Self {
            tools: AtomicU64::new(0),
            resources: [const { AtomicU64::new(0) }; STRIPES],
            hasher: std::hash::RandomState::new(),
        }
    }
}

impl Generations {
    pub(crate) fn tools(&self) -> u64 {
        self.tools.load(Ordering::Acquire)
    }

    pub(crate) fn resource(&self, uri: &str) -> u64 {
        self.group(uri).load(Ordering::Acquire)
    }

    /// Tools changed, and with them perhaps what they answer.
    pub(crate) fn tools_changed(&self) {
        self.tools.fetch_add(1, Ordering::AcqRel);
    }

    /// One resource changed.
    pub(crate) fn resource_changed(&self, uri: &str) {
        self.group(uri).fetch_add(1, Ordering::AcqRel);
    }

    /// Any resource may have changed.
    pub(crate) fn resources_changed(&self) {
        for group in &self.resources {
            group.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn group(&self, uri: &str) -> &AtomicU64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(uri.as_bytes());
        &self.resources[hasher.finish() as usize % STRIPES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own() {
        let generations = Generations::default();
        let all = |uri: &str| (generations.tools(), generations.resource(uri));
        generations.tools_changed();
        assert_eq!(all("a"), (1, 0));
        generations.resource_changed("a");
        assert_eq!(all("a"), (1, 1));
        let before = generations.resource("b");
        generations.resources_changed();
        assert_eq!((all("a"), generations.resource("b")), ((1, 2), before + 1));
    }
}
