//! The card of one agent, fetched from its host and kept.

use super::interfaces::{self, Interface};
use super::rewrite::{self, Door};
use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use mesh_card::PublicKey;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How long the host of an agent may take to give its card.
const WAIT: Duration = Duration::from_secs(5);
/// How long a host that failed is left alone.
const PAUSE: Duration = Duration::from_secs(2);

/// Doors for which a rewritten card is kept.
const DOORS: usize = 8;

/// A card as the agent wrote it.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) body: Bytes,
    pub(crate) description: Option<String>,
    pub(crate) skills: serde_json::Value,
    /// Words of it, for searching.
    pub(crate) tags: Vec<String>,
    /// Where it says that it is spoken to.
    pub(crate) interfaces: Vec<Interface>,
    /// The tag under which the host serves it.
    theirs: Option<HeaderValue>,
    /// As it is served here.
    served: Mutex<Vec<(Door, Served)>>,
}

/// A card with the gateway's addresses, and the tag under which we serve it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) body: Bytes,
    pub(crate) etag: String,
}

impl Card {
    /// Reads a card. `keys` are those of which one must have signed it, if there are any.
    pub(crate) fn read(body: Bytes, theirs: Option<HeaderValue>, keys: &[PublicKey]) -> Result<Self, String> {
        let mut json: serde_json::Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        if !json.is_object() {
            return Err("the card is not an object".to_owned());
        }
        if !keys.is_empty() {
            check_signature(&json, keys)?;
        }
        let description = json["description"].as_str().map(str::to_owned);
        let interfaces = interfaces::read(&json);
        let skills = json["skills"].take();
        let tags = |skill: &serde_json::Value| {
            let tags = skill["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
            tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let tags = skills.as_array().map(Vec::as_slice).unwrap_or_default().iter().flat_map(tags).collect();
        Ok(Self { description, skills, tags, interfaces, theirs, served: Mutex::default(), body })
    }

    /// The card as it is served at a door.
    pub(crate) fn at(&self, door: &Door) -> Option<Served> {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = served.iter().find(|(known, _)| known == door) {
            return Some(known.clone());
        }
        let text = rewrite::card(str::from_utf8(&self.body).ok()?, door)?;
        let fresh = Served { etag: etag(text.as_bytes()), body: text.into() };
        if served.len() == DOORS {
            served.remove(0);
        }
        served.push((door.clone(), fresh.clone()));
        Some(fresh)
    }
}

/// Whether one of the keys has signed the card.
fn check_signature(card: &serde_json::Value, keys: &[PublicKey]) -> Result<(), String> {
    let claimed: Vec<_> = mesh_card::signatures(card).into_iter().filter_map(Result::ok).collect();
    if claimed.is_empty() {
        return Err("the card is not signed".to_owned());
    }
    let fits = claimed.iter().any(|claimed| {
        let answering = keys.iter().filter(|key| key.answers_to(&claimed.kid));
        answering.into_iter().any(|key| mesh_card::verify(card, claimed, key).is_ok())
    });
    if fits { Ok(()) } else { Err("none of the configured keys has signed the card".to_owned()) }
}

/// Where a card is, and how it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) client: &'a reqwest::Client,
    pub(crate) url: &'a str,
    /// The agent's credentials.
    pub(crate) headers: &'a HeaderMap,
    /// For those who speak 1.0; an agent that speaks 0.3 as well says more to others.
    pub(crate) modern: bool,
    pub(crate) keys: &'a [PublicKey],
}

/// The last known card. One fetch at a time; a host that is down costs one attempt per pause.
pub(crate) struct CardCache {
    state: Mutex<State>,
    fetching: Semaphore,
    ttl: Duration,
    limit: usize,
}

#[derive(Default)]
struct State {
    card: Option<Arc<Card>>,
    next_look: Option<Instant>,
    /// Why it could not be had the last time.
    failure: Option<String>,
    /// It was given, and is not asked for.
    given: bool,
}

impl CardCache {
    pub(crate) fn new(ttl: Duration, limit: usize) -> Self {
        Self { state: Mutex::default(), fetching: Semaphore::new(1), ttl, limit }
    }

    /// A card that is never asked for, because its agent came with it.
    pub(crate) fn given(card: Arc<Card>, limit: usize) -> Self {
        let state = State { card: Some(card), given: true, ..State::default() };
        Self { state: Mutex::new(state), fetching: Semaphore::new(1), ttl: Duration::MAX, limit }
    }

    /// Why the card could not be had the last time it was asked for, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// What is known, without asking.
    pub(crate) fn known(&self) -> Option<Arc<Card>> {
        self.lock().card.clone()
    }

    /// The card, asked for again if it is not current; the last known one if the host does not answer.
    pub(crate) async fn current(&self, ask: Ask<'_>) -> Option<Arc<Card>> {
        if !self.lock().is_due() {
            return self.known();
        }
        // The semaphore is never closed.
        let _turn = self.fetching.acquire().await.ok()?;
        if !self.lock().is_due() {
            return self.known();
        }
        let _ = self.fetch(ask).await;
        self.known()
    }

    /// Asks for the card whether it is current or not: whether the host answers.
    pub(crate) async fn look(&self, ask: Ask<'_>) -> Result<(), String> {
        let _turn = self.fetching.acquire().await.map_err(|error| error.to_string())?;
        self.fetch(ask).await
    }

    async fn fetch(&self, ask: Ask<'_>) -> Result<(), String> {
        let known = self.known();
        let fetched = tokio::time::timeout(WAIT, fetch(ask, known.as_deref(), self.limit)).await;
        let fetched = fetched.unwrap_or_else(|_| Err(format!("no card within {} s", WAIT.as_secs())));
        let mut state = self.lock();
        match fetched {
            Ok((fresh, ttl)) => {
                if let Some(fresh) = fresh {
                    state.card = Some(Arc::new(fresh));
                }
                state.failure = None;
                state.next_look = Some(Instant::now() + ttl.unwrap_or(self.ttl).min(self.ttl));
                Ok(())
            }
            Err(why) => {
                tracing::debug!(url = ask.url, why, "a card cannot be fetched");
                state.failure = Some(why.clone());
                state.next_look = Some(Instant::now() + PAUSE);
                Err(why)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_due(&self) -> bool {
        !self.given && self.next_look.is_none_or(|at| at <= Instant::now())
    }
}

/// Asks the host. No card means that the known one is still right.
async fn fetch(
    ask: Ask<'_>,
    known: Option<&Card>,
    limit: usize,
) -> Result<(Option<Card>, Option<Duration>), String> {
    let mut request = ask.client.get(ask.url).headers(ask.headers.clone());
    if ask.modern {
        request = request.header("a2a-version", "1.0");
    }
    if let Some(theirs) = known.and_then(|known| known.theirs.as_ref()) {
        request = request.header(IF_NONE_MATCH, theirs);
    }
    let mut response = request.send().await.map_err(|error| innermost(&error))?;
    let ttl = max_age(response.headers());
    match response.status() {
        StatusCode::NOT_MODIFIED if known.is_some() => return Ok((None, ttl)),
        StatusCode::OK => {}
        status => return Err(format!("HTTP {status}")),
    }
    let theirs = response.headers().get(ETAG).cloned();
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|error| error.to_string())? {
        if body.len() + piece.len() > limit {
            return Err(format!("the card is larger than {limit} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok((Some(Card::read(body.freeze(), theirs, ask.keys)?), ttl))
}

/// The innermost cause says what happened; the layers above only say that something did.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

pub(crate) fn etag(body: &[u8]) -> String {
    let mut tag = String::from("\"");
    for byte in &Sha256::digest(body)[..16] {
        // Writing to a `String` cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let control = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    control.split(',').find_map(|directive| match directive.trim().split_once('=') {
        Some(("max-age", seconds)) => seconds.parse().ok().map(Duration::from_secs),
        None if directive.trim() == "no-cache" => Some(Duration::ZERO),
        _ => None,
    })
}
