//! Who is alive, as seen from here.

use mesh_core::HostId;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// What is known of the other hosts. Pure: the caller says what time it is.
pub(super) struct Liveness {
    lease: Duration,
    seen: HashMap<HostId, Seen>,
}

struct Seen {
    /// 0: it has no record.
    version: u64,
    /// When its record was last seen to change.
    since: Instant,
}

impl Liveness {
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, seen: HashMap::new() }
    }

    /// Takes in the records as they are now.
    pub(super) fn observe(&mut self, now: Instant, records: impl Iterator<Item = (HostId, u64)>) {
        let mut missing: HashSet<HostId> = self.seen.keys().cloned().collect();
        for (host, version) in records {
            missing.remove(&host);
            let seen = self.seen.entry(host).or_insert(Seen { version: 0, since: now });
            if seen.version != version {
                *seen = Seen { version, since: now };
            }
        }
        for host in missing {
            if let Some(seen) = self.seen.get_mut(&host)
                && seen.version != 0
            {
                *seen = Seen { version: 0, since: now };
            }
        }
    }

    /// Whether a host has shown no sign of life for a whole lease. One that is named for the first time is given one.
    pub(super) fn is_lost(&mut self, now: Instant, host: &HostId) -> bool {
        let seen = self.seen.entry(host.clone()).or_insert(Seen { version: 0, since: now });
        now.duration_since(seen.since) > self.lease
    }

    /// Lost hosts that hold nothing any more: nobody needs their records. They are forgotten here, too.
    pub(super) fn forgotten(&mut self, now: Instant, holding: &HashSet<HostId>) -> Vec<HostId> {
        let lease = self.lease;
        let over = |host: &HostId, seen: &Seen| {
            now.duration_since(seen.since) > 2 * lease && !holding.contains(host)
        };
        let hosts: Vec<HostId> =
            self.seen.iter().filter(|(host, seen)| over(host, seen)).map(|(host, _)| host.clone()).collect();
        for host in &hosts {
            self.seen.remove(host);
        }
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn host() -> HostId {
        HostId::from("a")
    }

    #[test]
    fn a_host_whose_record_changes_is_alive_and_one_whose_record_stands_still_is_lost_after_a_lease() {
        let start = Instant::now();
        let mut others = Liveness::new(LEASE);
        for n in 0..10 {
            others.observe(start + n * LEASE / 2, [(host(), u64::from(n) + 1)].into_iter());
            assert!(!others.is_lost(start + n * LEASE / 2, &host()));
        }
        let last = start + 9 * LEASE / 2;
        others.observe(last + LEASE, [(host(), 10)].into_iter());
        assert!(!others.is_lost(last + LEASE, &host()), "just a lease");
        assert!(others.is_lost(last + LEASE + Duration::from_millis(1), &host()));
    }

    #[test]
    fn a_host_that_was_never_seen_is_given_a_lease_to_show_itself() {
        let start = Instant::now();
        let mut others = Liveness::new(LEASE);
        assert!(!others.is_lost(start, &host()));
        others.observe(start + LEASE, [(host(), 7)].into_iter());
        assert!(!others.is_lost(start + 2 * LEASE, &host()));
        assert!(others.is_lost(start + 3 * LEASE, &host()));
    }

    #[test]
    fn who_slept_looks_before_judging() {
        let start = Instant::now();
        let mut others = Liveness::new(LEASE);
        others.observe(start, [(host(), 1)].into_iter());
        // This host was frozen for an hour; the other one was not.
        let later = start + Duration::from_secs(3600);
        others.observe(later, [(host(), 900)].into_iter());
        assert!(!others.is_lost(later, &host()));
    }

    #[test]
    fn a_lost_host_is_forgotten_when_it_holds_nothing() {
        let start = Instant::now();
        let mut others = Liveness::new(LEASE);
        others.observe(start, [(host(), 1)].into_iter());
        let later = start + 3 * LEASE;
        assert!(others.forgotten(later, &HashSet::from([host()])).is_empty());
        assert_eq!(others.forgotten(later, &HashSet::new()), [host()]);
    }
}
