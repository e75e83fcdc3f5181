//! Connections to agents.

use crate::gateway::SetupError;
use mesh_net::{Allowed, Checked};
use reqwest::{Client, ClientBuilder};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Unused connections are given back before the usual servers close them, so that no request is lost on one of those.
const IDLE: Duration = Duration::from_secs(4);
/// How often a connection that is silent is looked after.
const ALIVE: Duration = Duration::from_secs(30);
/// Connections of gRPC to one agent, each of which carries so many requests: servers grant 100 at least, by custom, and
/// what is more would wait until another ends, which for a stream may take days.
const LANES: usize = 128;
const PER_LANE: u32 = 100;

/// Who may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The address is in the mesh file.
    Configured,
    /// The address is somebody's word: it must be public, or listed in `directory.allow`.
    Word,
}

/// Clients for both.
pub(crate) struct Clients {
    connect: Duration,
    idle_connections: usize,
    configured: Lanes,
    word: Lanes,
    /// What may be reached on somebody's word; everything if `None`.
    pub(crate) allowed: Option<Arc<Allowed>>,
}

#[derive(Default)]
struct Lanes {
    plain: OnceLock<Client>,
    grpc: Box<[OnceLock<Client>]>,
}

impl Lanes {
    fn new() -> Self {
        Self { plain: OnceLock::new(), grpc: (0..LANES).map(|_| OnceLock::new()).collect() }
    }
}

impl Clients {
    pub(crate) fn new(
        connect: Duration,
        idle_connections: usize,
        allowed: Option<Arc<Allowed>>,
    ) -> Result<Self, SetupError> {
        let clients =
            Self { connect, idle_connections, configured: Lanes::new(), word: Lanes::new(), allowed };
        // If it cannot be made, it is better to know it now; the others are made in the same way.
        let error = |error: reqwest::Error| SetupError { id: "agents".to_owned(), why: error.to_string() };
        let first = clients.builder(Trust::Configured).http1_only().build().map_err(error)?;
        let _ = clients.configured.plain.set(first);
        Ok(clients)
    }

    fn builder(&self, trust: Trust) -> ClientBuilder {
        let builder = Client::builder()
            .tcp_nodelay(true)
            .tcp_keepalive(ALIVE)
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(self.idle_connections);
        match (&self.allowed, trust) {
            (Some(allowed), Trust::Word) => builder.dns_resolver(Arc::new(Checked(Arc::clone(allowed)))),
            _ => builder,
        }
    }

    fn lanes(&self, trust: Trust) -> &Lanes {
        match trust {
            Trust::Configured => &self.configured,
            Trust::Word => &self.word,
        }
    }

    /// For requests over HTTP/1.1: each open one has a connection of its own, and none waits for another.
    pub(crate) fn plain(&self, trust: Trust) -> Result<&Client, String> {
        made(&self.lanes(trust).plain, || self.builder(trust).http1_only())
    }

    /// For gRPC.
    pub(crate) fn grpc(&self, trust: Trust, lane: usize) -> Result<&Client, String> {
        let lanes = &self.lanes(trust).grpc;
        made(&lanes[lane % lanes.len()], || {
            self.builder(trust)
                .http2_prior_knowledge()
                .http2_adaptive_window(false)
                .http2_keep_alive_interval(ALIVE)
                .http2_keep_alive_timeout(ALIVE)
        })
    }

    /// Whether an address may be called on somebody's word.
    pub(crate) fn check(&self, url: &url::Url) -> Result<(), String> {
        let Some(allowed) = &self.allowed else { return Ok(()) };
        allowed.check_url(url)
    }
}

fn made(cell: &OnceLock<Client>, builder: impl FnOnce() -> ClientBuilder) -> Result<&Client, String> {
    if let Some(client) = cell.get() {
        return Ok(client);
    }
    let client = builder().build().map_err(|error| error.to_string())?;
    Ok(cell.get_or_init(|| client))
}

/// How many requests of one agent are under way on each lane.
#[derive(Debug)]
pub(crate) struct LaneUse(Box<[AtomicU32]>);

impl LaneUse {
    pub(crate) fn new() -> Self {
        Self((0..LANES).map(|_| AtomicU32::new(0)).collect())
    }

    /// A place on the first lane that has one.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<OnLane> {
        let free = |count: u32| (count < PER_LANE).then_some(count + 1);
        let entered =
            |lane: &usize| self.0[*lane].fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok();
        (0..self.0.len()).find(entered).map(|lane| OnLane { lane, of: Arc::clone(self) })
    }
}

/// A place on a lane, until it is dropped.
#[derive(Debug)]
pub(crate) struct OnLane {
    pub(crate) lane: usize,
    of: Arc<LaneUse>,
}

impl Drop for OnLane {
    fn drop(&mut self) {
        self.of.0[self.lane].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_is_full_is_left_for_the_next() {
        let lanes = Arc::new(LaneUse::new());
        let on: Vec<_> = (0..=PER_LANE).map(|_| lanes.enter().unwrap()).collect();
        assert_eq!((on[0].lane, on[PER_LANE as usize].lane), (0, 1));
        drop(on);
        assert_eq!(lanes.enter().unwrap().lane, 0);
    }
}
