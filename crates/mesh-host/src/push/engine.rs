//! Who is followed, and when to try again: one follower for each configuration that has something to come.

use super::config::{PushConfig, is_task, name};
use super::deliver::{Notification, Sender};
use super::given_up::{GivenUp, Known};
use super::record::{Next, PushRecord, State};
use crate::metrics::AgentMetrics;
use crate::owner::{Detail, Owners};
use crate::settings::HostSettings;
use crate::wire::v03;
use bytes::Bytes;
use mesh_core::{A2aError, Clock, ErrorKind, HostId, PrincipalId, Seq, TaskId, TaskKey, Tenant};
use mesh_log::{EventLog, Expect, LogError, PutError, ReadLimit, RecordKey, Space};
use mesh_net::Allowed;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Events read, and delivered before it is recorded that they were.
const BATCH: ReadLimit = ReadLimit::new(16, 1 << 20);
/// Records looked at in one go.
const PAGE: usize = 256;
/// Pause after a failure of the log.
const LOG_PAUSE: Duration = Duration::from_secs(1);

const A2A_JSON: &str = "application/a2a+json";
const JSON: &str = "application/json";

/// The push notifications of one host.
pub(crate) struct Push {
    settings: Arc<HostSettings>,
    host: HostId,
    log: Arc<dyn EventLog>,
    owners: Owners,
    clock: Arc<dyn Clock>,
    metrics: AgentMetrics,
    allowed: Arc<Allowed>,
    sender: Sender,
    room: Semaphore,
    /// Those that are followed, and whether to look again before leaving them.
    followed: Mutex<HashMap<RecordKey, bool>>,
    given_up: Known,
    stop: CancellationToken,
    tracker: TaskTracker,
}

/// What the engine is made of.
pub(crate) struct PushParts {
    pub(crate) settings: Arc<HostSettings>,
    pub(crate) host: HostId,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) owners: Owners,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: AgentMetrics,
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

impl Push {
    pub(crate) fn new(parts: PushParts) -> Result<Arc<Self>, reqwest::Error> {
        let PushParts { settings, host, log, owners, clock, metrics, stop, tracker } = parts;
        let allowed = Arc::new(Allowed::new("push.allow", &settings.push.allow));
        let sender = Sender::new(&settings.push, Arc::clone(&allowed))?;
        let room = Semaphore::new(settings.push.concurrency);
        let followed = Mutex::default();
        Ok(Arc::new(Self {
            settings,
            host,
            log,
            owners,
            clock,
            metrics,
            allowed,
            sender,
            room,
            followed,
            given_up: Known::default(),
            stop,
            tracker,
        }))
    }

    fn map(&self) -> MutexGuard<'_, HashMap<RecordKey, bool>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are push notifications at all.
    ///
    /// # Errors
    /// There are none.
    pub(crate) fn check_on(&self) -> Result<(), A2aError> {
        if self.settings.push.per_task > 0 { Ok(()) } else { Err(not_supported()) }
    }

    /// Checks a configuration, before anything else is done.
    ///
    /// # Errors
    /// It is not to be taken, or there are no push notifications.
    pub(crate) fn check(&self, config: &PushConfig, at: &str) -> Result<(), A2aError> {
        self.check_on()?;
        config.check(at, &self.allowed).map(|_| ())
    }

    /// Takes a configuration in: the events after `after` will be delivered. The same id again replaces the earlier one.
    pub(crate) async fn create(
        self: &Arc<Self>,
        task: &TaskKey,
        owner: &PrincipalId,
        mut config: PushConfig,
        old: bool,
        after: Seq,
    ) -> Result<PushConfig, A2aError> {
        if config.id.is_empty() {
            config.id = HostId::generate().to_string();
        }
        task.task.as_str().clone_into(&mut config.task_id);
        let record = PushRecord {
            config: config.clone(),
            agent: self.settings.name.clone(),
            owner: owner.clone(),
            old,
            delivered: after,
            failures: 0,
            failing_since: None,
            given_up: None,
            host: self.host.clone(),
            state: State::Active,
        };
        let known = self.of_task(task).await?;
        let new = !known.iter().any(|known| known.config.id == config.id);
        if new && known.len() >= self.settings.push.per_task {
            let most = self.settings.push.per_task;
            let why = format!("the task has {most} push notification configurations already (push.per_task)");
            return Err(A2aError::new(ErrorKind::InvalidParams, why));
        }
        let key = RecordKey::new(Space::Push, task.tenant.clone(), config.name());
        self.write(&key, &record, Expect::Anything).await.map_err(|error| match error {
            PutError::TooLarge(why) => A2aError::invalid("taskPushNotificationConfig", why),
            error => {
                tracing::error!(%error, "a push notification configuration could not be stored");
                A2aError::internal()
            }
        })?;
        self.note(&key, false);
        self.follow(key);
        Ok(config)
    }

    /// The configurations of a task, by id.
    pub(crate) async fn list(&self, task: &TaskKey) -> Result<Vec<PushConfig>, A2aError> {
        Ok(self.of_task(task).await?.into_iter().map(|record| record.config).collect())
    }

    /// Deletes a configuration; none is not an error.
    pub(crate) async fn delete(&self, task: &TaskKey, id: &str) -> Result<(), A2aError> {
        let key = RecordKey::new(Space::Push, task.tenant.clone(), name(task.task.as_str(), id));
        if key.name.len() > RecordKey::LONGEST_NAME {
            return Ok(());
        }
        self.log.records().delete(&key, Expect::Anything).await.map_err(|error| {
            tracing::error!(%error, "a push notification configuration could not be deleted");
            A2aError::internal()
        })?;
        self.note(&key, false);
        Ok(())
    }

    /// The configurations of a task that were given up, by id.
    pub(crate) async fn given_up(&self, task: &TaskKey) -> Result<Vec<GivenUp>, A2aError> {
        Ok(self.of_task(task).await?.iter().filter_map(GivenUp::of).collect())
    }

    /// The same for one of many tasks: nothing is asked of the log for a task that has none. Of what other hosts have given up
    /// this host hears within some leases.
    pub(crate) async fn given_up_in_list(&self, task: &TaskKey) -> Result<Vec<GivenUp>, A2aError> {
        if self.given_up.may_have(task) { self.given_up(task).await } else { Ok(Vec::new()) }
    }

    /// Goes on with configurations of a task that were given up: with one, or with all of them if the id is empty. The next
    /// notification is that of the event after the last one that the receiver has. Returns their ids.
    ///
    /// # Errors
    /// There is no configuration of that id.
    pub(crate) async fn retry(self: &Arc<Self>, task: &TaskKey, id: &str) -> Result<Vec<String>, A2aError> {
        let mut retried = Vec::new();
        let mut known = id.is_empty();
        for record in self.of_task(task).await? {
            if !id.is_empty() && record.config.id != id {
                continue;
            }
            known = true;
            let key = RecordKey::new(Space::Push, task.tenant.clone(), record.config.name());
            if self.revive(&key).await? {
                retried.push(record.config.id);
                self.follow(key);
            }
        }
        if known { Ok(retried) } else { Err(A2aError::task_not_found(task.task.as_str())) }
    }

    /// Changes the record of a configuration that was given up. `false` if it was not, or is not any more.
    async fn revive(&self, key: &RecordKey) -> Result<bool, A2aError> {
        loop {
            let changed = async {
                let Some(found) = self.log.records().get(key).await? else { return Ok(false) };
                let Ok(mut record) = serde_json::from_slice::<PushRecord>(&found.value) else {
                    return Ok(false);
                };
                if !record.retry(&self.host) {
                    return Ok(false);
                }
                self.write(key, &record, Expect::Version(found.version)).await.map(|_| true)
            };
            match changed.await {
                Ok(changed) => {
                    self.note(key, false);
                    return Ok(changed);
                }
                // Somebody was faster: what they wrote counts.
                Err(PutError::Conflict { .. }) => {}
                Err(error) => {
                    tracing::error!(%error, "push notifications could not be tried again");
                    return Err(A2aError::internal());
                }
            }
        }
    }

    /// Takes note of whether a configuration was given up.
    fn note(&self, key: &RecordKey, given_up: bool) {
        self.metrics.push_given_up(self.given_up.note(key, given_up));
    }

    /// Deletes the configurations of a task that is to be removed.
    ///
    /// # Errors
    /// The records cannot be changed.
    pub(crate) async fn forget(&self, task: &TaskKey) -> Result<(), LogError> {
        let prefix = name(task.task.as_str(), "");
        let records = self.log.records();
        loop {
            let found = records.list(Space::Push, Some(&task.tenant), &prefix, None, PAGE).await?;
            if found.is_empty() {
                return Ok(());
            }
            for record in found {
                records.delete(&record.key, Expect::Anything).await.map_err(|error| match error {
                    PutError::Log(error) => error,
                    other => LogError::Failed(other.to_string()),
                })?;
            }
        }
    }

    async fn of_task(&self, task: &TaskKey) -> Result<Vec<PushRecord>, A2aError> {
        if !is_task(&task.task) {
            return Ok(Vec::new());
        }
        let prefix = name(task.task.as_str(), "");
        let records = self.log.records();
        let found = records.list(Space::Push, Some(&task.tenant), &prefix, None, PAGE * 4).await;
        let found = found.map_err(|error| {
            tracing::error!(%error, "push notification configurations could not be read");
            A2aError::internal()
        })?;
        Ok(found.iter().filter_map(|record| serde_json::from_slice(&record.value).ok()).collect())
    }

    async fn write(&self, key: &RecordKey, record: &PushRecord, expect: Expect) -> Result<u64, PutError> {
        let value = serde_json::to_vec(record).map_err(|error| LogError::Failed(error.to_string()))?;
        self.log.records().put(key, Bytes::from(value), expect).await
    }

    /// Goes on with every configuration of the agent whose host is gone.
    ///
    /// # Errors
    /// The records cannot be read.
    pub(crate) async fn take_over(
        self: &Arc<Self>,
        mut is_gone: impl FnMut(&HostId) -> bool,
    ) -> Result<(), LogError> {
        let mut after: Option<RecordKey> = None;
        let mut given_up = self.given_up.scan();
        loop {
            let page = self.log.records().list(Space::Push, None, "", after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                self.metrics.push_given_up(self.given_up.replace(given_up));
                return Ok(());
            };
            after = Some(last.key.clone());
            for found in page {
                let Ok(mut record) = serde_json::from_slice::<PushRecord>(&found.value) else { continue };
                if record.agent != self.settings.name {
                    continue;
                }
                if matches!(record.state, State::Dead(_)) {
                    given_up.add(&found.key);
                }
                if record.state != State::Active || (record.host != self.host && !is_gone(&record.host)) {
                    continue;
                }
                if record.host != self.host {
                    record.host = self.host.clone();
                    // Who comes second is told so by the version, and leaves it to the first.
                    if self.write(&found.key, &record, Expect::Version(found.version)).await.is_err() {
                        continue;
                    }
                }
                self.follow(found.key);
            }
        }
    }

    /// Follows a configuration, unless somebody does already.
    fn follow(self: &Arc<Self>, key: RecordKey) {
        let mut followed = self.map();
        if let Some(again) = followed.get_mut(&key) {
            *again = true;
            return;
        }
        if followed.len() >= self.settings.push.followed {
            tracing::error!(
                agent = %self.settings.name, "push notifications wait: too many are followed (push.followed)"
            );
            return;
        }
        followed.insert(key.clone(), false);
        drop(followed);
        let push = Arc::clone(self);
        self.tracker.spawn(async move {
            tokio::select! {
                () = push.stop.cancelled() => {}
                () = push.deliver_all(&key) => {}
            }
            push.map().remove(&key);
        });
    }

    /// Delivers, whatever the log says, until nobody asks for more.
    async fn deliver_all(&self, key: &RecordKey) {
        loop {
            if let Err(error) = self.deliver(key).await {
                tracing::warn!(agent = %self.settings.name, %error, "push notifications wait for the log");
                tokio::time::sleep(LOG_PAUSE).await;
                continue;
            }
            let mut followed = self.map();
            match followed.get_mut(key) {
                Some(again) if *again => *again = false,
                _ => {
                    // Under the lock: whoever asks from now on gets a new follower.
                    followed.remove(key);
                    return;
                }
            }
        }
    }

    /// Delivers until there is nothing more to come, or somebody else does it.
    async fn deliver(&self, key: &RecordKey) -> Result<(), LogError> {
        let Some((task, _)) = key.name.split_once('/') else { return Ok(()) };
        let task = TaskKey::new(Tenant::from(key.tenant.as_str()), TaskId::from(task));
        let mut tail = self.log.tail(&task).await?;
        loop {
            let Some(found) = self.log.records().get(key).await? else { return Ok(()) };
            let Ok(mut record) = serde_json::from_slice::<PushRecord>(&found.value) else { return Ok(()) };
            // Whoever revives it has it followed once more, so this is said again, and then it is so.
            self.note(key, matches!(record.state, State::Dead(_)));
            if record.host != self.host || record.state != State::Active {
                return Ok(());
            }
            let Some(head) = self.log.head(&task).await? else {
                // Its task was removed, and who removed it did not see it.
                let deleted = self.log.records().delete(key, Expect::Version(found.version)).await;
                return match deleted {
                    Err(PutError::Log(error)) => Err(error),
                    _ => Ok(()),
                };
            };
            if record.delivered >= head.seq {
                if head.state.is_terminal() {
                    record.state = State::Done;
                    self.save(key, &record, found.version).await?;
                    continue;
                }
                let known = record.delivered;
                if tail.wait_for(|last| *last > known).await.is_err() {
                    return Err(LogError::Closed);
                }
                continue;
            }
            let pause = self.batch(&task, &mut record).await?;
            // If somebody has changed it meanwhile, theirs counts.
            let saved = self.save(key, &record, found.version).await?;
            if let Some(pause) = pause.filter(|_| saved) {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Delivers the next few events. Returns how long to wait if one failed.
    async fn batch(&self, task: &TaskKey, record: &mut PushRecord) -> Result<Option<Duration>, LogError> {
        let events = match self.log.read(task, record.delivered, BATCH).await {
            // What the receiver lacks is in the snapshot: it gets the task as it is.
            Err(LogError::Trimmed { first }) => self.log.read(task, first - 1, BATCH).await?,
            read => read?,
        };
        for event in events {
            let Some(what) = self.notification(task, record, event.seq, event.public).await? else {
                record.delivered(event.seq);
                continue;
            };
            let Ok(_place) = self.room.acquire().await else { return Ok(None) };
            let now = self.clock.now();
            match self.sender.post(&record.config, &what, now).await {
                Ok(()) => {
                    self.metrics.push("delivered");
                    record.delivered(event.seq);
                }
                Err(why) => {
                    self.metrics.push("failed");
                    let retry_for = self.settings.push.retry_for;
                    return Ok(match record.failed(&why, now.millis(), retry_for, fastrand::f64()) {
                        Next::Pause(pause) => {
                            tracing::debug!(task = %task, config = record.config.id, why, "a push notification failed");
                            Some(pause)
                        }
                        Next::GiveUp => {
                            self.metrics.push("given_up");
                            tracing::error!(
                                task = %task, config = record.config.id, event = event.seq, why,
                                "push notifications were given up (push.retry_for)"
                            );
                            None
                        }
                    });
                }
            }
        }
        Ok(None)
    }

    /// What the receiver gets for an event: the event; with 0.3, the task as it is, when its status changes.
    async fn notification(
        &self,
        task: &TaskKey,
        record: &PushRecord,
        seq: Seq,
        event: Bytes,
    ) -> Result<Option<Notification>, LogError> {
        if !record.old {
            return Ok(Some(Notification { seq, body: event, content_type: A2A_JSON }));
        }
        if event.starts_with(b"{\"artifactUpdate\"") {
            return Ok(None);
        }
        let snapshot = self.owners.snapshot(task, Detail::Whole).await;
        let snapshot = snapshot.map_err(|error| LogError::Failed(error.to_string()))?;
        let body = serde_json::to_vec(&v03::task(snapshot.task)).unwrap_or_default();
        Ok(Some(Notification { seq, body: Bytes::from(body), content_type: JSON }))
    }

    /// Records how far it has come. `false`: somebody else has changed or deleted it meanwhile.
    async fn save(&self, key: &RecordKey, record: &PushRecord, version: u64) -> Result<bool, LogError> {
        match self.write(key, record, Expect::Version(version)).await {
            Ok(_) => Ok(true),
            Err(PutError::Log(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// The agent sends none.
fn not_supported() -> A2aError {
    A2aError::new(
        ErrorKind::PushNotificationNotSupported,
        "this agent sends no push notifications; subscribe to the task instead",
    )
}
