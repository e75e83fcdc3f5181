//! Finds the owner of a task, or makes one.

use super::actor::{
    Actor, Ask, MAILBOX, OwnerError, OwnerHandle, Shared, Snapshot, creation, encode, head_of,
};
use super::load::load;
use crate::dispatch::Activity;
use crate::worker::{Run, Slot};
use mesh_core::lifecycle::{Command, Effect, NewTask, TaskRecord, apply, create, recovery};
use mesh_core::{TaskId, TaskKey};
use mesh_log::{AppendError, LogError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// What became of a creating message.
pub(crate) enum Created {
    /// A new task.
    New(TaskId),
    /// The message had created this task before.
    Before(TaskId),
}

/// The owners of one agent's tasks.
#[derive(Clone)]
pub(crate) struct Owners {
    shared: Arc<Shared>,
    map: Arc<Mutex<HashMap<TaskKey, OwnerHandle>>>,
}

impl Owners {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), map: Arc::default() }
    }

    /// Records a new task and gives it an owner. The task is on disk when this returns.
    ///
    /// It goes on when the caller goes away in the middle: a task that is on disk must not be without an owner.
    pub(crate) async fn create(&self, new: NewTask, activity: Activity) -> Result<Created, OwnerError> {
        let owners = self.clone();
        tokio::spawn(async move { owners.create_now(new, activity).await })
            .await
            .map_err(|_| OwnerError::Closed)?
    }

    /// If a worker is free, the task is created and started in one append, otherwise it is queued.
    async fn create_now(&self, new: NewTask, activity: Activity) -> Result<Created, OwnerError> {
        let Shared { log, clock, policy, dispatcher, .. } = &*self.shared;
        let message = new.message.message_id.clone();
        let now = clock.now();
        let (mut record, event, effects) = create(&new, now);
        let mut append = creation(&record, &event, message);
        let start = dispatcher.try_start();
        if start.is_some()
            && let Ok(transition) = apply(&record, Command::StartAttempt, policy, now)
        {
            append.events.extend(transition.events.iter().map(|event| encode(event, &record.task)));
            record.commit(transition);
            append.head = head_of(&record);
        }
        match log.append(append).await {
            Ok(_) => {}
            Err(AppendError::Duplicate(task)) => return Ok(Created::Before(task)),
            Err(AppendError::Log(error)) => return Err(error.into()),
            Err(conflict @ AppendError::Conflict { .. }) => {
                return Err(LogError::Failed(conflict.to_string()).into());
            }
        }
        let (key, id) = (record.key(), record.task.id.clone());
        let started = start.is_some();
        let owner = self.spawn(record, Some(activity), start);
        if !started {
            debug_assert_eq!(effects, [Effect::Enqueue]);
            dispatcher.enqueue(key, owner);
        }
        Ok(Created::New(id))
    }

    /// Asks the owner, which is woken up if need be. `make` builds the ask around the reply channel.
    pub(crate) async fn ask(
        &self,
        key: &TaskKey,
        make: impl Fn(oneshot::Sender<Result<Snapshot, OwnerError>>) -> Ask,
    ) -> Result<Snapshot, OwnerError> {
        // An owner may retire between being found and being asked; then the next one is asked.
        for _ in 0..8 {
            let owner = self.find_or_wake(key).await?;
            let (reply, answer) = oneshot::channel();
            if owner.send(make(reply)).await.is_ok()
                && let Ok(answer) = answer.await
            {
                return answer;
            }
        }
        Err(OwnerError::Closed)
    }

    /// Sends a command.
    pub(crate) async fn command(&self, key: &TaskKey, command: Command) -> Result<Snapshot, OwnerError> {
        self.ask(key, |reply| Ask::Command { command: command.clone(), reply }).await
    }

    /// The task as it is, without waking an owner up.
    pub(crate) async fn snapshot(&self, key: &TaskKey) -> Result<Snapshot, OwnerError> {
        if let Some(owner) = self.find(key) {
            let (reply, answer) = oneshot::channel();
            if owner.send(Ask::Snapshot(reply)).await.is_ok()
                && let Ok(answer) = answer.await
            {
                return answer;
            }
        }
        let record = load(&*self.shared.log, key).await?.ok_or(OwnerError::NotFound)?;
        Ok(Snapshot { task: record.task, seq: record.seq })
    }

    /// Takes up a task that was found unfinished at the start.
    pub(crate) async fn resume(&self, key: &TaskKey) -> Result<(), OwnerError> {
        let Some(record) = load(&*self.shared.log, key).await? else { return Err(OwnerError::NotFound) };
        match recovery(&record) {
            Ok(Command::AttemptLost { attempt, reason }) => {
                let owner = self.spawn(record, None, None);
                owner.send(Ask::Lost { attempt, reason }).await.map_err(|_| OwnerError::Closed)
            }
            Ok(_) => Ok(()),
            Err(effects) => {
                if effects.is_empty() {
                    // Waits for its client: it needs an owner only to see its time run out.
                    if self.shared.timeout.is_some() {
                        self.spawn(record, None, None);
                    }
                } else {
                    let owner = self.spawn(record, Some(self.shared.dispatcher.activate()), None);
                    self.shared.dispatcher.enqueue(key.clone(), owner);
                }
                Ok(())
            }
        }
    }

    /// How many tasks have an owner now.
    pub(crate) fn len(&self) -> usize {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The owner of a task, woken up if need be.
    #[cfg(test)]
    pub(super) async fn owner(&self, key: &TaskKey) -> Result<OwnerHandle, OwnerError> {
        self.find_or_wake(key).await
    }

    fn find(&self, key: &TaskKey) -> Option<OwnerHandle> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).get(key).filter(|o| !o.is_closed()).cloned()
    }

    async fn find_or_wake(&self, key: &TaskKey) -> Result<OwnerHandle, OwnerError> {
        if let Some(owner) = self.find(key) {
            return Ok(owner);
        }
        let record = load(&*self.shared.log, key).await?.ok_or(OwnerError::NotFound)?;
        Ok(self.spawn(record, None, None))
    }

    /// Starts an owner, unless another was started meanwhile: then that one. `start` is where its attempt, which is on
    /// disk already, is to run.
    fn spawn(
        &self,
        record: TaskRecord,
        activity: Option<Activity>,
        start: Option<(Arc<Run>, Slot)>,
    ) -> OwnerHandle {
        let key = record.key();
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = map.get(&key).filter(|owner| !owner.is_closed()) {
            return owner.clone();
        }
        let (owner, asks) = mpsc::channel(MAILBOX);
        let actor = Actor::new(Arc::clone(&self.shared), record, owner.downgrade(), activity);
        map.insert(key.clone(), owner.clone());
        let (registry, address) = (Arc::clone(&self.map), owner.downgrade());
        let retire = move || {
            let mut map = registry.lock().unwrap_or_else(PoisonError::into_inner);
            let own = map
                .get(&key)
                .is_some_and(|owner| address.upgrade().is_some_and(|address| address.same_channel(owner)));
            if own {
                map.remove(&key);
            }
        };
        tokio::spawn(actor.live(asks, start, retire));
        owner
    }
}
