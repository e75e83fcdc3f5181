//! An MCP server that is a child process: JSON messages, one a line, over its standard input and output.
//!
//! ```text
//!            ┌─ Starting ──▶ Up(connection) ──┐ exit, or standard output closed:
//!  start() ──┤     ▲                          │ its calls fail at once
//!            └─────┴──── back-off ◀── Down ◀──┘
//! ```
//! One supervisor task owns the process. Calls of all clients share it: ids and progress tokens are unique per process.

mod connection;
mod lines;
mod process;
mod supervisor;

use self::connection::Connection;
use super::outgoing::notification;
use super::revision::describe;
use super::{
    Announcement, Answer, Answered, Conversation, Opened, Outgoing, Upstream, UpstreamError, Wanted,
};
use crate::wire::object::RawObject;
use crate::wire::string;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How to start the process.
#[derive(Clone)]
pub(crate) struct Spawn {
    pub(crate) upstream: Arc<str>,
    pub(crate) launcher: Vec<String>,
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: PathBuf,
    /// Longest line that the process may write.
    pub(crate) max_line: usize,
}

/// Where the process is in its life.
#[derive(Clone)]
enum Link {
    Starting,
    Up(Arc<Connection>),
    Down(UpstreamError),
}

/// Called when the process says that one of its lists changed, and (`Resumed`) when it was started again.
type Changed = Arc<dyn Fn(&Announcement) + Send + Sync>;

/// The upstream: a supervisor and the connection of the process that runs now.
pub(crate) struct StdioUpstream {
    spawn: Spawn,
    changed: Changed,
    link: watch::Sender<Link>,
    stop: CancellationToken,
    grace: Arc<Mutex<Duration>>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

impl StdioUpstream {
    pub(crate) fn new(spawn: Spawn, changed: Changed) -> Self {
        Self {
            spawn,
            changed,
            link: watch::Sender::new(Link::Starting),
            stop: CancellationToken::new(),
            grace: Arc::new(Mutex::new(Duration::from_secs(2))),
            supervisor: Mutex::new(None),
        }
    }

    /// The connection to use, waiting while the process starts.
    async fn connection(&self) -> Result<Arc<Connection>, UpstreamError> {
        let mut link = self.link.subscribe();
        let link = link
            .wait_for(|link| !matches!(link, Link::Starting))
            .await
            .map_err(|_| UpstreamError::unavailable("it is shut down"))?;
        match &*link {
            Link::Up(connection) => Ok(Arc::clone(connection)),
            Link::Down(error) => Err(error.clone()),
            Link::Starting => Err(UpstreamError::unavailable("it is starting")),
        }
    }
}

#[async_trait::async_trait]
impl Upstream for StdioUpstream {
    fn start(&self) {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        if supervisor.is_none() && !self.stop.is_cancelled() {
            *supervisor = Some(tokio::spawn(supervisor::run(
                self.spawn.clone(),
                Arc::clone(&self.changed),
                self.link.clone(),
                self.stop.clone(),
                Arc::clone(&self.grace),
            )));
        }
    }

    async fn request(&self, outgoing: Outgoing<'_>) -> Result<Answered, UpstreamError> {
        self.start();
        self.connection().await?.request(&outgoing).await
    }

    async fn notify(
        &self,
        _conversation: &Arc<Conversation>,
        method: &str,
        params: Option<&str>,
    ) -> Result<(), UpstreamError> {
        let connection = self.connection().await?;
        if connection.agreed()?.0.is_modern() {
            return Ok(());
        }
        connection.send(notification(method, params.unwrap_or_default())).await
    }

    async fn open(&self, _conversation: &Arc<Conversation>) -> Result<Opened, UpstreamError> {
        self.start();
        let connection = self.connection().await?;
        let (revision, described) = connection.agreed()?;
        describe(revision, described, None)
    }

    async fn listen(
        &self,
        _conversation: &Arc<Conversation>,
        wanted: Wanted,
    ) -> Result<mpsc::Receiver<Announcement>, UpstreamError> {
        self.start();
        let connection = self.connection().await?;
        if connection.agreed()?.0.is_modern() {
            return Ok(connection.subscribe(wanted));
        }
        let heard = connection.hear(wanted.clone());
        for uri in &wanted.updated {
            let mut params = RawObject::default();
            params.set("uri", string(uri));
            let answered = connection.request(&Outgoing::own("resources/subscribe", params)).await?;
            if let Answer::Error(_) = answered.answer {
                tracing::debug!(upstream = &*self.spawn.upstream, uri, "its changes are not announced");
            }
        }
        Ok(heard)
    }

    async fn shutdown(&self, grace: Duration) {
        *self.grace.lock().unwrap_or_else(PoisonError::into_inner) = grace;
        self.stop.cancel();
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor
            && let Err(error) = supervisor.await
        {
            tracing::error!(upstream = &*self.spawn.upstream, %error, "its supervisor failed");
        }
    }
}
