//! One agent of the directory: where it is, what is known of it, what is open to it.

use super::cards::{Ask, Card, CardCache};
use super::interfaces::Interface;
use super::site::Site;
use crate::agents::{Clients, LaneUse, Trust};
use crate::balance::{Balance, Ejection, Mask, Place, Verdict};

use crate::settings::Settings;
use bytes::Bytes;
use mesh_card::PublicKey;
use mesh_core::Timestamp;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where A2A hosts serve their card.
const CARD_PATH: &str = "/.well-known/agent-card.json";

/// When a replica is left out, and for how long. An agent of which all are out is refused at once.
const EJECTION: Ejection = Ejection {
    failures: 3,
    first: Duration::from_secs(1),
    longest: Duration::from_secs(30),
    most: 100,
    spares_last: false,
};

/// Whether an agent answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Unknown,
    Up,
    Down,
}

impl Health {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// Of an agent that registered itself: until when that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Version of its record.
    pub(crate) version: u64,
    pub(crate) expires: Timestamp,
}

/// An agent.
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) site: Site,
    keys: Vec<PublicKey>,
    /// What it says to those who speak 1.0, and to others.
    modern: CardCache,
    old: CardCache,
    /// Its replicas, by their place in the list.
    pub(crate) targets: Arc<Balance<()>>,
    /// Places for open requests.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) lanes: Arc<LaneUse>,
    /// In milliseconds after the epoch; 0 if it was not seen.
    seen: AtomicI64,
    health: AtomicU8,
    lease: Mutex<Option<Lease>>,
}

impl Agent {
    pub(crate) fn new(name: &str, site: Site, settings: &Settings) -> Self {
        let keys = site.card_keys.iter().flat_map(|text| PublicKey::read(text)).collect();
        let limit = settings.limits.card;
        let given = site.card.as_ref().and_then(|card| {
            Card::read(Bytes::copy_from_slice(card.as_bytes()), None, &[]).ok().map(Arc::new)
        });
        let cache = || match &given {
            Some(card) => CardCache::given(Arc::clone(card), limit),
            None => CardCache::new(settings.card_ttl, limit),
        };
        // Without an address, the card says where it is: one place, as far as anybody knows.
        let places = vec![((), Place { weight: 1, near: false }); site.targets.len().max(1)];
        Self {
            name: name.to_owned(),
            keys,
            modern: cache(),
            old: cache(),
            targets: Balance::new(places, EJECTION, Duration::ZERO, false),
            places: Arc::new(Semaphore::new(settings.directory.concurrency)),
            lanes: Arc::new(LaneUse::new()),
            seen: AtomicI64::new(0),
            health: AtomicU8::new(0),
            lease: Mutex::new(None),
            site,
        }
    }

    fn cache(&self, modern: bool) -> &CardCache {
        if modern { &self.modern } else { &self.old }
    }

    /// Where its card is, if that may be asked for: what was kept may have been taken under another rule.
    fn card_url(&self, clients: &Clients, target: usize) -> Option<String> {
        let base = self.site.targets.get(target)?;
        let url = format!("{base}{}", self.site.card_path.as_deref().unwrap_or(CARD_PATH));
        if self.site.trust() == Trust::Word {
            clients.check(&url.parse().ok()?).ok()?;
        }
        Some(url)
    }

    /// The card, for those who speak 1.0 or for others: current, or the last known one.
    pub(crate) async fn card(&self, clients: &Clients, modern: bool) -> Option<Arc<Card>> {
        let cache = self.cache(modern);
        let target = self.targets.pick(Mask::default()).map_or(0, |picked| picked.index());
        let (Some(url), Ok(client)) = (self.card_url(clients, target), clients.plain(self.site.trust()))
        else {
            return cache.known();
        };
        let headers = &self.site.headers;
        cache.current(Ask { client, url: &url, headers, modern, keys: &self.keys }).await
    }

    /// What is known, without asking.
    pub(crate) fn known_card(&self) -> Option<Arc<Card>> {
        self.modern.known().or_else(|| self.old.known())
    }

    /// The interfaces that its card names; asked for only if nothing is known yet.
    pub(crate) async fn interfaces(&self, clients: &Clients) -> Option<Arc<Card>> {
        match self.known_card() {
            Some(card) => Some(card),
            None => self.card(clients, true).await,
        }
    }

    /// Asks each target for its card, and remembers which of them answer.
    pub(crate) async fn look(&self, clients: &Clients, now: Timestamp) {
        let Ok(client) = clients.plain(self.site.trust()) else { return };
        let mut up = false;
        for target in 0..self.targets.len() {
            let Some(url) = self.card_url(clients, target) else { return };
            let ask = Ask { client, url: &url, headers: &self.site.headers, modern: true, keys: &self.keys };
            let found = self.modern.look(ask).await;
            up |= found.is_ok();
            if let Some(picked) = self.targets.pin(target) {
                picked.judge_untimed(if found.is_ok() { Verdict::Good } else { Verdict::Bad });
            }
        }
        if up {
            self.seen(now);
        } else {
            self.health.store(2, Ordering::Relaxed);
        }
    }

    /// Why its card could not be had the last time.
    pub(crate) fn failure(&self) -> Option<String> {
        self.modern.failure()
    }

    /// It answered.
    pub(crate) fn seen(&self, now: Timestamp) {
        self.seen.fetch_max(now.millis(), Ordering::Relaxed);
        self.health.store(1, Ordering::Relaxed);
    }

    /// It did not.
    pub(crate) fn missed(&self) {
        if self.targets.view().all(|target| target.ejected) {
            self.health.store(2, Ordering::Relaxed);
        }
    }

    pub(crate) fn last_seen(&self) -> Option<Timestamp> {
        Some(self.seen.load(Ordering::Relaxed)).filter(|seen| *seen > 0).map(Timestamp)
    }

    pub(crate) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::Unknown,
            1 => Health::Up,
            _ => Health::Down,
        }
    }

    pub(crate) fn lease(&self) -> Option<Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_lease(&self, lease: Lease) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease);
    }

    /// Whether it is still to be found.
    pub(crate) fn counts(&self, now: Timestamp) -> bool {
        self.lease().is_none_or(|lease| lease.expires > now)
    }

    /// What it is for: what its card says, or what was said before that was known.
    pub(crate) fn description(&self, card: Option<&Card>) -> String {
        let described = card.and_then(|card| card.description.clone());
        described.or_else(|| self.site.description.clone()).unwrap_or_default()
    }

    /// Its base address, or where its card says that it is.
    pub(crate) fn address(&self) -> String {
        let of_card = || {
            let card = self.known_card()?;
            card.interfaces.first().map(|Interface { url, .. }| url.clone())
        };
        self.site.targets.first().cloned().or_else(of_card).unwrap_or_default()
    }
}
