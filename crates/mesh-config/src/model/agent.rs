use std::net::SocketAddr;
use std::time::Duration;

use super::on_worker_loss::OnWorkerLoss;
use super::tool_pattern::ToolPattern;
use super::{Card, Worker};
use crate::kinds::{Count, Dur, List, Listen, Opt, OrForever, PeerRef, Timeout, Url};
use crate::section::{all_defaults, section};

section! {
    /// An agent.
    pub struct Agent {
        /// Address to listen on; by custom from 127.0.0.1:8090 upwards.
        listen: SocketAddr as Listen,
        /// URL under which others reach it. http:// and the listen address if left out.
        public_url: Option<String> as Opt<Url>,
        /// What runs its tasks.
        worker: Worker as Worker,
        /// What it tells others about itself.
        card: Card as Card = "{}",
        /// Tools that it may call: upstream/tool, or upstream/* for all of an upstream.
        tools: Vec<ToolPattern> as List<ToolPattern> = "[]",
        /// Agents that it may call.
        peers: Vec<String> as List<PeerRef> = "[]",
        /// How its tasks are run.
        tasks: Tasks as Tasks = "{}",
    }
}

impl Agent {
    /// The URL under which others reach it.
    #[must_use]
    pub fn url(&self) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

section! {
    /// How the tasks of an agent are run.
    pub struct Tasks {
        /// Tasks that run at the same time.
        concurrency: usize as Count<usize, 1, 10_000> = "8",
        /// Tasks that wait; more are refused.
        queue: usize as Count<usize, 0, 1_000_000> = "1000",
        /// What happens to a task whose worker died: fail, or retry with the number of further attempts.
        on_worker_loss: OnWorkerLoss as OnWorkerLoss = "{ retry: 3 }",
        /// Time a canceled task gets to stop by itself.
        cancel_grace: Duration as Dur = "1s",
        /// Tokens of an answer that come within this time are one event. 0s: every token is one.
        join_tokens: Duration as Dur = "25ms",
        /// Where several hosts share the storage: after how long without a sign of life the others go on with a host's tasks.
        lease: Duration as Timeout = "10s",
        /// Longest time a task may take. No bound if left out.
        timeout: Option<Duration> as Opt<Timeout>,
        /// What is kept of ended tasks, and for how long.
        retention: Retention as Retention = "{}",
        /// How long a task is kept after its end whatever the retention says: so long, at least, its messages start nothing twice.
        remember_messages: Duration as Dur = "24h",
    }
}

section! {
    /// What is kept of ended tasks, and for how long. Unfinished tasks are never touched.
    pub struct Retention {
        /// How long after its end a task is deleted, with everything that belongs to it.
        age: Option<Duration> as OrForever<Timeout> = "forever",
        /// How many ended tasks of the agent are kept; those that ended first are deleted. forever: all of them.
        count: Option<u64> as OrForever<Count<u64, 0, 1_000_000_000>> = "forever",
        /// How long after its end a task's events are replaced by the task as it is.
        events: Option<Duration> as OrForever<Dur> = "7d",
    }
}

all_defaults!(Tasks, Retention);
