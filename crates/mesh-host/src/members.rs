//! Several hosts of one agent that share a log: who is alive, who goes on with the tasks of one that is gone, and who
//! takes on what another one has no place for.
//!
//! ```text
//!   every third of the lease ──▶ renew the own record ──▶ look at the others' ──▶ take over from the lost ones
//!   a task arrives, or a moment passes ──▶ is there a place here? ──▶ take on what waits elsewhere
//! ```
//!
//! A host is lost when its record has not changed for a lease by *this* host's clock: no two clocks are compared. Being
//! wrong about it costs an attempt and nothing else, because the log takes only one host's word (see `owner`).
//!
//! A host that cannot renew its record stops its worker before the others may take over: so no two attempts of a task
//! are at work at once.

mod liveness;
mod rate;

use crate::dispatch::Dispatcher;
use crate::metrics::AgentMetrics;
use crate::owner::Owners;
use crate::push::Push;
use crate::settings::HostSettings;
use crate::worker::Run;
use bytes::Bytes;
use liveness::Liveness;
use mesh_core::{Clock, HostId, TaskKey};
use mesh_log::{EventLog, Expect, LogError, PutError, RecordKey, Space};
use rate::Rate;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Heads, or records, looked at in one go.
const PAGE: usize = 256;
/// How long a queued task is left to the host that took it in, which may have a place for it at once.
const HEAD_START: Duration = Duration::from_millis(20);
/// How often it is looked for queued tasks, whatever is heard.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Once in so many looks, push notifications of lost hosts are looked for.
const LOOKS_FOR_PUSH: u32 = 4;
/// How often it is counted what there is to do.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// Over how long tasks per second are counted.
const RATE_WINDOW: Duration = Duration::from_secs(30);

/// This host among the others of its agent.
pub(crate) struct Members {
    pub(crate) host: HostId,
    pub(crate) settings: Arc<HostSettings>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) owners: Owners,
    pub(crate) push: Arc<Push>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: AgentMetrics,
    pub(crate) run: watch::Receiver<Option<Arc<Run>>>,
    pub(crate) draining: CancellationToken,
    pub(crate) stop: CancellationToken,
}

impl Members {
    fn lease(&self) -> Duration {
        self.settings.agent.tasks.lease
    }

    fn record(&self) -> RecordKey {
        self.record_of(&self.host)
    }

    fn record_of(&self, host: &HostId) -> RecordKey {
        let name = format!("{}/{host}", self.settings.name);
        RecordKey::new(Space::Hosts, self.settings.caller.tenant.clone(), name)
    }

    /// Makes this host known. Nothing is to be started before.
    ///
    /// # Errors
    /// The log fails.
    pub(crate) async fn join(&self) -> Result<(), LogError> {
        if !self.log.is_shared() {
            return Ok(());
        }
        self.renew().await.map_err(|error| match error {
            PutError::Log(error) => error,
            other => LogError::Failed(format!("the host's record: {other}")),
        })
    }

    async fn renew(&self) -> Result<(), PutError> {
        let value = json!({ "renewed": self.clock.now().millis(), "url": self.settings.agent.url() });
        self.log.records().put(&self.record(), Bytes::from(value.to_string()), Expect::Anything).await?;
        Ok(())
    }

    /// Gives the record back, so that nobody waits for the lease to run out.
    pub(crate) async fn leave(&self) {
        if !self.log.is_shared() {
            return;
        }
        if let Err(error) = self.log.records().delete(&self.record(), Expect::Anything).await {
            tracing::warn!(agent = %self.settings.name, %error, "the host's record stays until its lease is over");
        }
    }

    /// Keeps the lease, and looks after the others', until `stop`.
    pub(crate) async fn watch(self: Arc<Self>) {
        if !self.log.is_shared() {
            return;
        }
        let mut tick = interval(self.lease() / 3);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut others = Liveness::new(self.lease());
        let mut renewed = Instant::now();
        let mut rounds = 0_u32;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let begun = Instant::now();
            match timeout(self.lease() / 3, self.renew()).await {
                Ok(Ok(())) => {
                    let late = begun.duration_since(renewed) > self.lease();
                    renewed = begun;
                    self.dispatcher.resume();
                    if late {
                        // Others may have taken over: whoever has an attempt has to look.
                        self.owners.check_all().await;
                    }
                }
                failed => {
                    let why = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "no answer".to_owned(),
                    };
                    tracing::warn!(agent = %self.settings.name, why, "the host's lease could not be renewed");
                    if renewed.elapsed() * 3 > self.lease() * 2 {
                        self.fence();
                    }
                    continue;
                }
            }
            if let Err(error) = self.look_after(&mut others).await {
                tracing::warn!(agent = %self.settings.name, %error, "the other hosts cannot be seen");
            } else if rounds.is_multiple_of(LOOKS_FOR_PUSH) {
                let taken = self.push.take_over(|host| others.is_lost(Instant::now(), host)).await;
                if let Err(error) = taken {
                    tracing::warn!(agent = %self.settings.name, %error, "push notifications cannot be looked after");
                }
            }
            rounds = rounds.wrapping_add(1);
        }
    }

    /// Nothing is at work here until the lease is renewed.
    fn fence(&self) {
        self.dispatcher.pause();
        let run = self.run.borrow().clone();
        if let Some(run) = run {
            tracing::error!(
                agent = %self.settings.name,
                "the worker is stopped: the store cannot be reached, and other hosts may take its tasks over"
            );
            run.fence();
        }
    }

    /// One look at the others, and at the tasks that they hold.
    async fn look_after(&self, others: &mut Liveness) -> Result<(), LogError> {
        let records = self.log.records();
        let prefix = format!("{}/", self.settings.name);
        let tenant = Some(&self.settings.caller.tenant);
        let known = records.list(Space::Hosts, tenant, &prefix, None, PAGE).await?;
        let hosts = known.iter().filter_map(|record| {
            record.key.name.strip_prefix(&prefix).map(|host| (HostId::from(host), record.version))
        });
        others.observe(Instant::now(), hosts);
        let mut held = std::collections::HashSet::new();
        let mut after: Option<TaskKey> = None;
        loop {
            let heads = self.log.unfinished(&self.settings.name, after.as_ref(), PAGE).await?;
            let Some(last) = heads.last() else { break };
            after = Some(last.key.clone());
            for head in &heads {
                if head.control.phase.attempt().is_none() {
                    self.owners.wake_if_late(head);
                    continue;
                }
                let holder = head.control.holder.as_ref();
                if holder == Some(&self.host) {
                    continue;
                }
                if holder.is_none_or(|holder| others.is_lost(Instant::now(), holder)) {
                    tracing::warn!(
                        agent = %self.settings.name, task = %head.key,
                        host = holder.map_or("unknown", HostId::as_str),
                        "a task is taken over from a host that was lost"
                    );
                    self.metrics.takeovers.inc();
                    self.owners.take_over(&head.key, holder.cloned()).await;
                }
                held.extend(holder.cloned());
            }
        }
        for host in others.forgotten(Instant::now(), &held) {
            let _ = records.delete(&self.record_of(&host), Expect::Anything).await;
        }
        Ok(())
    }

    /// Takes on tasks that wait at other hosts, or at none, while there is a place here, until it drains.
    pub(crate) async fn claim(self: Arc<Self>) {
        if !self.log.is_shared() {
            return;
        }
        let mut arrivals = self.log.arrivals();
        loop {
            tokio::select! {
                () = self.draining.cancelled() => return,
                moved = arrivals.changed() => match moved {
                    Ok(()) => sleep(HEAD_START).await,
                    Err(_) => return,
                },
                () = sleep(LOOK_EVERY) => {}
            }
            arrivals.mark_unchanged();
            let room = self.dispatcher.room();
            if room == 0 {
                continue;
            }
            match self.log.queue(&self.settings.name, room + self.dispatcher.waiting()).await {
                Ok(heads) => heads.iter().for_each(|head| self.owners.wake(&head.key)),
                Err(error) => {
                    tracing::warn!(agent = %self.settings.name, %error, "the queue cannot be read");
                    sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Keeps the gauges that an autoscaler reads.
    pub(crate) async fn count(self: Arc<Self>) {
        let mut ended = Rate::new(RATE_WINDOW, Instant::now(), self.metrics.ended());
        loop {
            self.metrics.per_second.set(ended.observe(Instant::now(), self.metrics.ended()));
            match self.log.pressure(&self.settings.name).await {
                Ok(pressure) => {
                    let age =
                        pressure.oldest_queued.map_or(0.0, |since| self.clock.now().seconds_since(since));
                    self.metrics.pressure(&pressure, age.max(0.0));
                }
                Err(LogError::Closed) => return,
                Err(error) => tracing::debug!(agent = %self.settings.name, %error, "not counted"),
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(COUNT_EVERY) => {}
            }
        }
    }
}
