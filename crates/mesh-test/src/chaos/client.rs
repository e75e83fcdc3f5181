//! What clients do: one sends a message and follows its task, others tap it; all resume where they were.

use super::call::{Trouble, ask, follow};
use super::checker::{Events, Job, is_final, state};
use crate::random::Random;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Pause before something is tried again.
const AGAIN: Duration = Duration::from_millis(150);
const TASK_NOT_FOUND: i64 = -32001;
const NOT_CANCELABLE: i64 = -32002;
const UNSUPPORTED_OPERATION: i64 = -32004;
const INVALID_PARAMS: i64 = -32602;

/// What all clients count together.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) tasks: AtomicU64,
    pub(super) seen: AtomicU64,
    pub(super) reconnects: AtomicU64,
    pub(super) repeated: AtomicU64,
    /// Refusals by code and text.
    pub(super) refusals: Mutex<BTreeMap<String, u64>>,
    /// Answers that knew less than an earlier answer.
    pub(super) behind: AtomicU64,
}

/// What every client knows.
#[derive(Clone)]
pub(super) struct World {
    /// Hosts; any of them will do.
    pub(super) urls: Arc<Vec<String>>,
    pub(super) counters: Arc<Counters>,
    /// Changes when connections are to be cut.
    pub(super) cut: watch::Receiver<u64>,
    /// When clients stop trying.
    pub(super) give_up: watch::Receiver<Option<Instant>>,
}

/// One client: where it is, and what it saw.
struct Client {
    world: World,
    random: Random,
    task: String,
    seen: Events,
}

/// What a message asks the worker for.
struct Wish {
    text: String,
    pieces: u64,
}

fn wish(random: &mut Random) -> Wish {
    let tell = |count: usize, pause: usize| format!("tell {count} {pause}");
    let (text, pieces) = match random.below(10) {
        0..5 => {
            let count = 5 + random.below(25);
            (tell(count, 20 + random.below(150)), count)
        }
        5..7 => {
            let count = 20 + random.below(80);
            (tell(count, 1 + random.below(10)), count)
        }
        7 => (format!("status 3 && {} && status 2", tell(10, 50)), 10),
        _ => (format!("{} && ask go on? && {}", tell(5, 50), tell(5, 50)), 10),
    };
    Wish { text, pieces: pieces as u64 }
}

/// Sends a message and lives with its task until it has ended.
pub(super) async fn work(world: World, seed: u64, message: String) -> Job {
    let mut random = Random::new(seed);
    let wish = wish(&mut random);
    let params =
        json!({"message": {"messageId": message, "role": "ROLE_USER", "parts": [{"text": wish.text}]}});
    let mut job = Job { message: message.clone(), pieces: wish.pieces, ..Job::default() };
    let cancel_at = random.one_in(12).then(|| 2 + random.below(10));
    let taps: Vec<u64> = (0..random.below(3)).map(|_| random.below(usize::MAX) as u64).collect();
    let mut sender = Client { world: world.clone(), random, task: String::new(), seen: Events::new() };
    job.done = sender.create(&params, &mut job.tasks).await;
    if job.done {
        world.counters.tasks.fetch_add(1, Ordering::Relaxed);
        let mut tappers = JoinSet::new();
        for seed in taps {
            let random = Random::new(seed);
            let mut tap =
                Client { world: world.clone(), random, task: sender.task.clone(), seen: Events::new() };
            tappers.spawn(async move { (tap.tap().await, tap.seen) });
        }
        if sender.random.one_in(4) {
            job.done = sender.create(&params, &mut job.tasks).await;
        }
        job.done &= sender.live(&message, cancel_at).await;
        for (n, (done, seen)) in tappers.join_all().await.into_iter().enumerate() {
            job.done &= done;
            job.transcripts.push((format!("tap {n}"), seen));
        }
    }
    job.transcripts.push(("sender".to_owned(), sender.seen));
    job
}

/// Sends a message once more, when all is over: it still means its task.
pub(super) async fn repeat(url: &str, job: &mut Job, seed: u64) -> Result<(), String> {
    let wish = wish(&mut Random::new(seed));
    let message = json!({"messageId": job.message, "role": "ROLE_USER", "parts": [{"text": wish.text}]});
    let params = json!({"message": message, "configuration": {"returnImmediately": true}});
    let answer =
        ask(url, "SendMessage", &params).await.map_err(|trouble| format!("{}: {trouble:?}", job.message))?;
    job.tasks.extend(id_in(&answer));
    Ok(())
}

fn id_in(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    Some(answer["task"]["id"].as_str()?.to_owned())
}

impl Client {
    fn url(&mut self) -> String {
        let urls = &self.world.urls;
        urls[self.random.below(urls.len())].clone()
    }

    fn may_go_on(&self) -> bool {
        self.world.give_up.borrow().is_none_or(|at| Instant::now() < at)
    }

    async fn trouble(&self, trouble: &Trouble) {
        let counters = &self.world.counters;
        match trouble {
            Trouble::Broken(_) => {
                counters.reconnects.fetch_add(1, Ordering::Relaxed);
            }
            Trouble::Refused(code, message) => {
                if *code == TASK_NOT_FOUND || (*code == INVALID_PARAMS && !self.seen.is_empty()) {
                    counters.behind.fetch_add(1, Ordering::Relaxed);
                }
                // Ids and numbers in it would make every text another one.
                let text: String = message.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
                let mut refusals =
                    counters.refusals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *refusals.entry(format!("{code} {text}")).or_default() += 1;
            }
        }
        sleep(AGAIN).await;
    }

    /// Sends the message, again and again, until an answer names its task. A first answer is also the begin of the
    /// transcript.
    async fn create(&mut self, params: &Value, tasks: &mut BTreeSet<String>) -> bool {
        let mut first = self.task.is_empty();
        let before = tasks.len();
        while self.may_go_on() {
            let url = self.url();
            if !first {
                self.world.counters.repeated.fetch_add(1, Ordering::Relaxed);
            }
            let mut seen = Events::new();
            let stream = follow(&url, "SendStreamingMessage", params, None, |seq, event| {
                tasks.extend(id_in(&event));
                seen.push((seq.unwrap_or_default(), event));
                // A repeated message is answered with the task as it is, which is no event of the log.
                if first { ends(&seen) } else { ControlFlow::Break(()) }
            });
            let outcome = cuttable(&mut self.world.cut, &mut self.random, stream).await;
            self.world.counters.seen.fetch_add(seen.len() as u64, Ordering::Relaxed);
            if let Some(task) = tasks.first()
                && (!seen.is_empty() || tasks.len() > before)
            {
                self.task.clone_from(task);
                if first {
                    self.seen = seen;
                }
                return true;
            }
            first = false;
            if let Err(trouble) = outcome {
                self.trouble(&trouble).await;
            }
        }
        false
    }

    /// Follows the task from where the client is, until the stream ends; leaves it early at `leave` events.
    async fn resume(&mut self, leave: Option<usize>, at_question: bool) {
        let (url, params) = (self.url(), json!({"id": self.task}));
        let after = self.seen.last().map_or(0, |(seq, _)| *seq);
        let before = self.seen.len();
        let seen = &mut self.seen;
        let stream = follow(&url, "SubscribeToTask", &params, Some(after), |seq, event| {
            seen.push((seq.unwrap_or_default(), event));
            match leave {
                Some(leave) if seen.len() >= leave => ControlFlow::Break(()),
                _ if at_question => ends(seen),
                _ => ControlFlow::Continue(()),
            }
        });
        let outcome = cuttable(&mut self.world.cut, &mut self.random, stream).await;
        self.world.counters.seen.fetch_add((self.seen.len() - before) as u64, Ordering::Relaxed);
        if let Err(trouble) = outcome {
            self.trouble(&trouble).await;
        }
    }

    fn state(&self) -> Option<String> {
        self.seen.iter().rev().find_map(|(_, event)| state(event))
    }

    fn has_ended(&self) -> bool {
        self.state().is_some_and(|state| is_final(&state))
    }

    /// The sender: resumes, answers the question, or cancels.
    async fn live(&mut self, message: &str, mut cancel_at: Option<usize>) -> bool {
        let mut answered = false;
        while !self.has_ended() {
            if !self.may_go_on() {
                return false;
            }
            if cancel_at.is_some_and(|at| self.seen.len() >= at) {
                cancel_at = None;
                let params = json!({"id": self.task});
                if !self.until_done("CancelTask", &params).await {
                    return false;
                }
            } else if !answered && self.state().as_deref() == Some("input_required") {
                answered = true;
                let message = json!({"messageId": format!("{message}-answer"), "taskId": self.task,
                    "role": "ROLE_USER", "parts": [{"text": "yes"}]});
                let params = json!({"message": message, "configuration": {"returnImmediately": true}});
                if !self.until_done("SendMessage", &params).await {
                    return false;
                }
            } else {
                self.resume(cancel_at, !answered).await;
            }
        }
        true
    }

    /// Asks until there is an answer that is no accident.
    async fn until_done(&mut self, method: &str, params: &Value) -> bool {
        while self.may_go_on() {
            let url = self.url();
            let call = ask(&url, method, params);
            match cuttable(&mut self.world.cut, &mut self.random, call).await {
                // The second: the task has ended meanwhile, canceled perhaps by this client.
                Ok(_) | Err(Trouble::Refused(NOT_CANCELABLE | UNSUPPORTED_OPERATION, _)) => return true,
                Err(trouble) => self.trouble(&trouble).await,
            }
        }
        false
    }

    /// Follows the whole task from its begin.
    async fn tap(&mut self) -> bool {
        // Some come late.
        sleep(Duration::from_millis(self.random.below(2000) as u64)).await;
        while !self.has_ended() {
            if !self.may_go_on() {
                return false;
            }
            let leave = self.random.one_in(5).then(|| self.seen.len() + 1 + self.random.below(20));
            self.resume(leave, false).await;
        }
        true
    }
}

/// Enough, when the task has ended or asks.
fn ends(seen: &Events) -> ControlFlow<()> {
    let state = seen.last().and_then(|(_, event)| state(event));
    match state.as_deref() {
        Some("input_required") => ControlFlow::Break(()),
        Some(state) if is_final(state) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

/// Lets a call go on until it is done, or its connection is cut.
async fn cuttable<T>(
    cut: &mut watch::Receiver<u64>,
    random: &mut Random,
    call: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::pin!(call);
    cut.mark_unchanged();
    loop {
        tokio::select! {
            done = &mut call => return done,
            changed = cut.changed() => {
                if changed.is_err() {
                    return call.await;
                }
                if random.one_in(2) {
                    return Err(Trouble::Broken("cut".to_owned()));
                }
            }
        }
    }
}

/// All events of a task, as a host tells them now.
pub(super) async fn whole_log(url: &str, task: &str) -> Result<Events, String> {
    let (mut events, params) = (Events::new(), json!({"id": task}));
    let read = follow(url, "SubscribeToTask", &params, Some(0), |seq, event| {
        events.push((seq.unwrap_or_default(), event));
        ControlFlow::Continue(())
    });
    match read.await {
        // One that waits for its client does not end; the checker sees where it is.
        Ok(()) => Ok(events),
        Err(Trouble::Broken(why)) if why == "silence" => Ok(events),
        Err(trouble) => Err(format!("task {task}: {trouble:?}")),
    }
}

/// The ids of all tasks that a host lists.
pub(super) async fn listed(url: &str) -> Result<BTreeSet<String>, String> {
    let (mut all, mut token) = (BTreeSet::new(), String::new());
    loop {
        let params = json!({"pageSize": 100, "pageToken": token, "historyLength": 0});
        let page = ask(url, "ListTasks", &params).await.map_err(|trouble| format!("list: {trouble:?}"))?;
        let page: Value = serde_json::from_slice(&page).map_err(|error| format!("list: {error}"))?;
        let tasks = page["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.extend(tasks.iter().filter_map(|task| task["id"].as_str().map(str::to_owned)));
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return Ok(all);
        }
    }
}
