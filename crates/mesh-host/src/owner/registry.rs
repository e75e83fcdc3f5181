//! Finds the owner of a task, or makes one.

use super::actor::{Actor, MAILBOX, Shared};
use super::ask::{Ask, Detail, OwnerError, OwnerHandle, Reply, Snapshot};
use super::rows::{creation, encode, head_of, load};
use crate::dispatch::Activity;
use mesh_core::lifecycle::{Command, NewTask, Phase, apply, create};
use mesh_core::{HostId, TaskId, TaskKey};
use mesh_log::{AppendError, LogError, TaskHead};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How often an ask is made again when its owner retired before it answered.
const ASK_AGAIN: usize = 8;

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

/// An owner's entry in the registry; taken out when dropped, unless it is another's by then.
struct Entry {
    map: Arc<Mutex<HashMap<TaskKey, OwnerHandle>>>,
    key: TaskKey,
    address: mpsc::WeakSender<Ask>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |owner: &OwnerHandle| self.address.upgrade().is_some_and(|own| own.same_channel(owner));
        if map.get(&self.key).is_some_and(own) {
            map.remove(&self.key);
        }
    }
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
        let Shared { log, clock, policy, dispatcher, host, .. } = &*self.shared;
        let message = new.message.message_id.clone();
        let now = clock.now();
        let (mut record, event, _) = create(&new, now);
        let mut append = creation(&record, &event, message);
        let start = dispatcher.try_start();
        if start.is_some()
            && let Ok(transition) = apply(&record, Command::StartAttempt { host: host.clone() }, policy, now)
        {
            append.events.extend(transition.events.iter().map(|event| encode(event, &record.task)));
            record.commit(transition);
            append.head = head_of(&record);
        }
        // Before the append: whoever hears of the task from the log finds this owner, and wakes no other.
        let (owner, asks, entry) = self.enter(record.key());
        match log.append(append).await {
            Ok(_) => {}
            Err(AppendError::Duplicate(task)) => return Ok(Created::Before(task)),
            Err(AppendError::Log(error)) => return Err(error.into()),
            Err(conflict @ AppendError::Conflict { .. }) => {
                return Err(LogError::Failed(conflict.to_string()).into());
            }
        }
        let id = record.task.id.clone();
        let actor = Actor::new(Arc::clone(&self.shared), record, &owner, Some(activity));
        self.keep(entry, actor.live(asks, start));
        Ok(Created::New(id))
    }

    /// Asks the owner, which is woken up if need be. `make` builds the ask around the reply channel.
    pub(crate) async fn ask(
        &self,
        key: &TaskKey,
        detail: Detail,
        make: impl Fn(Reply) -> Ask,
    ) -> Result<Snapshot, OwnerError> {
        // An owner may retire between being found and answering; then it has done nothing, and the next one is asked.
        for _ in 0..ASK_AGAIN {
            let (reply, answer) = Reply::new(detail);
            if self.find_or_wake(key).send(make(reply)).await.is_ok()
                && let Ok(answer) = answer.await
            {
                return answer;
            }
        }
        Err(OwnerError::Closed)
    }

    /// Sends a command.
    pub(crate) async fn command(
        &self,
        key: &TaskKey,
        detail: Detail,
        command: Command,
    ) -> Result<Snapshot, OwnerError> {
        self.ask(key, detail, |reply| Ask::Command { command: command.clone(), reply }).await
    }

    /// The task as it is, without waking an owner up.
    pub(crate) async fn snapshot(&self, key: &TaskKey, detail: Detail) -> Result<Snapshot, OwnerError> {
        if let Some(owner) = self.find(key) {
            let (reply, answer) = Reply::new(detail);
            if owner.send(Ask::Snapshot(reply)).await.is_ok()
                && let Ok(Ok(snapshot)) = answer.await
            {
                return Ok(snapshot);
            }
        }
        let record = load(&*self.shared.log, key, detail).await?.ok_or(OwnerError::NotFound)?;
        Ok(Snapshot { task: record.task, seq: record.seq })
    }

    /// Takes up a task that was found unfinished at the start.
    pub(crate) async fn resume(&self, head: &TaskHead) -> Result<(), OwnerError> {
        // One that waits for its client needs an owner only when its time is up.
        if head.control.phase == Phase::Waiting(None) {
            self.wake_later(&head.key, self.shared.time_left(&head.control));
            return Ok(());
        }
        let record = load(&*self.shared.log, &head.key, Detail::Whole).await?.ok_or(OwnerError::NotFound)?;
        let (owner, asks, entry) = self.enter(head.key.clone());
        let actor = Actor::new(Arc::clone(&self.shared), record, &owner, None);
        self.keep(entry, actor.live(asks, None));
        Ok(())
    }

    /// Makes sure that a queued task has an owner here, who takes a place in this host's queue.
    pub(crate) fn wake(&self, key: &TaskKey) {
        self.find_or_wake(key);
    }

    /// Wakes a task's owner if its time is up: the host that would have done so may be gone.
    pub(crate) fn wake_if_late(&self, head: &TaskHead) {
        if self.shared.time_left(&head.control) == Some(Duration::ZERO) {
            self.find_or_wake(&head.key);
        }
    }

    /// Goes on with a task whose host is lost, unless somebody else does.
    pub(crate) async fn take_over(&self, key: &TaskKey, host: Option<HostId>) {
        self.tell(key, || Ask::HostLost { host: host.clone() }).await;
    }

    /// Has every owner look at its task again.
    pub(crate) async fn check_all(&self) {
        for owner in self.all() {
            let _ = owner.send(Ask::Check).await;
        }
    }

    /// Gives every attempt back, so that another host, or the next start, goes on with its task. All are on disk when this
    /// returns, as far as the log works.
    pub(crate) async fn release_all(&self, reason: &str) {
        let mut waiting = Vec::new();
        for owner in self.all() {
            let (done, told) = oneshot::channel();
            let ask = Ask::Release { attempt: None, reason: reason.to_owned(), done: Some(done) };
            if owner.send(ask).await.is_ok() {
                waiting.push(told);
            }
        }
        for told in waiting {
            let _ = told.await;
        }
    }

    fn all(&self) -> Vec<OwnerHandle> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Says something to a task's owner that nobody waits for.
    async fn tell(&self, key: &TaskKey, make: impl Fn() -> Ask) {
        for _ in 0..ASK_AGAIN {
            if self.find_or_wake(key).send(make()).await.is_ok() {
                return;
            }
        }
    }

    /// How many tasks have an owner now.
    pub(crate) fn len(&self) -> usize {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many tasks are at work, as the log has it.
    pub(crate) fn working(&self) -> usize {
        self.shared.working.load(Ordering::Relaxed)
    }

    /// The owner of a task, woken up if need be.
    #[cfg(test)]
    pub(super) fn owner(&self, key: &TaskKey) -> OwnerHandle {
        self.find_or_wake(key)
    }

    fn find(&self, key: &TaskKey) -> Option<OwnerHandle> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).get(key).filter(|o| !o.is_closed()).cloned()
    }

    /// The owner of a task. One that is woken reads the record itself: what was read before it was entered could be old.
    fn find_or_wake(&self, key: &TaskKey) -> OwnerHandle {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = map.get(key).filter(|owner| !owner.is_closed()) {
            return owner.clone();
        }
        let (owner, asks, entry) = self.enter_into(&mut map, key.clone());
        let (shared, address) = (Arc::clone(&self.shared), owner.downgrade());
        let key = key.clone();
        self.keep(entry, async move { Actor::wake(shared, &key, address, asks).await });
        owner
    }

    /// Lets an owner live. When it has retired, only the time after which its task needs one again stays in memory.
    fn keep(&self, entry: Entry, life: impl Future<Output = Option<Duration>> + Send + 'static) {
        let owners = self.clone();
        tokio::spawn(async move {
            let next = life.await;
            let key = entry.key.clone();
            drop(entry);
            owners.wake_later(&key, next);
        });
    }

    fn wake_later(&self, key: &TaskKey, after: Option<Duration>) {
        let Some(after) = after else { return };
        let (owners, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            owners.find_or_wake(&key);
        });
    }

    fn enter(&self, key: TaskKey) -> (OwnerHandle, mpsc::Receiver<Ask>, Entry) {
        self.enter_into(&mut self.map.lock().unwrap_or_else(PoisonError::into_inner), key)
    }

    fn enter_into(
        &self,
        map: &mut HashMap<TaskKey, OwnerHandle>,
        key: TaskKey,
    ) -> (OwnerHandle, mpsc::Receiver<Ask>, Entry) {
        let (owner, asks) = mpsc::channel(MAILBOX);
        map.insert(key.clone(), owner.clone());
        let entry = Entry { map: Arc::clone(&self.map), key, address: owner.downgrade() };
        (owner, asks, entry)
    }
}
