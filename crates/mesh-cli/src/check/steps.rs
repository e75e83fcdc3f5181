//! The checks, in the order in which they are made.

use super::memory::LIMITS;
use super::worker::{LINE_BYTES, Missing, Seen, Worker, user_message};
use super::{Check, PROTOCOL, Verdict};
use crate::cli::WorkerCheckArgs;
use crate::exit::Outcome;
use mesh_core::{TaskId, TraceContext};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// How long a `pong` may take.
const PONG: Duration = Duration::from_secs(5);
/// How long a worker may live on without standard input.
const EXIT: Duration = Duration::from_secs(2);
/// How long to wait for the first sign of a task before it is canceled.
const FIRST_SIGN: Duration = Duration::from_secs(1);
/// How much later than allowed a worker may be, for the sake of a busy machine.
const SLACK: Duration = Duration::from_millis(250);
/// A task that is over sooner says nothing about what a worker can do meanwhile.
const TOO_SHORT: Duration = Duration::from_millis(100);

/// Why a check did not pass.
enum Not {
    Passed(String),
    Told(String),
}

type Result<T = ()> = std::result::Result<T, Not>;

fn fail<T>(reason: impl Into<String>) -> Result<T> {
    Err(Not::Passed(reason.into()))
}

/// Makes all checks; those that need a running worker are left out when there is none.
pub(crate) async fn run(
    worker: Worker,
    args: &WorkerCheckArgs,
    extra: Value,
    mut tell: impl FnMut(Check) -> Outcome<()>,
) -> Outcome<()> {
    let mut tell = |name, result: Result| {
        let (verdict, reason) = match result {
            Ok(()) => (Verdict::Pass, None),
            Err(Not::Passed(reason)) => (Verdict::Fail, Some(reason)),
            Err(Not::Told(reason)) => (Verdict::Skip, Some(reason)),
        };
        tell(Check { name, verdict, reason }).map(|()| verdict == Verdict::Pass)
    };
    let mut host = Host { worker, args, pings: 0, tasks: Vec::new() };
    if !tell("the first line is `hello`", host.hello().await)?
        || !tell("`config` is answered with `ready`", host.ready(extra).await)?
    {
        return Ok(());
    }
    tell("`ping` is answered while idle", host.ping().await)?;
    tell("unknown types and fields are ignored", host.unknown().await)?;
    let task = host.task().await;
    tell("`ping` is answered while a task runs", host.ping_while_busy(&task).await)?;
    tell("a task ends with a terminal state", host.end(&task, args.task_timeout).await.map(|_| ()))?;
    tell("two tasks are worked on at once", host.two_at_once().await)?;
    tell("`cancel` ends a task within the grace period", host.cancel().await)?;
    tell("nothing follows a terminal state, also no other one", host.nothing_after_the_end())?;
    tell("every line about a task carries its id and its attempt", host.labels())?;
    tell("standard output has only protocol lines", host.no_stray_lines())?;
    tell("the worker exits when standard input ends", host.end_of_input().await)?;
    Ok(())
}

/// The host's side.
struct Host<'a> {
    worker: Worker,
    args: &'a WorkerCheckArgs,
    pings: u64,
    /// The tasks given out.
    tasks: Vec<String>,
}

impl Host<'_> {
    async fn hello(&mut self) -> Result {
        let first = self.worker.wait(0, self.args.start_timeout, |_| true).await;
        if let Some(line) = self.worker.stray.first() {
            return fail(format!("it is: {}", excerpt(line)));
        }
        let Seen { message, .. } = first.or_else(|missing| fail(said(missing, self.args.start_timeout)))?;
        if message["type"] != "hello" {
            return fail(format!("it is: {}", excerpt(&message.to_string())));
        }
        if message["protocol"] != PROTOCOL {
            return fail(format!("it says protocol {}, this is {PROTOCOL}", message["protocol"]));
        }
        Ok(())
    }

    async fn ready(&mut self, extra: Value) -> Result {
        let mut config = json!({
            "type": "config",
            "protocol": PROTOCOL,
            "agent": "check",
            "tools": [],
            "agents": [],
            "limits": { "line_bytes": LINE_BYTES },
            "memory": { "entry_bytes": LIMITS.0, "entries": LIMITS.1, "key_bytes": LIMITS.2 },
            "cancel_grace_ms": millis(self.args.cancel_grace),
        });
        if let (Some(config), Value::Object(extra)) = (config.as_object_mut(), extra) {
            config.extend(extra);
        }
        self.worker.send(&config).await;
        let answer = self
            .worker
            .wait(0, self.args.start_timeout, |message| {
                message["type"] == "ready" || message["type"] == "fatal"
            })
            .await;
        match answer {
            Ok(Seen { message, .. }) if message["type"] == "fatal" => fail(format!(
                "`fatal`: {}",
                excerpt(message["message"].as_str().unwrap_or("without a message"))
            )),
            Ok(_) => Ok(()),
            Err(missing) => fail(said(missing, self.args.start_timeout)),
        }
    }

    async fn ping(&mut self) -> Result {
        self.ask_for_pong(json!({})).await.map(|_| ())
    }

    async fn ask_for_pong(&mut self, fields: Value) -> Result<Seen> {
        let id = self.send_ping(fields).await;
        self.pong(id).await
    }

    async fn send_ping(&mut self, fields: Value) -> u64 {
        self.pings += 1;
        let mut ping = json!({ "type": "ping", "id": self.pings });
        if let (Some(ping), Value::Object(fields)) = (ping.as_object_mut(), fields) {
            ping.extend(fields);
        }
        self.worker.send(&ping).await;
        self.pings
    }

    async fn pong(&mut self, id: u64) -> Result<Seen> {
        let pong =
            self.worker.wait(0, PONG, |message| message["type"] == "pong" && message["id"] == id).await;
        pong.or_else(|missing| fail(format!("no `pong` with id {id}: {}", said(missing, PONG))))
    }

    async fn unknown(&mut self) -> Result {
        self.worker.send(&json!({ "type": "from-the-future", "task": 1, "deep": { "er": [1, null] } })).await;
        self.ask_for_pong(json!({ "future": { "field": true } })).await.map(|_| ())
    }

    /// Gives out a task.
    async fn task(&mut self) -> Given {
        let id = TaskId::generate().to_string();
        self.tasks.push(id.clone());
        let given = Given { id, from: self.worker.seen.len(), at: Instant::now() };
        self.worker
            .send(&json!({
                "type": "task",
                "task": given.id,
                "attempt": 1,
                "context": uuid::Uuid::now_v7().to_string(),
                "tenant": "default",
                "principal": { "id": "local", "kind": "person" },
                "message": user_message(&self.args.text),
                "answers": [],
                "traceparent": TraceContext::root().to_string(),
            }))
            .await;
        given
    }

    async fn end(&mut self, task: &Given, limit: Duration) -> Result<Seen> {
        let end = self.worker.wait(task.from, limit, |message| is_end(message, &task.id)).await;
        end.or_else(|missing| fail(format!("no terminal state: {}", said(missing, limit))))
    }

    async fn ping_while_busy(&mut self, task: &Given) -> Result {
        let id = self.send_ping(json!({})).await;
        let pong = self.pong(id).await?;
        let ended = self.worker.seen.iter().find(|seen| is_end(&seen.message, &task.id));
        match ended {
            Some(end) if end.at <= pong.at && end.at - task.at > TOO_SHORT => {
                fail("the answer came only after the task had ended")
            }
            Some(end) if end.at <= pong.at => {
                Err(Not::Told("the task was over at once; give one that takes longer with --text".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Looked at late, when whatever might still come has come.
    fn nothing_after_the_end(&self) -> Result {
        let mut ended: Vec<&str> = Vec::new();
        for Seen { message, .. } in &self.worker.seen {
            let Some(task) = message["task"].as_str().filter(|_| message["type"] == "event") else {
                continue;
            };
            if ended.contains(&task) {
                return fail(format!("after it came: {}", excerpt(&message.to_string())));
            }
            if is_end(message, task) {
                ended.push(task);
            }
        }
        Ok(())
    }

    async fn two_at_once(&mut self) -> Result {
        let (first, second) = (self.task().await, self.task().await);
        let (first_end, second_end) = (
            self.end(&first, self.args.task_timeout).await?,
            self.end(&second, self.args.task_timeout).await?,
        );
        let (earlier, other) =
            if first_end.at <= second_end.at { (first_end, &second) } else { (second_end, &first) };
        if earlier.at - first.at <= TOO_SHORT {
            return Err(Not::Told(
                "the tasks were over at once; give one that takes longer with --text".to_owned(),
            ));
        }
        let overlap =
            self.worker.seen.iter().any(|seen| seen.at <= earlier.at && seen.message["task"] == other.id);
        if overlap { Ok(()) } else { fail("the second began only when the first had ended") }
    }

    async fn cancel(&mut self) -> Result {
        let task = self.task().await;
        let _ = self.worker.wait(task.from, FIRST_SIGN, |message| message["task"] == task.id).await;
        if self.worker.seen.iter().any(|seen| is_end(&seen.message, &task.id)) {
            return Err(Not::Told(
                "the task was over before it could be canceled; give a longer one with --text".to_owned(),
            ));
        }
        self.worker.send(&json!({ "type": "cancel", "task": task.id, "attempt": 1 })).await;
        let Seen { message, .. } = self.end(&task, self.args.cancel_grace + SLACK).await?;
        match message["state"].as_str() {
            Some("canceled" | "completed") => self.ping().await,
            state => fail(format!("its state is `{}`", state.unwrap_or_default())),
        }
    }

    fn labels(&self) -> Result {
        for Seen { message, .. } in &self.worker.seen {
            if message["type"] != "event" && message["type"] != "call" {
                continue;
            }
            let known =
                message["task"].as_str().is_some_and(|task| self.tasks.iter().any(|known| known == task));
            if !known || message["attempt"] != 1 {
                return fail(format!("not so: {}", excerpt(&message.to_string())));
            }
            if message["type"] == "event"
                && !matches!(message["kind"].as_str(), Some("status" | "token" | "artifact" | "state"))
            {
                return fail(format!("unknown `kind`: {}", excerpt(&message.to_string())));
            }
        }
        Ok(())
    }

    fn no_stray_lines(&self) -> Result {
        match self.worker.stray.first() {
            None => Ok(()),
            Some(line) => fail(format!("this is none: {}", excerpt(line))),
        }
    }

    async fn end_of_input(mut self) -> Result {
        self.task().await;
        match self.worker.close(EXIT + SLACK).await {
            Some(_) => Ok(()),
            None => fail(format!("it still runs after {} s", EXIT.as_secs())),
        }
    }
}

/// A task given out.
struct Given {
    id: String,
    /// How many messages had come before.
    from: usize,
    at: Instant,
}

fn is_end(message: &Value, task: &str) -> bool {
    message["type"] == "event"
        && message["kind"] == "state"
        && message["task"] == task
        && matches!(message["state"].as_str(), Some("completed" | "failed" | "rejected" | "canceled"))
}

fn said(missing: Missing, limit: Duration) -> String {
    match missing {
        Missing::TimedOut => format!("nothing within {} s", limit.as_secs_f64()),
        Missing::Closed => "the worker closed its standard output".to_owned(),
    }
}

fn excerpt(line: &str) -> String {
    crate::output::shorten(line, 120)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
