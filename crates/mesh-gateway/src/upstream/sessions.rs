//! What an upstream with sessions keeps for each conversation: at most so many, for so long.

use super::UpstreamError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Something that is ended when its conversation is over.
pub(crate) trait Session: Send + Sync + 'static {
    /// Ends it, in the background.
    fn end(self: Arc<Self>);
}

/// The place of one conversation's session. Who holds it uses it: it is not ended meanwhile.
pub(crate) type Place<T> = Arc<OnceCell<Arc<T>>>;

/// Sessions by the key of their conversation.
pub(crate) struct Sessions<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    open: Mutex<Open<T>>,
    limit: usize,
    idle: Duration,
}

struct Open<T> {
    places: HashMap<[u8; 32], (Place<T>, Instant)>,
    /// Somebody looks after those whose time is over.
    watched: bool,
    closed: bool,
}

impl<T: Session> Sessions<T> {
    pub(crate) fn new(limit: usize, idle: Duration) -> Self {
        let open = Open { places: HashMap::new(), watched: false, closed: false };
        Self { shared: Arc::new(Shared { open: Mutex::new(open), limit, idle }) }
    }

    /// The place of a conversation. If there are too many, the one that was not used for the longest time goes.
    pub(crate) fn place(&self, key: &[u8; 32]) -> Result<Place<T>, UpstreamError> {
        let now = Instant::now();
        let mut open = self.shared.lock();
        if let Some((place, used)) = open.places.get_mut(key) {
            *used = now;
            return Ok(Arc::clone(place));
        }
        if open.closed {
            return Err(UpstreamError::unavailable("it is shut down"));
        }
        if open.places.len() >= self.shared.limit {
            let resting = open.places.iter().filter(|(_, (place, _))| Arc::strong_count(place) == 1);
            let oldest = resting.min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            let Some(oldest) = oldest else {
                let all = format!("all {} of its sessions are in use", self.shared.limit);
                return Err(UpstreamError::not_sent(all));
            };
            end(open.places.remove(&oldest));
        }
        let place = Place::default();
        open.places.insert(*key, (Arc::clone(&place), now));
        if !std::mem::replace(&mut open.watched, true) {
            tokio::spawn(watch(Arc::downgrade(&self.shared)));
        }
        Ok(place)
    }

    /// Forgets a place whose session is gone, unless that was done already.
    pub(crate) fn forget(&self, key: &[u8; 32], old: &Place<T>) {
        let mut open = self.shared.lock();
        if open.places.get(key).is_some_and(|(place, _)| Arc::ptr_eq(place, old)) {
            open.places.remove(key);
        }
    }

    /// Takes the session of a conversation out, without ending it.
    pub(crate) fn take(&self, key: &[u8; 32]) -> Option<Arc<T>> {
        self.shared.lock().places.remove(key).and_then(|(place, _)| place.get().cloned())
    }

    /// Takes all out, without ending them; no new ones are opened.
    pub(crate) fn close(&self) -> Vec<Arc<T>> {
        let mut open = self.shared.lock();
        open.closed = true;
        open.places.drain().filter_map(|(_, (place, _))| place.get().cloned()).collect()
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Open<T>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end<T: Session>(place: Option<(Place<T>, Instant)>) {
    if let Some(session) = place.and_then(|(place, _)| place.get().cloned()) {
        session.end();
    }
}

/// Ends what was not used for too long, until nothing is left.
async fn watch<T: Session>(shared: Weak<Shared<T>>) {
    loop {
        let Some(pause) = shared.upgrade().map(|shared| shared.idle / 4) else { return };
        tokio::time::sleep(pause).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut open = shared.lock();
        let over = |(place, used): &mut (Place<T>, Instant)| {
            if Arc::strong_count(place) > 1 {
                // Its time begins when it is not in use any more.
                *used = Instant::now();
            }
            used.elapsed() >= shared.idle
        };
        let over: Vec<_> = open.places.extract_if(|_, entry| over(entry)).collect();
        over.into_iter().for_each(|(_, entry)| end(Some(entry)));
        if open.places.is_empty() {
            open.watched = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Session for Flag {
        fn end(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn ended(flag: &Flag) -> bool {
        flag.0.load(Ordering::SeqCst)
    }

    async fn open(sessions: &Sessions<Flag>, key: u8) -> (Place<Flag>, Arc<Flag>) {
        let place = sessions.place(&[key; 32]).unwrap();
        let flag = place.get_or_init(async || Arc::default()).await.clone();
        (place, flag)
    }

    #[tokio::test]
    async fn the_one_that_rested_longest_goes_and_none_in_use() {
        tokio::time::pause();
        let sessions = Sessions::new(2, Duration::from_secs(60));
        let (held, first) = open(&sessions, 1).await;
        let (_, second) = open(&sessions, 2).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let (also_held, third) = open(&sessions, 3).await;
        assert!(!ended(&first) && ended(&second) && !ended(&third));
        assert!(sessions.place(&[4; 32]).is_err(), "both are in use");
        drop((held, also_held));
        assert!(Arc::ptr_eq(&first, &open(&sessions, 1).await.1), "the same conversation, the same session");
    }

    #[tokio::test]
    async fn what_is_not_used_ends_by_itself() {
        tokio::time::pause();
        let sessions = Sessions::new(2, Duration::from_secs(60));
        let (place, flag) = open(&sessions, 1).await;
        tokio::time::sleep(Duration::from_secs(200)).await;
        assert!(!ended(&flag));
        drop(place);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(ended(&flag));
        assert!(sessions.close().is_empty());
        assert!(sessions.place(&[1; 32]).is_err(), "nothing is opened after the end");
    }
}
