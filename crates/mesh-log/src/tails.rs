//! Who follows which task.

use mesh_core::{Seq, TaskKey};
use std::collections::HashMap;
use tokio::sync::watch;

/// Unused entries that are always tolerated, so that a small registry is never swept.
const SLACK: usize = 64;

/// One watch channel per followed task.
///
/// A receiver that is dropped tells nobody, so entries without receivers are removed when their task is appended to,
/// and all of them whenever the registry has doubled since it was last swept: it never holds more than twice the
/// followed tasks and a few, at a constant cost per `follow`.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    followed: HashMap<TaskKey, watch::Sender<Seq>>,
    sweep_at: usize,
}

impl Tails {
    /// A receiver for the task. Its value is a lower bound until [`raise`](Self::raise) is called with the truth.
    pub(crate) fn follow(&mut self, key: &TaskKey) -> watch::Receiver<Seq> {
        if let Some(sender) = self.followed.get(key) {
            return sender.subscribe();
        }
        if self.followed.len() >= self.sweep_at.max(SLACK) {
            self.followed.retain(|_, sender| sender.receiver_count() > 0);
            self.sweep_at = 2 * self.followed.len();
        }
        let (sender, receiver) = watch::channel(0);
        self.followed.insert(key.clone(), sender);
        receiver
    }

    /// The task is at least at `seq`.
    pub(crate) fn raise(&mut self, key: &TaskKey, seq: Seq) {
        let Some(sender) = self.followed.get(key) else { return };
        if sender.receiver_count() == 0 {
            self.followed.remove(key);
            return;
        }
        sender.send_if_modified(|known| {
            let grows = seq > *known;
            *known = seq.max(*known);
            grows
        });
    }

    /// Entries held, used or not.
    pub(crate) fn len(&self) -> usize {
        self.followed.len()
    }

    /// Ends every receiver.
    pub(crate) fn clear(&mut self) {
        self.followed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> TaskKey {
        TaskKey::new("t".into(), n.to_string().into())
    }

    #[test]
    fn followers_that_went_away_leave_no_entries_behind() {
        let mut tails = Tails::default();
        let kept: Vec<_> = (0..100).map(|n| tails.follow(&key(n))).collect();
        for n in 0..10_000 {
            drop(tails.follow(&key(1000 + n)));
        }
        assert!(tails.len() <= 2 * kept.len() + SLACK, "{} entries for 100 followers", tails.len());
        tails.raise(&key(7), 3);
        assert_eq!(*kept[7].borrow(), 3);
    }

    #[test]
    fn an_append_to_a_task_that_nobody_follows_any_more_frees_its_entry() {
        let mut tails = Tails::default();
        drop(tails.follow(&key(1)));
        tails.raise(&key(1), 1);
        assert_eq!(tails.len(), 0);
    }

    #[test]
    fn a_tail_never_goes_back() {
        let mut tails = Tails::default();
        let receiver = tails.follow(&key(1));
        tails.raise(&key(1), 5);
        tails.raise(&key(1), 4);
        assert_eq!(*receiver.borrow(), 5);
    }
}
