//! Settings of the JetStream provider. Everything that it holds in memory has its bound here.

use crate::rings::TailCache;
use std::path::PathBuf;
use std::time::Duration;

/// How a [`JetStreamLog`](super::JetStreamLog) is run. A number that is 0 where one is needed counts as 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JetStreamOptions {
    /// Where the servers are: `nats://host:port` or `tls://host:port`, several with commas between them. A user and a
    /// password may be part of an address.
    pub servers: String,
    /// A file with the credentials of a NATS user, if the servers ask for one.
    pub credentials: Option<PathBuf>,
    /// What the stream and its subjects are called by: letters, digits, `-` and `_`. Meshes that share servers and an
    /// account need one each.
    pub name: String,
    /// Whether a stream that is not there is made. Otherwise opening is refused.
    pub create: bool,
    /// Copies of the stream in a cluster: 1, 3 or 5. Used when the stream is made; later changes are made in NATS.
    pub replicas: usize,
    /// Size of the stream at most, in bytes; 0 for no bound. Beyond it, appends fail with `Full`. Used when the stream
    /// is made.
    pub max_bytes: u64,
    /// How long opening may take.
    pub open_timeout: Duration,
    /// How long one append, or one reading, may take, with everything that is tried again within it.
    pub timeout: Duration,
    /// Appends under way at most; one more is answered with `Overloaded`.
    pub in_flight: usize,
    /// Bytes of appends under way at most; one append more is answered with `Overloaded`.
    pub in_flight_bytes: usize,
    /// Tasks in the stream at most: their heads are in memory. One more is answered with `Full`.
    pub max_tasks: usize,
    /// Positions of readers that are remembered, so that going on needs no search.
    pub positions: usize,
    /// Recent events in memory.
    pub tail_cache: TailCache,
}

impl JetStreamOptions {
    /// The usual settings, for the servers at these addresses.
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            credentials: None,
            name: "mesh".to_owned(),
            create: true,
            replicas: 1,
            max_bytes: 0,
            open_timeout: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            in_flight: 4096,
            in_flight_bytes: 64 << 20,
            max_tasks: 1_000_000,
            positions: 16_384,
            tail_cache: TailCache::default(),
        }
    }
}
