//! What is kept, within a bound in bytes.

use super::entry::Entry;
use super::flights::{Flights, Seat};
use super::key::Key;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

/// The part of the bound that one answer may take.
const PART: u64 = 8;

#[derive(Clone)]
struct Weigh;

impl quick_cache::Weighter<Key, Arc<Entry>> for Weigh {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        entry.weight() as u64
    }
}

/// The answers of one upstream. Old ones are dropped when there is no room, or found to be too old when asked for.
pub(crate) struct Cache {
    entries: quick_cache::sync::Cache<Key, Arc<Entry>, Weigh>,
    flights: Flights,
    largest: usize,
    hits: AtomicU64,
    misses: AtomicU64,
    shared: AtomicU64,
    bypassed: AtomicU64,
    /// Milliseconds, of all hits together.
    age: AtomicU64,
}

/// What a cache did so far, and what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CacheCounts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// Answered by the question of another caller.
    pub(crate) shared: u64,
    pub(crate) bypassed: u64,
    pub(crate) age_ms: u64,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Cache {
    /// A cache of up to `max_bytes`.
    pub(crate) fn new(max_bytes: u64) -> Arc<Self> {
        let largest = max_bytes / PART;
        // How many entries it is made for is only a hint, for the shares of its shards.
        let expected = usize::try_from(max_bytes / 4096).unwrap_or(usize::MAX).clamp(16, 100_000);
        let entries = quick_cache::sync::Cache::with_weighter(expected, max_bytes, Weigh);
        Arc::new(Self {
            entries,
            flights: Flights::default(),
            largest: usize::try_from(largest).unwrap_or(usize::MAX),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            bypassed: AtomicU64::new(0),
            age: AtomicU64::new(0),
        })
    }

    /// The largest result that is kept, in bytes.
    pub(crate) fn largest(&self) -> usize {
        self.largest
    }

    /// An answer to one of these questions, or the right to ask. While another asks, this waits for its answer.
    pub(crate) async fn seat(self: &Arc<Self>, keys: &[Key]) -> Seat {
        let seat = self.flights.seat(self, keys).await;
        let counter = match &seat {
            Seat::Kept { entry, shared } => {
                let age = entry.stored.elapsed().as_millis();
                self.age.fetch_add(u64::try_from(age).unwrap_or(0), Ordering::Relaxed);
                if *shared { &self.shared } else { &self.hits }
            }
            Seat::Lead(_) | Seat::Alone => &self.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        seat
    }

    /// A caller did not want what is kept.
    pub(crate) fn bypass(&self) {
        self.bypassed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheCounts {
            hits: read(&self.hits),
            misses: read(&self.misses),
            shared: read(&self.shared),
            bypassed: read(&self.bypassed),
            age_ms: read(&self.age),
            entries: self.entries.len() as u64,
            bytes: self.entries.weight(),
        }
    }

    /// Whatever is kept under one of the keys and still holds.
    pub(super) fn find(&self, keys: &[Key]) -> Option<Arc<Entry>> {
        let now = Instant::now();
        keys.iter().find_map(|key| {
            let entry = self.entries.get(key)?;
            if now < entry.until {
                return Some(entry);
            }
            self.entries.remove_if(key, |kept| Arc::ptr_eq(kept, &entry));
            None
        })
    }

    /// Keeps an answer, unless it is too large.
    pub(crate) fn keep(&self, key: Key, entry: Arc<Entry>) {
        if entry.weight() <= self.largest {
            self.entries.insert(key, entry);
        }
    }

    pub(super) fn flights(&self) -> &Flights {
        &self.flights
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::keepable;
    use super::super::flights::Lead;
    use super::*;
    use std::time::Duration;

    fn entry(text: &str, secs: u64) -> Arc<Entry> {
        let hints = keepable(text.as_bytes()).unwrap();
        Arc::new(Entry::new(text.to_owned().into(), true, hints, Duration::from_secs(secs)))
    }

    fn key(number: u64) -> Key {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    async fn lead(cache: &Arc<Cache>, number: u64) -> Lead {
        match cache.seat(&[key(number)]).await {
            Seat::Lead(lead) => lead,
            Seat::Kept { .. } | Seat::Alone => panic!("somebody else asks, or the answer is there"),
        }
    }

    async fn kept(cache: &Arc<Cache>, number: u64) -> Option<String> {
        match cache.seat(&[key(number)]).await {
            Seat::Kept { entry, .. } => Some(String::from_utf8(entry.result.to_vec()).unwrap()),
            Seat::Lead(_) | Seat::Alone => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_served_until_it_is_too_old() {
        let cache = Cache::new(1 << 20);
        lead(&cache, 1).await.landed(Some((key(1), entry(r#"{"a":1}"#, 10))));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(kept(&cache, 1).await.unwrap(), r#"{"a":1}"#);
        let counts = cache.counts();
        assert_eq!((counts.hits, counts.misses, counts.age_ms, counts.entries), (1, 1, 4_000, 1));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(kept(&cache, 1).await, None);
        assert_eq!(cache.counts().entries, 0);
    }

    #[tokio::test]
    async fn one_asks_and_the_others_wait_for_its_answer() {
        let cache = Cache::new(1 << 20);
        let leader = lead(&cache, 1).await;
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(kept(&cache, 1))).collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        lead(&cache, 2).await.landed(None);
        leader.landed(Some((key(1), entry(r#"{"a":1}"#, 10))));
        for one in waiting {
            assert_eq!(one.await.unwrap(), r#"{"a":1}"#);
        }
        assert_eq!((cache.counts().shared, cache.counts().misses), (5, 2));
    }

    #[tokio::test]
    async fn a_leader_that_is_dropped_hands_over() {
        let cache = Cache::new(1 << 20);
        let leader = lead(&cache, 1).await;
        let mut second = Box::pin(lead(&cache, 1));
        let mut third = Box::pin(kept(&cache, 1));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(leader);
        let second = second.await;
        assert!(futures_util::poll!(&mut third).is_pending());
        second.landed(Some((key(1), entry("{}", 10))));
        assert_eq!(third.await.unwrap(), "{}");
    }

    #[tokio::test]
    async fn when_there_is_nothing_to_keep_everybody_asks_for_himself() {
        let cache = Cache::new(1 << 20);
        let leader = lead(&cache, 1).await;
        let mut others: Vec<_> = (0..3).map(|_| Box::pin(cache_seat(&cache))).collect();
        for one in &mut others {
            assert!(futures_util::poll!(one).is_pending());
        }
        leader.landed(None);
        for one in others {
            assert!(matches!(one.await, Seat::Alone), "one after the other would add up their waits");
        }
    }

    async fn cache_seat(cache: &Arc<Cache>) -> Seat {
        cache.seat(&[key(1)]).await
    }

    #[tokio::test]
    async fn the_bound_in_bytes_holds_and_no_answer_takes_all_of_it() {
        let cache = Cache::new(64 << 10);
        let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000));
        for number in 0..500 {
            cache.keep(key(number), entry(&text, 10));
            assert!(cache.counts().bytes <= 64 << 10);
        }
        assert!(cache.counts().entries > 10);
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(9_000));
        cache.keep(key(1_000), entry(&large, 10));
        assert!(cache.find(&[key(1_000)]).is_none());
    }
}
