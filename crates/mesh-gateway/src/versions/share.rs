//! A part of the calls, in percent.

use mesh_core::Principal;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};

/// So many of a hundred calls, evenly among the others.
#[derive(Debug)]
pub(super) struct Share {
    percent: u64,
    calls: AtomicU64,
}

impl Share {
    pub(super) fn new(percent: u8) -> Self {
        Self { percent: percent.into(), calls: AtomicU64::new(0) }
    }

    /// Whether the next call belongs to the part: of any hundred calls in a row, exactly the percentage does.
    pub(super) fn next(&self) -> bool {
        let n = self.calls.fetch_add(1, Ordering::Relaxed) % 100;
        (n + 1) * self.percent / 100 != n * self.percent / 100
    }

    /// Whether a principal belongs to the part: always the same answer, in every replica, and also with a greater percentage.
    pub(super) fn has(&self, upstream: &str, principal: &Principal) -> bool {
        let mut hash = Sha256::new();
        let behind = principal.on_behalf_of.as_ref().map(|id| id.as_str()).unwrap_or_default();
        for part in [upstream, principal.tenant.as_str(), principal.id.as_str(), behind] {
            hash.update(part);
            hash.update([0]);
        }
        let [first, second, ..]: [u8; 32] = hash.finalize().into();
        u64::from(u16::from_be_bytes([first, second])) * 100 / 65536 < self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_calls_exactly_the_percentage_belongs_to_the_part() {
        for percent in [0, 1, 7, 33, 50, 99, 100] {
            let share = Share::new(percent);
            for _ in 0..3 {
                assert_eq!((0..100).filter(|_| share.next()).count(), usize::from(percent));
            }
        }
        let half = Share::new(50);
        assert_eq!((0..4).map(|_| half.next()).collect::<Vec<_>>(), [false, true, false, true]);
    }

    #[test]
    fn a_principal_stays_on_its_side_also_when_the_part_grows() {
        let principals: Vec<_> =
            (0..1000).map(|n| Principal::person("default", format!("p{n}").as_str())).collect();
        let side = |percent| {
            let share = Share::new(percent);
            principals.iter().map(|principal| share.has("crm", principal)).collect::<Vec<_>>()
        };
        let (few, many) = (side(10), side(30));
        assert!(few.iter().zip(&many).all(|(few, many)| !few || *many));
        assert!((50..150).contains(&few.iter().filter(|side| **side).count()));
        assert!(side(0).iter().all(|side| !side) && side(100).iter().all(|side| *side));
    }
}
