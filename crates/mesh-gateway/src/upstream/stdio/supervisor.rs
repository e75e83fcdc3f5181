//! Starts the process, agrees on a revision with it, and starts it again when it ends.

use super::connection::{Connection, OUTBOX};
use super::lines::{Line, Lines};
use super::process::{Process, Streams};
use super::{Changed, Link, Spawn};
use crate::upstream::outgoing::notification;
use crate::upstream::revision::{Verdict, description, initialize_message, initialized, judge};
use crate::upstream::{Announcement, Answer, Conversation, Outgoing, Revision, UpstreamError};
use crate::wire::object::RawObject;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStderr, ChildStdin};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long a process may take until its handshake is done: interpreters and package runners are slow to start.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long `server/discover` may stay unanswered before `initialize` is tried as well.
const DISCOVER: Duration = Duration::from_secs(3);
/// First and longest pause before the process is started again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How long calls wait for the exit status of a process whose output ended, to be told the reason.
const STATUS: Duration = Duration::from_millis(50);
/// A process that lived this long starts with the shortest pause again.
const STEADY: Duration = Duration::from_secs(20);
/// Longest line of standard error that is logged.
const STDERR_LINE: usize = 8 << 10;

/// What earlier processes of the same command taught us.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Unknown,
    Legacy,
}

/// Runs until `stop`.
pub(super) async fn run(
    spawn: Spawn,
    changed: Changed,
    link: watch::Sender<Link>,
    stop: CancellationToken,
    grace: Arc<Mutex<Duration>>,
) {
    let mut supervisor = Supervisor { spawn, changed, link, stop, grace, expect: Expect::Unknown, starts: 0 };
    let mut pause = BACK_OFF.0;
    loop {
        let started = Instant::now();
        let error = supervisor.once().await;
        if supervisor.stop.is_cancelled() {
            break;
        }
        if started.elapsed() >= STEADY {
            pause = BACK_OFF.0;
        }
        tracing::warn!(upstream = &*supervisor.spawn.upstream, %error, pause_ms = pause.as_millis(), "down");
        supervisor.link.send_replace(Link::Down(error));
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(BACK_OFF.1),
            () = supervisor.stop.cancelled() => break,
        }
        supervisor.link.send_replace(Link::Starting);
    }
    supervisor.link.send_replace(Link::Down(UpstreamError::unavailable("it is shut down")));
}

struct Supervisor {
    spawn: Spawn,
    changed: Changed,
    link: watch::Sender<Link>,
    stop: CancellationToken,
    grace: Arc<Mutex<Duration>>,
    expect: Expect,
    starts: u64,
}

impl Supervisor {
    /// One life of the process. Returns why it ended.
    async fn once(&mut self) -> UpstreamError {
        let (mut process, streams) = match Process::start(&self.spawn) {
            Ok(started) => started,
            Err(error) => {
                return UpstreamError::unavailable(format!(
                    "`{}` cannot be started: {error}",
                    self.spawn.command[0]
                ));
            }
        };
        let Streams { stdin, stdout, stderr } = streams;
        let (outbox, queue) = mpsc::channel(OUTBOX);
        let connection = Arc::new(Connection::new(
            Arc::clone(&self.spawn.upstream),
            outbox,
            Arc::clone(&self.changed),
            self.spawn.max_line,
        ));
        let closing = CancellationToken::new();
        let writer = tokio::spawn(write(stdin, queue, closing.clone()));
        let log = tokio::spawn(log(Arc::clone(&self.spawn.upstream), stderr));
        let mut lines = Lines::new(stdout, self.spawn.max_line);

        let stop = self.stop.clone();
        let mut end = {
            let reading = read(&mut lines, &connection);
            tokio::pin!(reading);
            tokio::select! {
                end = &mut reading => end,
                () = stop.cancelled() => UpstreamError::unavailable("it is shut down"),
                result = self.handshake(&connection) => match result {
                    Err(error) => error,
                    Ok(()) => tokio::select! {
                        end = &mut reading => end,
                        () = stop.cancelled() => UpstreamError::unavailable("it is shut down"),
                    },
                },
            }
        };
        // A process that has ended by itself says so at once, and its status is the better reason.
        if !stop.is_cancelled()
            && let Ok(Ok(status)) = timeout(STATUS, process.exited()).await
        {
            end = UpstreamError::unavailable(format!("its process ended ({status})"));
        }
        connection.end(&end);
        closing.cancel();
        let grace = if self.stop.is_cancelled() {
            *self.grace.lock().unwrap_or_else(PoisonError::into_inner)
        } else {
            Duration::from_secs(1)
        };
        if let Err(error) = process.end(grace).await {
            tracing::error!(upstream = &*self.spawn.upstream, %error, "its process cannot be ended");
        }
        writer.abort();
        log.abort();
        end
    }

    /// Finds out the revision and publishes the connection.
    async fn handshake(&mut self, connection: &Arc<Connection>) -> Result<(), UpstreamError> {
        // A server that ends at the first message it does not know is met with `initialize` the next time.
        let first = self.expect;
        self.expect = if first == Expect::Unknown { Expect::Legacy } else { Expect::Unknown };
        let (revision, described) = timeout(HANDSHAKE, agree(connection, first))
            .await
            .map_err(|_| UpstreamError::unavailable("it did not answer the handshake in time"))??;
        self.expect = if revision.is_modern() { Expect::Unknown } else { Expect::Legacy };
        tracing::info!(upstream = &*self.spawn.upstream, revision = revision.version(), "up");
        connection.agree(revision, described);
        self.link.send_replace(Link::Up(Arc::clone(connection)));
        self.starts += 1;
        if self.starts > 1 {
            (self.changed)(&Announcement::Resumed);
        }
        Ok(())
    }
}

/// The revision, and what the server says about itself.
type Agreed = (Revision, Bytes);

/// `server/discover` first; `initialize` when it is refused, or stays unanswered, or the server is known to need it.
/// A slow modern server that answers both is modern.
async fn agree(connection: &Connection, expect: Expect) -> Result<Agreed, UpstreamError> {
    if expect == Expect::Legacy {
        return initialize(connection).await;
    }
    let mut discover = connection.open(None)?;
    let request = Outgoing::own("server/discover", RawObject::default());
    connection.send(request.encode(discover.id, &Revision::Modern)).await?;
    if let Ok(answer) = timeout(DISCOVER, discover.answer()).await {
        return conclude(connection, answer?).await;
    }
    tokio::select! {
        Ok(answer @ Answer::Result(_)) = discover.answer() => conclude(connection, answer).await,
        revision = initialize(connection) => revision,
    }
}

async fn conclude(connection: &Connection, answer: Answer) -> Result<Agreed, UpstreamError> {
    let verdict = judge(&answer);
    match verdict {
        // An error can be modern, too, but does not say more.
        Verdict::Modern => Ok((Revision::Modern, description(answer).unwrap_or_default())),
        Verdict::Legacy => initialize(connection).await,
        Verdict::Foreign(versions) => {
            Err(UpstreamError::bad_answer(format!("it speaks only protocol versions {versions}")))
        }
    }
}

async fn initialize(connection: &Connection) -> Result<Agreed, UpstreamError> {
    let mut call = connection.open(None)?;
    connection.send(initialize_message(call.id, &Conversation::own())).await?;
    let answer = call.answer().await?;
    let revision = initialized(&answer)?;
    connection.send(notification("notifications/initialized", "")).await?;
    Ok((revision, description(answer)?))
}

/// Hands lines to the connection until there are no more.
async fn read(lines: &mut Lines<tokio::process::ChildStdout>, connection: &Arc<Connection>) -> UpstreamError {
    loop {
        match lines.next().await {
            Ok(Some(line)) => connection.receive(line),
            Ok(None) => return UpstreamError::unavailable("its process closed its output"),
            Err(error) => return UpstreamError::unavailable(format!("its output cannot be read: {error}")),
        }
    }
}

/// Writes messages until `closing`, then closes the standard input.
async fn write(mut stdin: ChildStdin, mut queue: mpsc::Receiver<Bytes>, closing: CancellationToken) {
    loop {
        let message = tokio::select! {
            () = closing.cancelled() => return,
            message = queue.recv() => message,
        };
        let Some(message) = message else { return };
        let written = tokio::select! {
            () = closing.cancelled() => return,
            written = stdin.write_all(&message) => written,
        };
        if written.is_err() {
            // The process has closed its input or ended; the reader notices the latter.
            return;
        }
    }
}

/// Standard error goes to the log.
async fn log(upstream: Arc<str>, stderr: ChildStderr) {
    let mut lines = Lines::new(stderr, STDERR_LINE);
    while let Ok(Some(line)) = lines.next().await {
        let (Line::Whole(text) | Line::TooLong(text)) = line;
        tracing::info!(upstream = &*upstream, "stderr: {}", String::from_utf8_lossy(&text));
    }
}
