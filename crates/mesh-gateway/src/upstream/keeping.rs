//! Which answers of an upstream are kept, for how long and for whom, and how they come into the cache.

use super::held::{Guard, hold};
use super::safety::{self, ToolHints};
use super::{Announcement, Answer, Answered, Asker, Outgoing, ResultText, Terms, UpstreamError};
use crate::cache::{Cache, CacheCounts, Entry, Generations, Hints, Key, KeyParts, Lead, Seat, keepable};
use bytes::{Bytes, BytesMut};
use mesh_config::Glob;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// `_meta` of a request whose sender wants no answer that was kept. It is for the gateway and goes no further.
pub(super) const NO_CACHE: &str = "agentmesh/no-cache";

/// Members of `_meta` that do not change an answer.
const HARMLESS: &[&str] = &["baggage", "traceparent", "tracestate", "progressToken"];

/// What an upstream's answers are kept by.
pub(crate) struct Keeping {
    cache: Arc<Cache>,
    generations: Generations,
    policy: mesh_config::Cache,
}

/// A request whose answer may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// The key of its sender's own answer, and of one for everybody.
    private: Key,
    public: Key,
    /// How long the configuration keeps it; zero: not at all, unless the server says so.
    ttl: Duration,
    /// The configuration calls it public.
    is_public: bool,
    /// What the server says counts.
    hints: bool,
}

impl Question {
    /// Where to look for an answer.
    fn keys(&self) -> [Key; 2] {
        if self.is_public { [self.public, self.public] } else { [self.private, self.public] }
    }

    /// For how long an answer is kept, and whether for everybody.
    fn terms(&self, hints: Hints) -> (Duration, bool) {
        let ttl = hints.ttl.filter(|_| self.hints).unwrap_or(self.ttl);
        (ttl, self.is_public || self.hints && hints.public)
    }
}

impl Keeping {
    /// `None` if nothing is kept.
    pub(super) fn new(policy: &mesh_config::Cache) -> Option<Arc<Self>> {
        policy.is_used().then(|| {
            let (cache, generations) = (Cache::new(policy.max_bytes), Generations::default());
            Arc::new(Self { cache, generations, policy: policy.clone() })
        })
    }

    /// What is asked, if its answer may be kept.
    pub(super) fn question(&self, outgoing: &Outgoing<'_>, terms: &Terms<'_>) -> Option<Question> {
        let name = outgoing.name?;
        let (ttl, hints, generation) = match outgoing.method {
            "tools/call" => (self.tool_ttl(name, terms.hints)?, false, self.generations.tools()),
            "resources/read" if !self.policy.resources.is_zero() || self.policy.hints => {
                (self.policy.resources, self.policy.hints, self.generations.resource(name))
            }
            _ => return None,
        };
        let plain = outgoing.meta.members().all(|(name, _)| HARMLESS.contains(&name));
        if !plain || safety::continues(outgoing) || outgoing.params.get("task").is_some() {
            return None;
        }
        let params: Vec<_> = outgoing.params.members().filter(|(name, _)| *name != "name").collect();
        let parts = KeyParts {
            principal: terms.principal,
            public: true,
            method: outgoing.method,
            name,
            params: &params,
            capabilities: outgoing.client.capabilities,
            generation,
        };
        let is_public = self.policy.public.iter().any(|glob| glob.matches(name));
        let public = parts.key()?;
        let private = if is_public { public } else { KeyParts { public: false, ..parts }.key()? };
        Some(Question { private, public, ttl, is_public, hints })
    }

    /// How long answers of a tool are kept: what its name says, or the longest pattern that covers it.
    fn tool_ttl(&self, name: &str, hints: Option<ToolHints>) -> Option<Duration> {
        if let Some(ttl) = self.policy.tools.get(name) {
            return Some(*ttl);
        }
        let covers = |pattern: &&String| pattern.contains('*') && Glob::covers(pattern, name);
        let pattern = self.policy.tools.keys().filter(covers).max_by_key(|pattern| pattern.len())?;
        let writes = hints.is_some_and(|hints| hints.read_only_hint == Some(false));
        self.policy.tools.get(pattern).copied().filter(|_| !writes)
    }

    /// The answer that is kept, or the right to ask.
    pub(super) async fn seat(&self, question: &Question) -> Result<Answered, Option<Lead>> {
        match self.cache.seat(&question.keys()).await {
            Seat::Kept { entry, .. } => {
                let text = entry.served(Instant::now());
                Ok(Answered { answer: Answer::Result(ResultText::Whole(text)), modern: entry.modern })
            }
            Seat::Lead(lead) => Err(Some(lead)),
            Seat::Alone => Err(None),
        }
    }

    /// The sender wants a new answer.
    pub(super) fn bypass(&self) {
        self.cache.bypass();
    }

    /// Keeps an answer, if it is one to keep, and lets those know who wait for it. `asked`: the client was asked
    /// something, so the answer is to what it said, too.
    pub(super) fn keep(
        &self,
        question: Question,
        lead: Option<Lead>,
        answered: Answered,
        asked: Option<Arc<AtomicBool>>,
    ) -> Answered {
        let Answered { answer: Answer::Result(text), modern } = answered else {
            land(lead);
            return answered;
        };
        let lead = match &text {
            ResultText::Whole(_) => lead,
            // It may take as long as its reader takes.
            ResultText::Streamed(_) => {
                land(lead);
                None
            }
        };
        let keep =
            Keep { cache: Arc::clone(&self.cache), question, lead, asked, modern, text: Some(Text::None) };
        Answered { answer: Answer::Result(hold(text, keep, None)), modern }
    }

    /// Something changed at the server.
    pub(super) fn heard(&self, announcement: &Announcement) {
        match announcement {
            Announcement::Tools => self.generations.tools_changed(),
            Announcement::Resources => self.generations.resources_changed(),
            Announcement::Updated { uri, .. } => self.generations.resource_changed(uri),
            Announcement::Resumed => {
                self.generations.tools_changed();
                self.generations.resources_changed();
            }
            Announcement::Prompts | Announcement::Other { .. } => {}
        }
    }

    pub(crate) fn counts(&self) -> CacheCounts {
        self.cache.counts()
    }
}

/// There is nothing to keep.
pub(super) fn land(lead: Option<Lead>) {
    if let Some(lead) = lead {
        lead.landed(None);
    }
}

/// Collects a result on its way to the client.
struct Keep {
    cache: Arc<Cache>,
    question: Question,
    lead: Option<Lead>,
    asked: Option<Arc<AtomicBool>>,
    modern: bool,
    /// `None` if it is too large.
    text: Option<Text>,
}

enum Text {
    None,
    One(Bytes),
    Several(BytesMut),
}

impl Guard for Keep {
    fn piece(&mut self, piece: &Bytes) {
        let Some(text) = self.text.take() else { return };
        let text = match text {
            Text::None => Text::One(piece.clone()),
            Text::One(first) => Text::Several([&first[..], piece].concat().as_slice().into()),
            Text::Several(mut text) => {
                text.extend_from_slice(piece);
                Text::Several(text)
            }
        };
        let length = match &text {
            Text::None => 0,
            Text::One(text) => text.len(),
            Text::Several(text) => text.len(),
        };
        self.text = (length <= self.cache.largest()).then_some(text);
    }

    fn ended(&mut self, error: Option<&UpstreamError>) {
        let lead = self.lead.take();
        let text = self.text.take().filter(|_| error.is_none()).map(|text| match text {
            Text::None => Bytes::new(),
            // A copy: the original may be a part of something larger.
            Text::One(text) => Bytes::copy_from_slice(&text),
            Text::Several(text) => text.freeze(),
        });
        let asked = self.asked.as_ref().is_some_and(|asked| asked.load(Relaxed));
        let kept = text.filter(|_| !asked).and_then(|text| self.kept(text));
        match (lead, kept) {
            (Some(lead), kept) => lead.landed(kept),
            (None, Some((key, entry))) => self.cache.keep(key, entry),
            (None, None) => {}
        }
    }
}

impl Keep {
    fn kept(&self, text: Bytes) -> Option<(Key, Arc<Entry>)> {
        let mut hints = keepable(&text)?;
        if !self.modern {
            // Only the modern revision knows them.
            hints = Hints { ttl: None, public: false };
        }
        let (ttl, public) = self.question.terms(hints);
        if ttl.is_zero() {
            return None;
        }
        let key = if public { self.question.public } else { self.question.private };
        Some((key, Arc::new(Entry::new(text, self.modern, hints, ttl))))
    }
}

/// A client's side that notes whether the server used it.
pub(super) struct Watched {
    client: Arc<dyn Asker>,
    asked: Arc<AtomicBool>,
}

impl Watched {
    /// Puts itself between a request and its client.
    pub(super) fn over(outgoing: &mut Outgoing<'_>) -> Option<Arc<AtomicBool>> {
        let client = outgoing.asker.take()?;
        let asked = Arc::new(AtomicBool::new(false));
        outgoing.asker = Some(Arc::new(Self { client, asked: Arc::clone(&asked) }));
        Some(asked)
    }
}

#[async_trait::async_trait]
impl Asker for Watched {
    async fn ask(&self, method: &str, params: Option<&str>) -> Answer {
        self.asked.store(true, Relaxed);
        self.client.ask(method, params).await
    }
}
