//! The newest events of the tasks that were appended to last, so that who follows a tail needs no disk.

use crate::contract::{ReadLimit, StoredEvent};
use hashlink::LruCache;
use mesh_core::{Seq, TaskKey};
use std::collections::VecDeque;

/// How much of the newest events is kept in memory for those who follow a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailCache {
    /// Events of one task at most.
    pub task_events: usize,
    /// Bytes of one task at most.
    pub task_bytes: usize,
    /// Bytes of all tasks together at most.
    pub total_bytes: usize,
}

impl Default for TailCache {
    fn default() -> Self {
        Self { task_events: 256, task_bytes: 256 << 10, total_bytes: 64 << 20 }
    }
}

/// What an event costs beside its bytes, and a ring beside its events; both rounded up.
const EVENT_OVERHEAD: usize = 128;
const RING_OVERHEAD: usize = 256;

/// The last events of one task, without a gap, up to the task's last one.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<StoredEvent>,
    bytes: usize,
    /// A commit is under way that adds events: from some moment on, the file holds more than the ring.
    behind: bool,
}

/// The rings of all tasks within one bound; the task that was appended to longest ago goes first.
///
/// No attention is paid to who follows what: a follower who has kept up needs only events that are still to come, and
/// these make their task the newest.
#[derive(Debug)]
pub(crate) struct Rings {
    rings: LruCache<TaskKey, Ring>,
    events: usize,
    bytes: usize,
    bounds: TailCache,
}

fn cost(event: &StoredEvent) -> usize {
    event.public.len() + event.private.as_ref().map_or(0, bytes::Bytes::len) + EVENT_OVERHEAD
}

impl Rings {
    pub(crate) fn new(bounds: TailCache) -> Self {
        Self { rings: LruCache::new_unbounded(), events: 0, bytes: 0, bounds }
    }

    /// Says that events of the task are about to be committed. Until they are [pushed](Self::push), or the commit
    /// failed and the ring is [current](Self::settle) again, the ring does not know whether it has the last event.
    pub(crate) fn expect(&mut self, key: &TaskKey) {
        if let Some(ring) = self.rings.peek_mut(key) {
            ring.behind = true;
        }
    }

    /// Says that nothing was committed.
    pub(crate) fn settle(&mut self, key: &TaskKey) {
        if let Some(ring) = self.rings.peek_mut(key) {
            ring.behind = false;
        }
    }

    /// Takes in what was just recorded.
    pub(crate) fn push(&mut self, key: &TaskKey, events: impl Iterator<Item = StoredEvent>) {
        let mut ring = self.rings.remove(key).unwrap_or_else(|| {
            self.bytes += RING_OVERHEAD;
            Ring::default()
        });
        ring.behind = false;
        let (count, bytes) = (ring.events.len(), ring.bytes);
        for event in events {
            debug_assert!(ring.events.back().is_none_or(|last| last.seq + 1 == event.seq), "no gap");
            ring.bytes += cost(&event);
            ring.events.push_back(event);
        }
        while ring.events.len() > self.bounds.task_events || ring.bytes > self.bounds.task_bytes {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.bytes -= cost(&oldest);
        }
        self.events = self.events + ring.events.len() - count;
        self.bytes = self.bytes + ring.bytes - bytes;
        self.rings.insert(key.clone(), ring);
        while self.bytes > self.bounds.total_bytes {
            let Some((_, ring)) = self.rings.remove_lru() else { break };
            self.events -= ring.events.len();
            self.bytes -= ring.bytes + RING_OVERHEAD;
        }
    }

    /// The events after `after`, if they are here; `None` if only the disk knows.
    pub(crate) fn read(&self, key: &TaskKey, after: Seq, limit: ReadLimit) -> Option<Vec<StoredEvent>> {
        let Ring { events: ring, behind, .. } = self.rings.peek(key)?;
        let first = ring.front()?.seq;
        let skip = usize::try_from(after.checked_add(1)?.checked_sub(first)?).unwrap_or(usize::MAX);
        let mut room = limit.bytes;
        let mut taken = Vec::new();
        for event in ring.iter().skip(skip).take(limit.events.max(1)) {
            if !taken.is_empty() && event.public.len() > room {
                break;
            }
            room = room.saturating_sub(event.public.len());
            taken.push(limit.show(event.clone()));
        }
        // That there is nothing more is only said when it is so.
        (!taken.is_empty() || !behind).then_some(taken)
    }

    /// Takes in events that may be known here already, or may come after some that are not: then the ring begins anew.
    /// For logs with other writers, whose events come from two sides.
    pub(crate) fn offer(&mut self, key: &TaskKey, events: &[StoredEvent]) {
        let Some(first) = events.first() else { return };
        let last = self.rings.peek(key).and_then(|ring| ring.events.back()).map(|event| event.seq);
        match last {
            Some(last) if first.seq <= last => return,
            Some(last) if first.seq > last + 1 => self.forget(key),
            _ => {}
        }
        self.push(key, events.iter().cloned());
    }

    /// Drops the task's ring: what was in it is not in the log any more, or begins anew.
    pub(crate) fn forget(&mut self, key: &TaskKey) {
        if let Some(ring) = self.rings.remove(key) {
            self.events -= ring.events.len();
            self.bytes -= ring.bytes + RING_OVERHEAD;
        }
    }

    /// The number of the task's last event, if it is known here.
    pub(crate) fn last(&self, key: &TaskKey) -> Option<Seq> {
        let ring = self.rings.peek(key).filter(|ring| !ring.behind)?;
        ring.events.back().map(|event| event.seq)
    }

    /// Tasks, events and bytes held.
    pub(crate) fn size(&self) -> (usize, usize, usize) {
        (self.rings.len(), self.events, self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const BOUNDS: TailCache = TailCache { task_events: 4, task_bytes: 4096, total_bytes: 8192 };

    fn key(n: usize) -> TaskKey {
        TaskKey::new("t".into(), n.to_string().into())
    }

    fn events(range: std::ops::RangeInclusive<Seq>, size: usize) -> impl Iterator<Item = StoredEvent> {
        range.map(move |seq| StoredEvent { seq, public: Bytes::from(vec![b'x'; size]), private: None })
    }

    fn read(rings: &Rings, after: Seq) -> Option<Vec<Seq>> {
        let read = rings.read(&key(1), after, ReadLimit::default())?;
        Some(read.into_iter().map(|event| event.seq).collect())
    }

    #[test]
    fn a_ring_serves_what_it_holds_and_leaves_older_positions_to_the_disk() {
        let mut rings = Rings::new(BOUNDS);
        rings.push(&key(1), events(1..=3, 10));
        assert_eq!(read(&rings, 0), Some(vec![1, 2, 3]));
        rings.push(&key(1), events(4..=6, 10));
        assert_eq!(read(&rings, 1), None);
        assert_eq!(read(&rings, 2), Some(vec![3, 4, 5, 6]));
        assert_eq!(read(&rings, 6), Some(vec![]));
        assert_eq!(read(&rings, Seq::MAX), None);
        assert_eq!(rings.last(&key(1)), Some(6));
    }

    #[test]
    fn while_a_commit_is_under_way_a_ring_does_not_say_that_there_is_nothing_more() {
        let mut rings = Rings::new(BOUNDS);
        rings.push(&key(1), events(1..=3, 10));
        rings.expect(&key(1));
        assert_eq!((read(&rings, 2), read(&rings, 3), rings.last(&key(1))), (Some(vec![3]), None, None));
        rings.settle(&key(1));
        assert_eq!((read(&rings, 3), rings.last(&key(1))), (Some(vec![]), Some(3)));
        rings.expect(&key(1));
        rings.push(&key(1), events(4..=4, 10));
        assert_eq!((read(&rings, 3), rings.last(&key(1))), (Some(vec![4]), Some(4)));
    }

    #[test]
    fn what_is_offered_twice_is_kept_once_and_a_gap_begins_a_new_ring() {
        let mut rings = Rings::new(BOUNDS);
        let offer = |rings: &mut Rings, range| rings.offer(&key(1), &events(range, 10).collect::<Vec<_>>());
        offer(&mut rings, 1..=2);
        offer(&mut rings, 1..=2);
        offer(&mut rings, 3..=3);
        assert_eq!(read(&rings, 0), Some(vec![1, 2, 3]));
        offer(&mut rings, 5..=6);
        assert_eq!((read(&rings, 3), read(&rings, 4)), (None, Some(vec![5, 6])));
        offer(&mut rings, 4..=4);
        assert_eq!(read(&rings, 4), Some(vec![5, 6]));
        assert_eq!(rings.size(), (1, 2, 2 * (10 + EVENT_OVERHEAD) + RING_OVERHEAD));
    }

    #[test]
    fn a_read_stops_at_its_limit_but_returns_at_least_one_event() {
        let mut rings = Rings::new(BOUNDS);
        rings.push(&key(1), events(1..=3, 100));
        let count =
            |events, bytes| rings.read(&key(1), 0, ReadLimit::new(events, bytes)).map(|read| read.len());
        assert_eq!(count(2, 1000), Some(2));
        assert_eq!(count(9, 250), Some(2));
        assert_eq!(count(9, 1), Some(1));
    }

    #[test]
    fn the_bounds_hold_whatever_is_appended() {
        let mut rings = Rings::new(BOUNDS);
        let mut last = [0; 40];
        for n in 0..1000 {
            let (task, size) = (n * 13 % 40, n * 7 % 5000);
            last[task] += 1;
            rings.push(&key(task), events(last[task]..=last[task], size));
            let (tasks, held, bytes) = rings.size();
            assert!(bytes <= BOUNDS.total_bytes && held <= tasks * BOUNDS.task_events);
        }
        let sum = |of: fn(&Ring) -> usize| rings.rings.iter().map(|(_, ring)| of(ring)).sum::<usize>();
        assert_eq!(rings.size().1, sum(|ring| ring.events.len()));
        assert_eq!(rings.size().2, sum(|ring| ring.bytes + RING_OVERHEAD));
    }
}
