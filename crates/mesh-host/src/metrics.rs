//! What the host counts. The names are those of the founding document; `docs/metrics.md` explains each.

use mesh_core::model::TaskState;
use mesh_log::Pressure;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AgentLabel {
    agent: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    agent: String,
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    agent: String,
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushLabels {
    agent: String,
    outcome: &'static str,
}

/// The metrics of all hosts of a process; each host takes its own through [`for_agent`](Self::for_agent).
#[derive(Clone)]
pub struct HostMetrics {
    tasks: Family<OutcomeLabels, Counter>,
    duration: Family<AgentLabel, Histogram, fn() -> Histogram>,
    connections: Family<AgentLabel, Gauge>,
    queued: Family<AgentLabel, Gauge>,
    active: Family<AgentLabel, Gauge>,
    subscribers: Family<AgentLabel, Gauge>,
    restarts: Family<AgentLabel, Counter>,
    fenced: Family<AgentLabel, Counter>,
    takeovers: Family<AgentLabel, Counter>,
    push: Family<PushLabels, Counter>,
    push_given_up: Family<AgentLabel, Gauge>,
    trimmed: Family<AgentLabel, Counter>,
    deleted: Family<AgentLabel, Counter>,
    pressure: Family<StageLabels, Gauge>,
    oldest: Family<AgentLabel, Gauge<f64, AtomicU64>>,
    per_second: Family<AgentLabel, Gauge<f64, AtomicU64>>,
}

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0])
}

impl HostMetrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            tasks: Family::default(),
            duration: Family::new_with_constructor(seconds),
            connections: Family::default(),
            queued: Family::default(),
            active: Family::default(),
            subscribers: Family::default(),
            restarts: Family::default(),
            fenced: Family::default(),
            takeovers: Family::default(),
            push: Family::default(),
            push_given_up: Family::default(),
            trimmed: Family::default(),
            deleted: Family::default(),
            pressure: Family::default(),
            oldest: Family::default(),
            per_second: Family::default(),
        };
        let m = &metrics;
        registry.register("a2a_tasks", "Tasks that have ended, by state", m.tasks.clone());
        registry.register(
            "a2a_task_duration_seconds",
            "From creation of a task to its end",
            m.duration.clone(),
        );
        registry.register("a2a_active_connections", "Open client connections", m.connections.clone());
        registry.register("a2a_queue_depth", "Tasks that wait for a worker", m.queued.clone());
        registry.register("a2a_active_tasks", "Tasks queued or running", m.active.clone());
        registry.register("a2a_subscribers", "Open event streams", m.subscribers.clone());
        registry.register(
            "a2a_worker_restarts",
            "Worker processes that had to be replaced",
            m.restarts.clone(),
        );
        registry.register(
            "a2a_fenced_lines",
            "Lines of workers refused as stale or ill-timed",
            m.fenced.clone(),
        );
        registry.register(
            "a2a_takeovers",
            "Attempts of lost hosts that this host tried to go on with",
            m.takeovers.clone(),
        );
        registry.register(
            "a2a_push_notifications",
            "Push notifications by outcome: delivered, failed (tried again), given_up",
            m.push.clone(),
        );
        registry.register(
            "a2a_push_given_up",
            "Push notification configurations that were given up and wait to be tried again",
            m.push_given_up.clone(),
        );
        registry.register(
            "a2a_trimmed_tasks",
            "Ended tasks whose events this host replaced by a snapshot",
            m.trimmed.clone(),
        );
        registry.register("a2a_deleted_tasks", "Ended tasks that this host deleted", m.deleted.clone());
        registry.register(
            "a2a_unfinished_tasks",
            "Unfinished tasks of the agent on all hosts, by stage: queued, working, waiting for the client",
            m.pressure.clone(),
        );
        registry.register(
            "a2a_oldest_queued_seconds",
            "How long the task has waited that waits longest, on all hosts",
            m.oldest.clone(),
        );
        registry.register(
            "a2a_tasks_per_second",
            "Tasks that ended on this host, per second over the last 30 s",
            m.per_second.clone(),
        );
        metrics
    }

    /// The metrics of one agent.
    pub fn for_agent(&self, agent: &str) -> AgentMetrics {
        let label = AgentLabel { agent: agent.to_owned() };
        AgentMetrics {
            agent: agent.to_owned(),
            tasks: self.tasks.clone(),
            duration: self.duration.get_or_create_owned(&label),
            connections: self.connections.get_or_create_owned(&label),
            queued: self.queued.get_or_create_owned(&label),
            active: self.active.get_or_create_owned(&label),
            subscribers: self.subscribers.get_or_create_owned(&label),
            restarts: self.restarts.get_or_create_owned(&label),
            fenced: self.fenced.get_or_create_owned(&label),
            takeovers: self.takeovers.get_or_create_owned(&label),
            push: self.push.clone(),
            push_given_up: self.push_given_up.get_or_create_owned(&label),
            trimmed: self.trimmed.get_or_create_owned(&label),
            deleted: self.deleted.get_or_create_owned(&label),
            pressure: self.pressure.clone(),
            oldest: self.oldest.get_or_create_owned(&label),
            per_second: self.per_second.get_or_create_owned(&label),
            ended: Arc::default(),
        }
    }
}

/// The metrics of one agent.
#[derive(Clone)]
pub struct AgentMetrics {
    agent: String,
    tasks: Family<OutcomeLabels, Counter>,
    duration: Histogram,
    /// Open client connections.
    pub connections: Gauge,
    pub(crate) queued: Gauge,
    pub(crate) active: Gauge,
    pub(crate) subscribers: Gauge,
    pub(crate) restarts: Counter,
    pub(crate) fenced: Counter,
    pub(crate) takeovers: Counter,
    push: Family<PushLabels, Counter>,
    push_given_up: Gauge,
    pub(crate) trimmed: Counter,
    pub(crate) deleted: Counter,
    pressure: Family<StageLabels, Gauge>,
    oldest: Gauge<f64, AtomicU64>,
    /// Tasks that ended, per second.
    pub(crate) per_second: Gauge<f64, AtomicU64>,
    ended: Arc<AtomicU64>,
}

impl AgentMetrics {
    pub(crate) fn finished(&self, state: TaskState, seconds: f64) {
        let labels = OutcomeLabels { agent: self.agent.clone(), state: state.short_name().to_owned() };
        self.tasks.get_or_create(&labels).inc();
        self.duration.observe(seconds);
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Tasks that have ended here, in whichever state.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// A push notification had this outcome.
    pub(crate) fn push(&self, outcome: &'static str) {
        self.push.get_or_create(&PushLabels { agent: self.agent.clone(), outcome }).inc();
    }

    /// So many push notification configurations are given up.
    pub(crate) fn push_given_up(&self, count: usize) {
        self.push_given_up.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// What there is to do on all hosts of the agent.
    pub(crate) fn pressure(&self, now: &Pressure, oldest_seconds: f64) {
        for (stage, count) in [("queued", now.queued), ("working", now.working), ("waiting", now.waiting)] {
            let labels = StageLabels { agent: self.agent.clone(), stage };
            self.pressure.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.oldest.set(oldest_seconds);
    }
}
