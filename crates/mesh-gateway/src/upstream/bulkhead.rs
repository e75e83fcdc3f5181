//! How many calls one upstream may have under way and waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounded concurrency with a bounded queue in front, first come first served.
#[derive(Debug)]
pub(crate) struct Bulkhead {
    running: Arc<Semaphore>,
    waiting: Semaphore,
    concurrency: usize,
    queue: usize,
    refused: AtomicU64,
}

/// How full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BulkheadLoad {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
    /// Calls that were refused so far.
    pub(crate) refused: u64,
}

/// The right to have one call under way.
#[derive(Debug)]
pub(crate) struct Permit {
    _running: OwnedSemaphorePermit,
}

/// Too many wait already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Bulkhead {
    pub(crate) fn new(concurrency: usize, queue: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(concurrency)),
            waiting: Semaphore::new(queue),
            concurrency,
            queue,
            refused: AtomicU64::new(0),
        }
    }

    /// How full it is now.
    pub(crate) fn load(&self) -> BulkheadLoad {
        BulkheadLoad {
            running: self.concurrency.saturating_sub(self.running.available_permits()),
            waiting: self.queue.saturating_sub(self.waiting.available_permits()),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Waits for a turn, if there is room to wait.
    pub(crate) async fn enter(&self) -> Result<Permit, Full> {
        if let Ok(running) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(Permit { _running: running });
        }
        let _place = self.waiting.try_acquire().map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Full
        })?;
        // Neither semaphore is ever closed.
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Full)?;
        Ok(Permit { _running: running })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_runs_one_waits_and_the_third_is_refused() {
        let bulkhead = Bulkhead::new(1, 1);
        let first = bulkhead.enter().await.unwrap();
        let mut second = Box::pin(bulkhead.enter());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(bulkhead.enter().await.unwrap_err(), Full);
        assert_eq!(bulkhead.load(), BulkheadLoad { running: 1, waiting: 1, refused: 1 });
        drop(first);
        second.await.unwrap();
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_its_place() {
        let bulkhead = Bulkhead::new(1, 1);
        let first = bulkhead.enter().await.unwrap();
        let mut second = Box::pin(bulkhead.enter());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(second);
        let mut third = Box::pin(bulkhead.enter());
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(first);
        third.await.unwrap();
    }
}
