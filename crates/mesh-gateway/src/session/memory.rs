//! What this replica remembers of sessions. Losing it costs a client no call.

use hashlink::LruCache;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Sessions that are remembered; the one that was not used for the longest time is forgotten.
const SESSIONS: usize = 10_000;
/// Requests of one session that can be cancelled at the same time.
const CALLS: usize = 1000;
/// Resources that one session follows.
pub(crate) const SUBSCRIPTIONS: usize = 1000;

/// What is remembered, by the nonce of the session.
pub(crate) struct Memory {
    sessions: Mutex<LruCache<u128, Arc<Remembered>>>,
}

/// Of one session.
#[derive(Debug)]
pub(crate) struct Remembered {
    /// Its requests under way, by the text of their id.
    calls: Mutex<HashMap<Box<str>, CancellationToken>>,
    log_level: Mutex<Option<Box<str>>>,
    /// Resources it follows, by the names that the client uses.
    pub(crate) followed: watch::Sender<BTreeSet<String>>,
    /// The client ended it.
    pub(crate) ended: CancellationToken,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { sessions: Mutex::new(LruCache::new(SESSIONS)) }
    }

    /// What is remembered of a session; `None` if the client ended it.
    pub(crate) fn of(&self, nonce: u128) -> Option<Arc<Remembered>> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sessions.get(&nonce) {
            return (!known.ended.is_cancelled()).then(|| Arc::clone(known));
        }
        let new = Arc::new(Remembered {
            calls: Mutex::default(),
            log_level: Mutex::default(),
            followed: watch::Sender::new(BTreeSet::new()),
            ended: CancellationToken::new(),
        });
        sessions.insert(nonce, Arc::clone(&new));
        Some(new)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remembered {
    /// Notes a request, so that it can be cancelled. Two with the same id cannot be told apart: the second cannot be.
    pub(crate) fn call(self: &Arc<Self>, id: &str) -> Call {
        let cancelled = self.ended.child_token();
        let mut calls = lock(&self.calls);
        let noted = calls.len() < CALLS && !calls.contains_key(id);
        if noted {
            calls.insert(id.into(), cancelled.clone());
        }
        drop(calls);
        Call { of: noted.then(|| (Arc::clone(self), id.into())), cancelled }
    }

    /// The client does not want the answer any more.
    pub(crate) fn cancel(&self, id: &str) {
        if let Some(call) = lock(&self.calls).get(id) {
            call.cancel();
        }
    }

    /// `logging/setLevel`, raw.
    pub(crate) fn set_log_level(&self, level: &str) {
        *lock(&self.log_level) = Some(level.into());
    }

    pub(crate) fn log_level(&self) -> Option<Box<str>> {
        lock(&self.log_level).clone()
    }
}

/// A request under way.
pub(crate) struct Call {
    of: Option<(Arc<Remembered>, Box<str>)>,
    pub(crate) cancelled: CancellationToken,
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some((session, id)) = &self.of {
            lock(&session.calls).remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_can_be_cancelled_by_its_id_while_it_is_under_way() {
        let memory = Memory::new();
        let session = memory.of(1).unwrap();
        let (first, second) = (session.call("1"), session.call("\"1\""));
        memory.of(1).unwrap().cancel("1");
        assert!(first.cancelled.is_cancelled() && !second.cancelled.is_cancelled());
        drop(first);
        let again = session.call("1");
        assert!(!again.cancelled.is_cancelled());
        session.ended.cancel();
        assert!(again.cancelled.is_cancelled() && memory.of(1).is_none() && memory.of(2).is_some());
    }
}
