//! Accepts connections, and keeps what they share.

use super::connection::serve;
use super::mode::Mode;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What all connections of a relay share.
pub(super) struct Shared {
    targets: Vec<SocketAddr>,
    next: AtomicUsize,
    requests: AtomicU64,
    mode: watch::Sender<Mode>,
}

impl Shared {
    /// The target of the next request, and the others after it.
    pub(super) fn turn(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.targets.len().max(1);
        self.targets.iter().cycle().skip(first).take(self.targets.len()).copied()
    }

    pub(super) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn mode(&self) -> watch::Receiver<Mode> {
        self.mode.subscribe()
    }
}

/// A relay that listens; it ends with its last handle.
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    handle: RelayHandle,
    task: JoinHandle<()>,
}

/// Breaks and heals a relay.
#[derive(Clone)]
pub struct RelayHandle(Arc<Shared>);

impl Relay {
    /// Listens, and passes requests on to the targets in turn.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(listen: SocketAddr, targets: Vec<SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (mode, _) = watch::channel(Mode::Pass);
        let shared =
            Arc::new(Shared { targets, next: AtomicUsize::new(0), requests: AtomicU64::new(0), mode });
        let handle = RelayHandle(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // An error here is one of the connection that was not accepted.
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&shared)));
                }
            }
        });
        Ok(Self { address, handle, task })
    }

    /// To break it with.
    #[must_use]
    pub fn handle(&self) -> RelayHandle {
        self.handle.clone()
    }

    /// Breaks or heals it, its open connections included.
    pub fn set(&self, mode: Mode) {
        self.handle.set(mode);
    }

    /// How many requests came so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.handle.requests()
    }
}

impl RelayHandle {
    /// Breaks or heals it.
    pub fn set(&self, mode: Mode) {
        self.0.mode.send_replace(mode);
    }

    /// How many requests came so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
