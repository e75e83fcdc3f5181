//! The card of one agent, fetched from its host and kept.

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Where A2A hosts serve their card.
const PATH: &str = "/.well-known/agent-card.json";
/// How long a host that failed is left alone.
const PAUSE: Duration = Duration::from_secs(2);

/// A card, and the tag under which we serve it.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) body: Bytes,
    pub(super) etag: String,
    pub(super) description: Option<String>,
    pub(super) skills: serde_json::Value,
    /// The tag under which the host serves it.
    theirs: Option<HeaderValue>,
}

/// The last known card. One fetch at a time; a host that is down costs one attempt per pause.
pub(super) struct CardCache {
    state: Mutex<State>,
    fetching: Semaphore,
    ttl: Duration,
    limit: usize,
}

#[derive(Default)]
struct State {
    card: Option<Arc<Card>>,
    next_look: Option<Instant>,
}

impl CardCache {
    pub(super) fn new(ttl: Duration, limit: usize) -> Self {
        Self { state: Mutex::default(), fetching: Semaphore::new(1), ttl, limit }
    }

    /// What is known, without asking.
    pub(super) fn known(&self) -> Option<Arc<Card>> {
        self.lock().card.clone()
    }

    /// The card, asked for again if it is not current; the last known one if the host does not answer.
    pub(super) async fn current(&self, client: &reqwest::Client, host: &str) -> Option<Arc<Card>> {
        let due = |state: &State| state.next_look.is_none_or(|at| at <= Instant::now());
        if !due(&self.lock()) {
            return self.known();
        }
        // The semaphore is never closed.
        let _turn = self.fetching.acquire().await.ok()?;
        let known = {
            let state = self.lock();
            if !due(&state) {
                return state.card.clone();
            }
            state.card.clone()
        };
        match fetch(client, host, known.as_deref(), self.limit).await {
            Ok((fresh, ttl)) => {
                let mut state = self.lock();
                if let Some(fresh) = fresh {
                    state.card = Some(Arc::new(fresh));
                }
                state.next_look = Some(Instant::now() + ttl.unwrap_or(self.ttl).min(self.ttl));
                state.card.clone()
            }
            Err(why) => {
                tracing::debug!(host, why, "a card cannot be fetched");
                let mut state = self.lock();
                state.next_look = Some(Instant::now() + PAUSE);
                state.card.clone()
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the host. No card means that the known one is still right.
async fn fetch(
    client: &reqwest::Client,
    host: &str,
    known: Option<&Card>,
    limit: usize,
) -> Result<(Option<Card>, Option<Duration>), String> {
    let mut request = client.get(format!("{host}{PATH}"));
    if let Some(theirs) = known.and_then(|known| known.theirs.as_ref()) {
        request = request.header(IF_NONE_MATCH, theirs);
    }
    let mut response = request.send().await.map_err(|error| error.to_string())?;
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
    let mut json: serde_json::Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    if !json.is_object() {
        return Err("the card is not an object".to_owned());
    }
    let description = json["description"].as_str().map(str::to_owned);
    let skills = json["skills"].take();
    Ok((Some(Card { etag: etag(&body), body: body.freeze(), description, skills, theirs }), ttl))
}

fn etag(body: &[u8]) -> String {
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
