use super::*;
use crate::dispatch::Dispatcher;
use crate::metrics::HostMetrics;
use crate::worker::Run;
use async_trait::async_trait;
use bytes::Bytes;
use mesh_core::lifecycle::{Command, NewTask, OnWorkerLoss, Policy, Report};
use mesh_core::model::{Message, Part, Role, TaskState};
use mesh_core::{AgentName, ContextId, MessageId, Principal, PrincipalId, Seq, TaskId, TaskKey};
use mesh_core::{Clock, Tenant, Timestamp, TraceContext};
use mesh_log::{
    Append, AppendError, Ended, EventLog, ListQuery, LogError, MemoryLog, Page, Pressure, ReadLimit, Records,
    StoredEvent, TaskHead, Trim,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A log whose disk can be full, and whose answers to appends can be held back.
struct Flaky {
    log: MemoryLog,
    full: AtomicBool,
    /// Appends that were refused.
    refused: AtomicUsize,
    /// Reads fail, too.
    unreadable: AtomicBool,
    /// Closed for as long as answers are held back.
    answers: Semaphore,
}

impl Flaky {
    fn new(shared: bool) -> Self {
        Self {
            log: if shared { MemoryLog::new().for_several_hosts() } else { MemoryLog::new() },
            full: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
            unreadable: AtomicBool::new(false),
            answers: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }

    fn hold_answers(&self) -> usize {
        self.answers.forget_permits(Semaphore::MAX_PERMITS)
    }
}

#[async_trait]
impl EventLog for Flaky {
    async fn append(&self, append: Append) -> Result<Seq, AppendError> {
        if self.full.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(LogError::Full("no space left".to_owned()).into());
        }
        let outcome = self.log.append(append).await;
        let _answered = self.answers.acquire().await;
        outcome
    }

    async fn read(&self, key: &TaskKey, after: Seq, limit: ReadLimit) -> Result<Vec<StoredEvent>, LogError> {
        self.log.read(key, after, limit).await
    }

    async fn head(&self, key: &TaskKey) -> Result<Option<TaskHead>, LogError> {
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(LogError::Failed("input/output error".to_owned()));
        }
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

    async fn queue(&self, agent: &AgentName, limit: usize) -> Result<Vec<TaskHead>, LogError> {
        self.log.queue(agent, limit).await
    }

    async fn pressure(&self, agent: &AgentName) -> Result<Pressure, LogError> {
        self.log.pressure(agent).await
    }

    async fn ended(
        &self,
        agent: &AgentName,
        before: Timestamp,
        which: Ended,
        limit: usize,
    ) -> Result<Vec<TaskHead>, LogError> {
        self.log.ended(agent, before, which, limit).await
    }

    async fn trim(&self, tasks: Vec<Trim>) -> Result<Vec<TaskKey>, LogError> {
        self.log.trim(tasks).await
    }

    async fn reclaim(&self) -> Result<bool, LogError> {
        self.log.reclaim().await
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.log.arrivals()
    }

    fn is_shared(&self) -> bool {
        self.log.is_shared()
    }

    fn records(&self) -> &dyn Records {
        self.log.records()
    }

    async fn close(&self) {
        self.log.close().await;
    }
}

/// A clock that stands still until it is set, in milliseconds.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

const POLICY: Policy =
    Policy { on_worker_loss: OnWorkerLoss::Retry(3), max_events: 1000, max_bytes: 1 << 20 };

/// Owners over a log, with a worker whose lines the test reads and whose words the test speaks.
struct Bench {
    log: Arc<Flaky>,
    owners: Owners,
    dispatcher: Arc<Dispatcher>,
    lines: mpsc::Receiver<Bytes>,
    run: Arc<Run>,
    clock: Arc<Hands>,
}

impl Bench {
    fn new(concurrency: usize, queue: usize) -> Self {
        Self::with_timeout(concurrency, queue, None)
    }

    fn with_timeout(concurrency: usize, queue: usize, timeout: Option<Duration>) -> Self {
        Self::on(Flaky::new(false), concurrency, queue, timeout)
    }

    fn on(log: Flaky, concurrency: usize, queue: usize, timeout: Option<Duration>) -> Self {
        let log = Arc::new(log);
        let metrics =
            HostMetrics::register(&mut prometheus_client::registry::Registry::default()).for_agent("sales");
        let (outbox, lines) = mpsc::channel(64);
        let run = Run::new(outbox, 16, Duration::from_secs(1));
        let (_, ready) = watch::channel(Some(Arc::clone(&run)));
        let dispatcher = Arc::new(Dispatcher::new(concurrency, queue, ready, metrics.clone()));
        let clock = Arc::new(Hands::default());
        let owners = Owners::new(OwnersParts {
            host: "here".into(),
            log: Arc::clone(&log) as Arc<dyn EventLog>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            policy: POLICY,
            timeout,
            dispatcher: Arc::clone(&dispatcher),
            metrics,
            working: Arc::default(),
        });
        let work = Arc::clone(&dispatcher);
        tokio::spawn(async move { work.dispatch(CancellationToken::new()).await });
        Self { log, owners, dispatcher, lines, run, clock }
    }

    async fn create(&self) -> TaskKey {
        let activity = self.dispatcher.admit().expect("a place");
        let new = new_task();
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
        let owner = self.owners.owner(key);
        owner.send(Ask::Report { attempt, report, room: None }).await.expect("alive");
    }

    /// The worker stops a canceled attempt, as it should.
    async fn stop(&mut self, key: &TaskKey, attempt: u32) {
        assert_eq!(self.line("cancel").await["task"], key.task.as_str());
        assert!(self.run.finish(&key.task, attempt));
    }

    async fn settled(&self, key: &TaskKey) -> TaskState {
        self.owners.ask(key, Detail::Whole, Ask::Settled).await.expect("settled").task.status.state
    }
}

fn new_task() -> NewTask {
    NewTask {
        id: TaskId::generate(),
        context_id: ContextId::generate(),
        owner: Principal::local(),
        agent: AgentName::from("sales"),
        message: Message::new(Role::User, vec![Part::text("go")]),
        trace: TraceContext::root(),
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
    let owner = bench.owners.owner(&key);
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
    bench.owners.command(&waiting, Detail::Whole, Command::Cancel).await.unwrap();
    let next = bench.create().await;
    bench.owners.command(&running, Detail::Whole, Command::Cancel).await.unwrap();
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
        bench.owners.command(&key, Detail::Whole, Command::Receive(answer.clone())).await.unwrap();
    }
    assert_eq!(bench.line("input").await["message"]["parts"][0]["text"], "Ada");
    bench.report(&key, 1, finish(TaskState::Completed)).await;
    assert_eq!(bench.settled(&key).await, TaskState::Completed);
    assert!(bench.lines.try_recv().is_err(), "the answer was delivered once");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_finds_a_new_task_before_its_creator_is_told_takes_nothing_from_it() {
    let mut bench = Bench::new(2, 4);
    bench.log.hold_answers();
    let (new, activity) = (new_task(), bench.dispatcher.admit().unwrap());
    let key = TaskKey::new(Tenant::from("default"), new.id.clone());
    let owners = bench.owners.clone();
    let creating = tokio::spawn(async move { owners.create(new, activity).await.map(|_| ()) });
    while bench.log.log.head(&key).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let (owners, asked) = (bench.owners.clone(), key.clone());
    let asking = tokio::spawn(async move { owners.ask(&asked, Detail::Whole, Ask::Settled).await });
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    bench.log.answers.add_permits(64);
    creating.await.unwrap().unwrap();
    let line = tokio::time::timeout(Duration::from_secs(60), bench.line("task")).await;
    assert_eq!(line.expect("the worker gets the task")["attempt"], 1);
    bench.report(&key, 1, finish(TaskState::Completed)).await;
    assert_eq!(asking.await.unwrap().unwrap().task.status.state, TaskState::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_lost_words_to_a_full_disk_cannot_complete_without_them() {
    let mut bench = Bench::new(2, 4);
    let key = bench.create().await;
    bench.line("task").await;
    bench.log.full.store(true, Ordering::Relaxed);
    bench.report(&key, 1, Report::Status(vec![Part::text("lost words")])).await;
    bench.stop(&key, 1).await;
    bench.log.full.store(false, Ordering::Relaxed);
    bench.report(&key, 1, finish(TaskState::Completed)).await;
    assert_eq!(bench.line("task").await["attempt"], 2);
    bench.report(&key, 2, finish(TaskState::Failed)).await;
    assert_eq!(bench.settled(&key).await, TaskState::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_even_be_read_costs_the_attempt_and_not_the_task() {
    let mut bench = Bench::new(2, 4);
    let key = bench.create().await;
    bench.line("task").await;
    bench.log.full.store(true, Ordering::Relaxed);
    bench.log.unreadable.store(true, Ordering::Relaxed);
    bench.report(&key, 1, finish(TaskState::Completed)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    bench.log.full.store(false, Ordering::Relaxed);
    bench.log.unreadable.store(false, Ordering::Relaxed);
    bench.stop(&key, 1).await;
    assert_eq!(bench.line("task").await["attempt"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_time_is_up_does_not_hammer_a_full_disk() {
    let mut bench = Bench::with_timeout(2, 4, Some(Duration::ZERO));
    bench.log.full.store(false, Ordering::Relaxed);
    let key = TaskKey::new(Tenant::from("default"), TaskId::generate());
    let mut new = new_task();
    new.id = key.task.clone();
    let activity = bench.dispatcher.admit().unwrap();
    let log = Arc::clone(&bench.log);
    log.hold_answers();
    let owners = bench.owners.clone();
    let creating = tokio::spawn(async move { owners.create(new, activity).await.map(|_| ()) });
    while log.log.head(&key).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    log.full.store(true, Ordering::Relaxed);
    log.answers.add_permits(64);
    creating.await.unwrap().unwrap();
    bench.line("task").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(log.refused.load(Ordering::Relaxed) <= 11, "about once a second");
    log.full.store(false, Ordering::Relaxed);
    assert_eq!(bench.settled(&key).await, TaskState::Failed);
}

#[tokio::test]
async fn an_attempt_that_goes_on_with_an_answer_counts_among_those_that_run() {
    let mut bench = Bench::new(1, 8);
    let asking = bench.create().await;
    bench.line("task").await;
    bench.report(&asking, 1, Report::Ask { state: TaskState::InputRequired, parts: Vec::new() }).await;
    assert_eq!(bench.settled(&asking).await, TaskState::InputRequired);
    let running = bench.create().await;
    bench.line("task").await;
    let answer = Message::new(Role::User, vec![Part::text("Ada")]);
    bench.owners.command(&asking, Detail::Whole, Command::Receive(answer)).await.unwrap();
    bench.line("input").await;
    let waiting = bench.create().await;
    bench.report(&running, 1, finish(TaskState::Completed)).await;
    bench.settled(&running).await;
    bench.run.finish(&running.task, 1);
    tokio::task::yield_now().await;
    assert!(bench.lines.try_recv().is_err(), "the place is the answered attempt's");
    bench.run.finish(&asking.task, 1);
    assert_eq!(bench.line("task").await["task"], waiting.task.as_str());
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_task_whose_owner_rests_starts_a_new_attempt() {
    let mut bench = Bench::new(1, 8);
    let key = bench.create().await;
    bench.line("task").await;
    bench.report(&key, 1, Report::Ask { state: TaskState::InputRequired, parts: Vec::new() }).await;
    bench.settled(&key).await;
    bench.owners.owner(&key).send(Ask::Lost { attempt: 1, reason: "killed".to_owned() }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.owners.len(), 0, "nobody holds it in memory");
    let answer = Message::new(Role::User, vec![Part::text("Ada")]);
    bench.owners.command(&key, Detail::Whole, Command::Receive(answer)).await.unwrap();
    let task = bench.line("task").await;
    assert_eq!((&task["attempt"], &task["answers"][0]["parts"][0]["text"]), (&2.into(), &"Ada".into()));
}

#[tokio::test]
async fn a_task_that_is_not_there_gets_no_owner() {
    let bench = Bench::new(1, 1);
    let key = TaskKey::new(Tenant::from("default"), TaskId::generate());
    let refused = bench.owners.command(&key, Detail::Whole, Command::Cancel).await;
    assert!(matches!(refused, Err(OwnerError::NotFound)));
    while bench.owners.len() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_nobody_answers_runs_out_of_time_and_costs_no_memory_until_then() {
    let mut bench = Bench::with_timeout(1, 8, Some(Duration::from_secs(3600)));
    let key = bench.create().await;
    bench.line("task").await;
    bench.report(&key, 1, Report::Ask { state: TaskState::InputRequired, parts: Vec::new() }).await;
    bench.settled(&key).await;
    bench.owners.owner(&key).send(Ask::Lost { attempt: 1, reason: "killed".to_owned() }).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.owners.len(), 0);
    bench.clock.0.store(3601 * 1000, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(bench.log.head(&key).await.unwrap().unwrap().state, TaskState::Failed);
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_behind_a_task_that_another_host_ended_and_trimmed_reads_it_again() {
    let mut bench = Bench::on(Flaky::new(true), 1, 4, None);
    let key = bench.create().await;
    bench.line("task").await;
    // This host sees nothing of what the other one does until it is done.
    bench.log.unreadable.store(true, Ordering::Relaxed);
    let log = &bench.log.log;
    let mut record = rows::load(log, &key, Detail::Whole).await.unwrap().unwrap();
    let expected_seq = record.seq;
    let transition =
        mesh_core::lifecycle::apply(&record, Command::Cancel, &POLICY, bench.clock.now()).unwrap();
    let events = transition.events.iter().map(|event| rows::encode(event, &record.task)).collect();
    record.commit(transition);
    let head = rows::head_of(&record);
    log.append(Append { expected_seq, events, head, creates: None }).await.unwrap();
    let task = record.task.clone();
    let snapshot =
        mesh_core::event::TaskEvent::Created(Box::new(task)).encode(&key.task, &record.task.context_id);
    let trim = Trim { key: key.clone(), seq: record.seq, snapshot: Some(snapshot.into()) };
    assert_eq!(log.trim(vec![trim]).await.unwrap().len(), 1);
    bench.log.unreadable.store(false, Ordering::Relaxed);
    assert_eq!(bench.settled(&key).await, TaskState::Canceled);
    bench.stop(&key, 1).await;
    let read = bench.owners.snapshot(&key, Detail::Whole).await.unwrap();
    assert_eq!((read.task, read.seq), (record.task, record.seq));
}

#[tokio::test]
async fn who_asks_an_owner_that_is_just_retiring_is_not_left_without_an_answer() {
    let mut bench = Bench::new(1, 4);
    let key = bench.create().await;
    bench.line("task").await;
    let owner = bench.owners.owner(&key);
    let place = owner.reserve().await.unwrap();
    bench.report(&key, 1, finish(TaskState::Completed)).await;
    // It takes no more asks, but this one has its place in the mailbox.
    owner.closed().await;
    let (reply, answer) = ask::Reply::new(Detail::Whole);
    place.send(Ask::Snapshot(reply));
    let dropped = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("an end in time");
    assert!(dropped.is_err());
    assert_eq!(bench.settled(&key).await, TaskState::Completed);
}
