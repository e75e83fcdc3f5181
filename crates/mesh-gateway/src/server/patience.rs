//! A deadline that stands still while a client is asked something: people take longer than tools.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The time that a call has.
#[derive(Debug)]
pub(crate) struct Patience {
    clock: Mutex<Clock>,
    changed: Notify,
}

#[derive(Debug)]
struct Clock {
    deadline: Instant,
    /// Questions that are open, and since when there are some.
    open: usize,
    since: Instant,
}

/// The time is up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Late;

/// While this is held, no time passes.
pub(crate) struct Pause(Arc<Patience>);

impl Patience {
    pub(crate) fn until(deadline: Instant) -> Arc<Self> {
        let clock = Clock { deadline, open: 0, since: deadline };
        Arc::new(Self { clock: Mutex::new(clock), changed: Notify::new() })
    }

    /// Stops the clock.
    pub(crate) fn pause(self: &Arc<Self>) -> Pause {
        let mut clock = self.lock();
        if clock.open == 0 {
            clock.since = Instant::now();
        }
        clock.open += 1;
        drop(clock);
        self.changed.notify_waiters();
        Pause(Arc::clone(self))
    }

    /// Waits for work until the time is up.
    pub(crate) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Late> {
        tokio::pin!(work);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let end = {
                let clock = self.lock();
                (clock.open == 0).then_some(clock.deadline)
            };
            let up = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = changed => {}
                () = up => return Err(Late),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        let mut clock = self.0.lock();
        clock.open -= 1;
        if clock.open == 0 {
            let stood = clock.since.elapsed();
            clock.deadline += stood;
        }
        drop(clock);
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn time_passes_only_while_nothing_is_asked() {
        let patience = Patience::until(Instant::now() + 3 * SECOND);
        let work = async {
            tokio::time::sleep(2 * SECOND).await;
            let pause = patience.pause();
            tokio::time::sleep(60 * SECOND).await;
            drop(pause);
            tokio::time::sleep(SECOND / 2).await;
        };
        assert_eq!(patience.within(work).await, Ok(()));
        let more = tokio::time::sleep(SECOND);
        assert_eq!(patience.within(more).await, Err(Late));
    }
}
