use super::*;
use crate::dispatch::Dispatcher;
use crate::metrics::HostMetrics;
use crate::worker::Run;
use async_trait::async_trait;
use bytes::Bytes;
use mesh_core::lifecycle::{Command, NewTask, OnWorkerLoss, Policy, Report};
use mesh_core::model::{Message, Part, Role, TaskState};
use mesh_core::{AgentName, ContextId, MessageId, Principal, PrincipalId, Seq, SystemClock, TaskId, TaskKey};
use mesh_core::{Tenant, TraceContext};
use mesh_log::{
    Append, AppendError, EventLog, ListQuery, LogError, MemoryLog, Page, ReadLimit, StoredEvent, TaskHead,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A log whose disk can be full.
struct Flaky {
    log: MemoryLog,
    full: AtomicBool,
}

#[async_trait]
impl EventLog for Flaky {
    async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(LogError::Full("no space left".to_owned()).into());
        }
        self.log.append(append).await
    }

    async fn read(&self, key: &TaskKey, after: Seq, limit: ReadLimit) -> Result<Vec<StoredEvent>, LogError> {
        self.log.read(key, after, limit).await
    }

    async fn head(&self, key: &TaskKey) -> Result<Option<TaskHead>, LogError> {
        self.log.head(key).await
    }

    async fn list(&self, query: ListQuery) -> Result<Page, LogError> {
        self.log.list(query).await
    }

    async fn unfinished(
        &self,
        agent: &AgentName,
        after: Option<&TaskKey>,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        self.log.unfinished(agent, after, limit).await
    }

    async fn created_by(
        &self,
        tenant: &Tenant,
        owner: &PrincipalId,
        agent: &AgentName,
        message: &MessageId,
    ) -> Result<Option<TaskId>, LogError> {
        self.log.created_by(tenant, owner, agent, message).await
    }

    async fn tail(&self, key: &TaskKey) -> Result<watch::Receiver<Seq>, LogError> {
        self.log.tail(key).await
    }

    async fn close(&self) {
        self.log.close().await;
    }
}

/// Owners over a log, with a worker whose lines the test reads and whose words the test speaks.
struct Bench {
    log: Arc<Flaky>,
    owners: Owners,
    dispatcher: Arc<Dispatcher>,
    lines: mpsc::Receiver<Bytes>,
    run: Arc<Run>,
}

impl Bench {
    fn new(concurrency: usize, queue: usize) -> Self {
        let log = Arc::new(Flaky { log: MemoryLog::new(), full: AtomicBool::new(false) });
        let metrics =
            HostMetrics::register(&mut prometheus_client::registry::Registry::default()).for_agent("sales");
        let (outbox, lines) = mpsc::channel(64);
        let run = Run::new(outbox, 16, Duration::from_secs(1));
        let (_, ready) = watch::channel(Some(Arc::clone(&run)));
        let dispatcher = Arc::new(Dispatcher::new(concurrency, queue, ready, metrics.clone()));
        let owners = Owners::new(OwnersParts {
            log: Arc::clone(&log) as Arc<dyn EventLog>,
            clock: Arc::new(SystemClock),
            policy: Policy { on_worker_loss: OnWorkerLoss::Retry(3), max_events: 1000, max_bytes: 1 << 20 },
            timeout: None,
            dispatcher: Arc::clone(&dispatcher),
            metrics,
        });
        let work = Arc::clone(&dispatcher);
        tokio::spawn(async move { work.dispatch(CancellationToken::new()).await });
        Self { log, owners, dispatcher, lines, run }
    }

    async fn create(&self) -> TaskKey {
        let activity = self.dispatcher.admit().expect("a place");
        let new = NewTask {
            id: TaskId::generate(),
            context_id: ContextId::generate(),
            owner: Principal::local(),
            agent: AgentName::from("sales"),
            message: Message::new(Role::User, vec![Part::text("go")]),
            trace: TraceContext::root(),
        };
        let key = TaskKey::new(Tenant::from("default"), new.id.clone());
        self.owners.create(new, activity).await.expect("created");
        key
    }

    /// The next line to the worker, which must be of this type.
    async fn line(&mut self, kind: &str) -> serde_json::Value {
        let line = self.lines.recv().await.expect("a line");
        let line: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(line["type"], kind, "{line}");
        line
    }

    async fn report(&self, key: &TaskKey, attempt: u32, report: Report) {
        let owner = self.owners.owner(key).await.expect("an owner");
        owner.send(Ask::Report { attempt, report }).await.expect("alive");
    }

    /// The worker stops a canceled attempt, as it should.
    async fn stop(&mut self, key: &TaskKey, attempt: u32) {
        assert_eq!(self.line("cancel").await["task"], key.task.as_str());
        assert!(self.run.finish(&key.task, attempt));
    }

    async fn settled(&self, key: &TaskKey) -> TaskState {
        self.owners.ask(key, Ask::Settled).await.expect("settled").task.status.state
    }
}

fn finish(state: TaskState) -> Report {
    Report::Finish { state, parts: Vec::new() }
}

#[tokio::test]
async fn a_task_is_given_to_the_worker_and_ends_with_what_it_says() {
    let mut bench = Bench::new(1, 4);
    let key = bench.create().await;
    let task = bench.line("task").await;
    assert_eq!(
        (task["attempt"].as_u64(), task["message"]["parts"][0]["text"].as_str()),
        (Some(1), Some("go"))
    );
    bench.report(&key, 1, finish(TaskState::Completed)).await;
    assert_eq!(bench.settled(&key).await, TaskState::Completed);
    let events = bench.log.read(&key, 0, ReadLimit::default()).await.unwrap();
    assert_eq!(events.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn a_worker_that_speaks_for_an_older_attempt_changes_nothing() {
    let mut bench = Bench::new(2, 4);
    let key = bench.create().await;
    bench.line("task").await;
    let owner = bench.owners.owner(&key).await.unwrap();
    owner.send(Ask::Lost { attempt: 1, reason: "killed".to_owned() }).await.unwrap();
    assert_eq!(bench.line("task").await["attempt"], 2);
    bench.report(&key, 1, finish(TaskState::Completed)).await;
    bench.report(&key, 2, finish(TaskState::Failed)).await;
    assert_eq!(bench.settled(&key).await, TaskState::Failed);
}

#[tokio::test]
async fn a_canceled_task_leaves_the_queue_and_frees_its_place() {
    let mut bench = Bench::new(1, 1);
    let running = bench.create().await;
    bench.line("task").await;
    let waiting = bench.create().await;
    assert!(bench.dispatcher.admit().is_none(), "one runs and one waits");
    bench.owners.command(&waiting, Command::Cancel).await.unwrap();
    let next = bench.create().await;
    bench.owners.command(&running, Command::Cancel).await.unwrap();
    assert_eq!(bench.settled(&running).await, TaskState::Canceled);
    assert_eq!(bench.settled(&waiting).await, TaskState::Canceled);
    bench.stop(&running, 1).await;
    assert_eq!(bench.line("task").await["task"], next.task.as_str());
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_costs_the_attempt_and_not_the_task() {
    let mut bench = Bench::new(2, 4);
    let key = bench.create().await;
    bench.line("task").await;
    bench.log.full.store(true, Ordering::Relaxed);
    bench.report(&key, 1, Report::Status(vec![Part::text("lost words")])).await;
    bench.stop(&key, 1).await;
    bench.log.full.store(false, Ordering::Relaxed);
    assert_eq!(bench.line("task").await["attempt"], 2);
    bench.report(&key, 2, finish(TaskState::Completed)).await;
    assert_eq!(bench.settled(&key).await, TaskState::Completed);
    let text: Vec<u8> = bench
        .log
        .read(&key, 0, ReadLimit::default())
        .await
        .unwrap()
        .iter()
        .flat_map(|e| e.public.to_vec())
        .collect();
    assert!(!String::from_utf8(text).unwrap().contains("lost words"));
}

#[tokio::test]
async fn a_message_that_resumes_a_waiting_attempt_reaches_it_and_a_repetition_does_not() {
    let mut bench = Bench::new(1, 4);
    let key = bench.create().await;
    bench.line("task").await;
    let question = Report::Ask { state: TaskState::InputRequired, parts: vec![Part::text("who?")] };
    bench.report(&key, 1, question).await;
    assert_eq!(bench.settled(&key).await, TaskState::InputRequired);
    let answer = Message::new(Role::User, vec![Part::text("Ada")]);
    for _ in 0..2 {
        bench.owners.command(&key, Command::Receive(answer.clone())).await.unwrap();
    }
    assert_eq!(bench.line("input").await["message"]["parts"][0]["text"], "Ada");
    bench.report(&key, 1, finish(TaskState::Completed)).await;
    assert_eq!(bench.settled(&key).await, TaskState::Completed);
    assert!(bench.lines.try_recv().is_err(), "the answer was delivered once");
}
