//! Joins the tokens of an answer within a short window, so that a long answer does not become thousands of events.
//!
//! ```text
//!   token ──▶ nothing went out for a window? ──▶ out at once
//!               │ no
//!               ▼
//!             held ── more tokens of the same artifact join ──▶ out when the window is over, or it is large,
//!                                                               or the attempt says anything else
//! ```
//!
//! What is held counts as words that are not on disk yet (`Run::room`), and is given to the owner before anything that
//! was said later: the order of what a worker says never changes.

use crate::owner::{Ask, OwnerHandle};
use mesh_core::TaskId;
use mesh_core::lifecycle::Report;
use mesh_core::model::{Artifact, Content, Part};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep};

/// Bytes of text that are not held any longer.
const LARGE: usize = 16 << 10;

/// The tokens of one worker process.
pub(super) struct Tokens {
    /// Whether an attempt still has something to say.
    speaks: Box<dyn Fn(&TaskId, u32) -> bool + Send + Sync>,
    window: Duration,
    /// Held while something is given to an owner, so that nothing overtakes it.
    attempts: Mutex<HashMap<(TaskId, u32), Recent>>,
}

/// What an attempt said last.
struct Recent {
    owner: OwnerHandle,
    /// When something last went out.
    sent: Instant,
    held: Option<Held>,
}

/// Tokens that were not given to the owner yet.
#[derive(Debug)]
struct Held {
    artifact: Artifact,
    bytes: usize,
    room: Option<OwnedSemaphorePermit>,
}

impl Tokens {
    /// Without a window, every token goes out at once.
    pub(super) fn new(
        window: Duration,
        speaks: impl Fn(&TaskId, u32) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { speaks: Box::new(speaks), window, attempts: Mutex::default() })
    }

    /// Takes a token: sends it, or holds it for a while.
    pub(super) async fn token(
        self: &Arc<Self>,
        owner: OwnerHandle,
        task: &TaskId,
        attempt: u32,
        artifact: Artifact,
        room: Option<OwnedSemaphorePermit>,
    ) {
        if self.window.is_zero() {
            return send(&owner, attempt, artifact, room).await;
        }
        let mut attempts = self.attempts.lock().await;
        let now = Instant::now();
        let key = (task.clone(), attempt);
        let Some(recent) = attempts.get_mut(&key) else {
            send(&owner, attempt, artifact, room).await;
            attempts.insert(key, Recent { owner, sent: now, held: None });
            return;
        };
        let bytes = artifact.parts.iter().filter_map(Part::as_text).map(str::len).sum();
        if let Some(held) = &mut recent.held {
            if join(&mut held.artifact, &artifact) {
                held.bytes += bytes;
                match (&mut held.room, room) {
                    (Some(held), Some(more)) => held.merge(more),
                    (held, more) => *held = more,
                }
                if held.bytes >= LARGE {
                    flush(recent, attempt).await;
                }
                return;
            }
            flush(recent, attempt).await;
        } else if now.duration_since(recent.sent) >= self.window {
            recent.sent = now;
            return send(&owner, attempt, artifact, room).await;
        }
        recent.held = Some(Held { artifact, bytes, room });
        self.flush_later(key);
    }

    fn flush_later(self: &Arc<Self>, key: (TaskId, u32)) {
        let tokens = Arc::clone(self);
        tokio::spawn(async move {
            sleep(tokens.window).await;
            let mut attempts = tokens.attempts.lock().await;
            if let Some(recent) = attempts.get_mut(&key) {
                if (tokens.speaks)(&key.0, key.1) {
                    flush(recent, key.1).await;
                } else {
                    attempts.remove(&key);
                }
            }
        });
    }

    /// Gives out what is held of an attempt, before something else that it says. `ends`: it says nothing more.
    pub(super) async fn before(&self, task: &TaskId, attempt: u32, ends: bool) {
        if self.window.is_zero() {
            return;
        }
        let mut attempts = self.attempts.lock().await;
        let key = (task.clone(), attempt);
        if let Some(recent) = attempts.get_mut(&key) {
            flush(recent, attempt).await;
            if ends {
                attempts.remove(&key);
            }
        }
    }

    /// Gives out everything: the process has ended.
    pub(super) async fn end(&self) {
        for ((_, attempt), mut recent) in self.attempts.lock().await.drain() {
            flush(&mut recent, attempt).await;
        }
    }
}

async fn flush(recent: &mut Recent, attempt: u32) {
    if let Some(held) = recent.held.take() {
        recent.sent = Instant::now();
        send(&recent.owner, attempt, held.artifact, held.room).await;
    }
}

async fn send(owner: &OwnerHandle, attempt: u32, artifact: Artifact, room: Option<OwnedSemaphorePermit>) {
    let report = Report::Artifact { artifact, append: true, last_chunk: false };
    let _ = owner.send(Ask::Report { attempt, report, room }).await;
}

/// Adds the text of `next`, if it is more of the same; otherwise nothing is changed.
fn join(held: &mut Artifact, next: &Artifact) -> bool {
    let same = held.artifact_id == next.artifact_id && (next.name.is_none() || next.name == held.name);
    let [Part { content: Content::Text(text), filename: None, media_type: None, metadata: None }] =
        held.parts.as_mut_slice()
    else {
        return false;
    };
    let [Part { content: Content::Text(more), filename: None, media_type: None, metadata: None }] =
        next.parts.as_slice()
    else {
        return false;
    };
    if same {
        text.push_str(more);
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_core::ArtifactId;
    use proptest::prelude::*;
    use tokio::sync::mpsc;

    const WINDOW: Duration = Duration::from_millis(25);

    fn piece(id: &str, text: &str) -> Artifact {
        Artifact {
            artifact_id: ArtifactId::new(id),
            name: None,
            description: None,
            parts: vec![Part::text(text)],
            metadata: None,
            extensions: Vec::new(),
        }
    }

    fn tokens(window: Duration) -> (Arc<Tokens>, OwnerHandle, mpsc::Receiver<Ask>) {
        let (owner, asks) = mpsc::channel(64);
        (Tokens::new(window, |_, _| true), owner, asks)
    }

    fn said(asks: &mut mpsc::Receiver<Ask>) -> Vec<(String, String)> {
        let mut said = Vec::new();
        while let Ok(Ask::Report { report: Report::Artifact { artifact, .. }, .. }) = asks.try_recv() {
            let text = artifact.parts.iter().filter_map(Part::as_text).collect();
            said.push((artifact.artifact_id.as_str().to_owned(), text));
        }
        said
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_token_goes_out_at_once_and_those_behind_it_together() {
        let (tokens, owner, mut asks) = tokens(WINDOW);
        let task = TaskId::new("t");
        for text in ["a", "b", "c"] {
            tokens.token(owner.clone(), &task, 1, piece("r", text), None).await;
        }
        assert_eq!(said(&mut asks), [("r".to_owned(), "a".to_owned())]);
        tokens.before(&task, 1, false).await;
        assert_eq!(said(&mut asks), [("r".to_owned(), "bc".to_owned())]);
        tokio::time::advance(WINDOW).await;
        tokens.token(owner.clone(), &task, 1, piece("r", "d"), None).await;
        assert_eq!(said(&mut asks), [("r".to_owned(), "d".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_window_every_token_is_an_event() {
        let (tokens, owner, mut asks) = tokens(Duration::ZERO);
        for text in ["a", "b"] {
            tokens.token(owner.clone(), &TaskId::new("t"), 1, piece("r", text), None).await;
        }
        assert_eq!(said(&mut asks).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_large_is_not_held() {
        let (tokens, owner, mut asks) = tokens(WINDOW);
        let task = TaskId::new("t");
        for text in ["a".to_owned(), "b".to_owned(), "c".repeat(LARGE)] {
            tokens.token(owner.clone(), &task, 1, piece("r", &text), None).await;
        }
        assert_eq!(said(&mut asks).iter().map(|(_, text)| text.len()).collect::<Vec<_>>(), [1, LARGE + 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_more_than_text_is_not_joined() {
        let (mut text, mut file) = (piece("r", "a"), piece("r", "b"));
        file.parts[0].media_type = Some("text/html".to_owned());
        assert!(!join(&mut text, &file) && !join(&mut file, &text));
        let mut named = piece("r", "b");
        named.name = Some("answer".to_owned());
        assert!(!join(&mut text, &named) && join(&mut named, &text));
    }

    proptest! {
        /// Whatever is said, in whatever rhythm: every artifact gets its text, in order, and artifacts take turns as they did.
        #[test]
        fn nothing_is_lost_or_moved(
            said_at in prop::collection::vec((0..3_u8, "[a-z]{1,3}", 0..40_u64), 0..40)
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            let out = runtime.block_on(async {
                let (tokens, owner, mut asks) = tokens(WINDOW);
                let task = TaskId::new("t");
                for (id, text, pause) in &said_at {
                    tokens.token(owner.clone(), &task, 1, piece(&id.to_string(), text), None).await;
                    tokio::time::advance(Duration::from_millis(*pause)).await;
                }
                tokens.end().await;
                said(&mut asks)
            });
            let merge = |pieces: Vec<(String, String)>| pieces.into_iter().fold(Vec::<(String, String)>::new(), |mut all, (id, text)| {
                match all.last_mut() {
                    Some(last) if last.0 == id => last.1.push_str(&text),
                    _ => all.push((id, text)),
                }
                all
            });
            let given = said_at.iter().map(|(id, text, _)| (id.to_string(), text.clone())).collect();
            prop_assert_eq!(merge(out), merge(given));
        }
    }
}
