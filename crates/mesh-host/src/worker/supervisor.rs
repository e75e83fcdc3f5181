//! Keeps one worker process ready, for ever: starts it, asks after its health, replaces it.

use super::lines::Lines;
use super::process::{self, Process, read_line};
use super::protocol::{DeclaredCard, FromWorker, LineLimits, MemoryLimits, ModelEntry, ToWorker, VERSION};
use super::run::{OUTBOX, Run};
use super::tokens::Tokens;
use crate::calls::Calls;
use crate::context::Contexts;
use crate::metrics::AgentMetrics;
use crate::settings::HostSettings;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::process::ChildStdout;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a worker may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// First and longest pause before a worker is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// A process that lived this long, or finished an attempt, does not count as a failed start.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// How long a process that closed its output may take to end by itself, so that its exit status is known.
const EXIT_STATUS: Duration = Duration::from_millis(200);
/// How long it may take to record what a process that has ended still said.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often it is looked whether a ping was answered.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the other attempts of a process that has to go may take.
const RETIRE_AFTER: Duration = Duration::from_secs(30);

/// Keeps one worker process ready.
pub(crate) struct Supervisor {
    pub(crate) settings: Arc<HostSettings>,
    pub(crate) calls: Arc<dyn Calls>,
    pub(crate) contexts: Arc<Contexts>,
    pub(crate) metrics: AgentMetrics,
    pub(crate) ready: watch::Sender<Option<Arc<Run>>>,
    pub(crate) problem: watch::Sender<Option<String>>,
    pub(crate) declared: watch::Sender<DeclaredCard>,
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

/// A process that has said it is ready.
struct Ready {
    process: Process,
    reader: BufReader<ChildStdout>,
    run: Arc<Run>,
}

impl Supervisor {
    /// Runs until `stop`.
    pub(crate) async fn supervise(self: Arc<Self>) {
        let mut backoff = BACKOFF.0;
        while !self.stop.is_cancelled() {
            let started = tokio::time::Instant::now();
            let started_well = tokio::select! {
                () = self.stop.cancelled() => break,
                started = self.start() => started,
            };
            match started_well {
                Ok(ready) => {
                    let run = Arc::clone(&ready.run);
                    let why = self.serve(ready).await;
                    let useful = run.has_finished_attempts();
                    self.ready.send_replace(None);
                    if self.stop.is_cancelled() {
                        break;
                    }
                    self.metrics.restarts.inc();
                    tracing::warn!(agent = %self.settings.name, why, "the worker is replaced");
                    self.problem.send_replace(Some(why));
                    if useful || started.elapsed() >= HEALTHY_AFTER {
                        backoff = BACKOFF.0;
                    }
                }
                Err(why) => {
                    self.metrics.restarts.inc();
                    tracing::error!(agent = %self.settings.name, why, retry_in = ?backoff, "the worker did not start");
                    self.problem.send_replace(Some(why));
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(backoff) => backoff = (backoff * 2).min(BACKOFF.1),
            }
        }
    }

    /// Starts a process and waits until it is ready.
    async fn start(&self) -> Result<Ready, String> {
        let config = self.config_line().await?;
        let (outbox, lines) = mpsc::channel(OUTBOX);
        let worker = &self.settings.agent.worker;
        let (process, stdout) = process::spawn(self.settings.name.as_str(), worker, lines)
            .map_err(|error| format!("the worker cannot be started: {error}"))?;
        let mut reader = BufReader::with_capacity(64 * 1024, stdout);
        let run =
            Run::new(outbox, self.settings.agent.tasks.queue.max(16), self.settings.agent.tasks.cancel_grace);
        let greeting = async {
            tokio::time::timeout(HELLO_TIMEOUT, self.hello(&mut reader))
                .await
                .map_err(|_| format!("no hello within {HELLO_TIMEOUT:?}"))??;
            run.send(config).await;
            tokio::time::timeout(worker.start_timeout, self.await_ready(&mut reader))
                .await
                .map_err(|_| format!("not ready within {:?} (worker.start_timeout)", worker.start_timeout))?
        };
        match greeting.await {
            Ok(()) => Ok(Ready { process, reader, run }),
            Err(why) => {
                process.kill().await;
                Err(why)
            }
        }
    }

    async fn config_line(&self) -> Result<Bytes, String> {
        let tools = self.calls.tools().await.map_err(|error| error.message)?;
        let agents = self.calls.agents().await.map_err(|error| error.message)?;
        let model = self.settings.model.as_ref().map(|model| ModelEntry {
            base_url: model.base_url.clone(),
            name: model.name.clone(),
            key: model.key.as_ref().map(|key| key.expose().to_owned()).filter(|key| !key.is_empty()),
        });
        let line = ToWorker::Config {
            protocol: VERSION,
            agent: self.settings.name.as_str(),
            model: model.as_ref(),
            tools: &tools,
            agents: &agents,
            limits: LineLimits {
                line_bytes: self.settings.limits.worker_line,
                event_bytes: self.settings.limits.event,
            },
            memory: MemoryLimits {
                entry_bytes: self.settings.limits.context_entry,
                entries: self.settings.limits.context_entries,
                key_bytes: self.settings.limits.context_key,
            },
            cancel_grace_ms: u64::try_from(self.settings.agent.tasks.cancel_grace.as_millis())
                .unwrap_or(u64::MAX),
        };
        Ok(line.encode())
    }

    fn line_limit(&self) -> usize {
        usize::try_from(self.settings.limits.worker_line).unwrap_or(usize::MAX)
    }

    async fn hello(&self, reader: &mut BufReader<ChildStdout>) -> Result<(), String> {
        let mut line = Vec::new();
        if !read_line(reader, &mut line, self.line_limit()).await.map_err(|e| e.to_string())? {
            return Err("the worker ended before it said hello; its log lines say why".to_owned());
        }
        let hello: FromWorker<'_> = serde_json::from_slice(&line)
            .map_err(|error| format!("the first line is not of the worker protocol: {error}"))?;
        match (&*hello.kind_of_line, hello.protocol) {
            ("hello", Some(VERSION)) => {
                tracing::debug!(agent = %self.settings.name, sdk = hello.sdk, "the worker says hello");
                Ok(())
            }
            ("hello", other) => {
                Err(format!("the worker speaks protocol {other:?}, this host speaks {VERSION}"))
            }
            (other, _) => Err(format!("the first line is `{other}`, not `hello`")),
        }
    }

    async fn await_ready(&self, reader: &mut BufReader<ChildStdout>) -> Result<(), String> {
        let mut line = Vec::new();
        while read_line(reader, &mut line, self.line_limit()).await.map_err(|e| e.to_string())? {
            let said: FromWorker<'_> = serde_json::from_slice(&line)
                .map_err(|error| format!("a line is not of the worker protocol: {error}"))?;
            match &*said.kind_of_line {
                "ready" => {
                    tracing::info!(agent = %self.settings.name, framework = said.framework, "the worker is ready");
                    self.declared.send_replace(said.card.unwrap_or_default());
                    return Ok(());
                }
                "fatal" => {
                    if let Some(detail) = said.detail {
                        tracing::error!(target: "worker", agent = %self.settings.name, "{detail}");
                    }
                    return Err(said.message.unwrap_or_else(|| "the worker gave up".to_owned()));
                }
                _ => {}
            }
        }
        Err("the worker ended before it was ready; its log lines say why".to_owned())
    }

    /// Serves a ready process until it ends, misbehaves or has to stop. Returns why.
    async fn serve(self: &Arc<Self>, ready: Ready) -> String {
        let Ready { mut process, reader, run } = ready;
        self.problem.send_replace(None);
        self.ready.send_replace(Some(Arc::clone(&run)));
        let max_event = usize::try_from(self.settings.limits.event).unwrap_or(usize::MAX);
        let lines = Arc::new(Lines::new(
            self.settings.name.to_string(),
            Arc::clone(&run),
            Arc::clone(&self.calls),
            Arc::clone(&self.contexts),
            max_event,
            self.settings.agent.tasks.join_tokens,
        ));
        let tokens = Arc::clone(&lines.tokens);
        let watched = Watched { supervisor: Arc::clone(self), run: Arc::clone(&run), lines };
        let mut talk = Box::pin(Watched::listen(watched.lines.clone(), reader, self.line_limit()));
        let why = tokio::select! {
            broken = &mut talk => match broken {
                Some(why) => why,
                None => tokio::time::timeout(EXIT_STATUS, process.ended())
                    .await
                    .unwrap_or_else(|_| "the worker closed its output".to_owned()),
            },
            why = process.ended() => {
                let _ = tokio::time::timeout(LAST_WORDS, &mut talk).await;
                why
            }
            why = watched.health() => why,
            () = run.fenced.cancelled() => "the host could not renew its lease".to_owned(),
            () = run.replace.cancelled() => {
                run.retire();
                self.retire_in_background(process, run, talk, tokens);
                return "it did not stop a canceled task in time".to_owned();
            }
            () = self.stop.cancelled() => "the host stops".to_owned(),
        };
        run.retire();
        // Kill first: an attempt must not go on in the old process when it begins anew in the next.
        process.kill().await;
        // A host that stops leaves its attempts to the next start, which finds them in the log.
        if !self.stop.is_cancelled() {
            tokens.end().await;
            run.close(&why).await;
        }
        why
    }

    /// Lets the attempts that are at work in a process that has to go finish, then kills it. Those that wait for their
    /// client lose nothing: the answer starts a new attempt.
    fn retire_in_background(
        self: &Arc<Self>,
        process: Process,
        run: Arc<Run>,
        talk: std::pin::Pin<Box<impl Future<Output = Option<String>> + Send + 'static>>,
        tokens: Arc<Tokens>,
    ) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let idle = async {
                while run.busy() > 0 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                _ = talk => {}
                () = idle => {}
                () = tokio::time::sleep(RETIRE_AFTER) => {}
                () = stop.cancelled() => {}
            }
            process.kill().await;
            if !stop.is_cancelled() {
                tokens.end().await;
                run.close("its process had to be replaced").await;
            }
        });
    }
}

struct Watched {
    supervisor: Arc<Supervisor>,
    run: Arc<Run>,
    lines: Arc<Lines>,
}

impl Watched {
    /// Reads lines until the stream ends, or until it breaks the protocol: then it returns how.
    async fn listen(lines: Arc<Lines>, mut reader: BufReader<ChildStdout>, limit: usize) -> Option<String> {
        let mut line = Vec::with_capacity(4096);
        loop {
            match read_line(&mut reader, &mut line, limit).await {
                Ok(true) => {
                    lines.busy.store(true, Ordering::Relaxed);
                    let taken = lines.take(&line).await;
                    lines.busy.store(false, Ordering::Relaxed);
                    if let Err(why) = taken {
                        return Some(why);
                    }
                }
                Ok(false) => return None,
                Err(error) => return Some(error.to_string()),
            }
        }
    }

    /// Pings until an answer is missing. Returns the complaint. Only time in which the host itself was ready to read
    /// counts: an answer may be behind events that wait for the disk.
    async fn health(&self) -> String {
        let worker = &self.supervisor.settings.agent.worker;
        for ping in 1.. {
            tokio::time::sleep(worker.health_interval).await;
            let mut waited = Duration::ZERO;
            let mut sent = false;
            while self.lines.pong.load(Ordering::Relaxed) < ping {
                // A worker that does not even read leaves no room for the question.
                sent = sent || self.run.try_send(ToWorker::Ping { id: ping }.encode());
                tokio::time::sleep(LOOK_EVERY).await;
                if !self.lines.busy.load(Ordering::Relaxed) {
                    waited += LOOK_EVERY;
                }
                if waited >= worker.health_timeout {
                    break;
                }
            }
            if self.lines.pong.load(Ordering::Relaxed) < ping {
                break;
            }
        }
        format!("it did not answer for {:?} (worker.health_timeout)", worker.health_timeout)
    }
}
