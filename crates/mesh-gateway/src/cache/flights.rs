//! Questions that are being asked, so that nobody asks the same at the same time.

use super::entry::Entry;
use super::key::Key;
use super::store::Cache;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a caller is to do.
pub(crate) enum Seat {
    /// Take this answer. `shared`: it was on its way when the caller came.
    Kept { entry: Arc<Entry>, shared: bool },
    /// Ask, and tell the others.
    Lead(Lead),
    /// Ask, and keep the answer to himself: what another asked could not be kept.
    Alone,
}

/// Where a question is.
#[derive(Clone)]
enum Flight {
    Open,
    /// Answered; with nothing, if the answer cannot be kept.
    Landed(Option<Arc<Entry>>),
}

/// One question each, under its first key. There are never more than callers.
#[derive(Default)]
pub(super) struct Flights {
    open: Mutex<HashMap<Key, watch::Receiver<Flight>>>,
}

impl Flights {
    pub(super) async fn seat(&self, cache: &Arc<Cache>, keys: &[Key]) -> Seat {
        let Some(first) = keys.first() else { return Seat::Alone };
        if let Some(entry) = cache.find(keys) {
            return Seat::Kept { entry, shared: false };
        }
        loop {
            let mut flight = {
                let mut open = self.lock();
                match open.get(first) {
                    Some(flight) => flight.clone(),
                    None => {
                        // It may have landed since this looked.
                        if let Some(entry) = cache.find(keys) {
                            return Seat::Kept { entry, shared: false };
                        }
                        let (tell, flight) = watch::channel(Flight::Open);
                        open.insert(*first, flight);
                        return Seat::Lead(Lead { cache: Arc::clone(cache), key: *first, tell });
                    }
                }
            };
            let landed = flight.wait_for(|flight| matches!(flight, Flight::Landed(_))).await;
            match landed.map(|flight| flight.clone()) {
                Ok(Flight::Landed(Some(entry))) => return Seat::Kept { entry, shared: true },
                Ok(_) => return Seat::Alone,
                // Whoever asked is gone: the first to notice asks instead.
                Err(_) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Flight>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to ask. Dropped, it passes to one of those who wait.
pub(crate) struct Lead {
    cache: Arc<Cache>,
    key: Key,
    tell: watch::Sender<Flight>,
}

impl Lead {
    /// There is an answer: what of it is kept, if anything, and under which key.
    pub(crate) fn landed(self, kept: Option<(Key, Arc<Entry>)>) {
        let entry = kept.map(|(key, entry)| {
            self.cache.keep(key, Arc::clone(&entry));
            entry
        });
        self.tell.send_replace(Flight::Landed(entry));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.cache.flights().lock().remove(&self.key);
    }
}
