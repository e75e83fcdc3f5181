//! The operations of A2A 1.0 (section 3.1), whatever the binding.

use crate::card::PUSH_STATE_EXTENSION;
use crate::context::{ContextKey, Contexts, EntryPage};
use crate::dispatch::Dispatcher;
use crate::owner::{Ask, Created, Detail, OwnerError, Owners};
use crate::push::{GivenUp, Push, PushConfig};
use crate::settings::HostSettings;
use crate::subscribe::{EndsAt, SubscribeError, Subscribers, Subscription};

use bytes::Bytes;
use mesh_core::event::TaskEvent;
use mesh_core::lifecycle::{Command, NewTask, Rejected};
use mesh_core::model::{Message, Part, Task, TaskState};
use mesh_core::{
    A2aError, AgentName, ContextId, ErrorKind, MessageId, Principal, Seq, TaskId, TaskKey, TraceContext,
};
use mesh_log::{EventLog, ListQuery, LogError, PageCursor, TaskHead};
use mesh_policy::{Action, Authorizer, Resource};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Bytes after which a page of a listing ends early.
const LISTING_BYTES: usize = 8 << 20;

/// Everything the operations need.
pub(crate) struct Service {
    pub(crate) settings: Arc<HostSettings>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) owners: Owners,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) subscribers: Subscribers,
    pub(crate) push: Arc<Push>,
    pub(crate) contexts: Arc<Contexts>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) draining: tokio_util::sync::CancellationToken,
}

/// What the caller brings along, whatever the operation.
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) trace: TraceContext,
}

impl Service {
    fn agent(&self) -> &AgentName {
        &self.settings.name
    }

    fn key(&self, caller: &Caller, id: &TaskId) -> TaskKey {
        TaskKey::new(caller.principal.tenant.clone(), id.clone())
    }

    fn may(&self, caller: &Caller, action: Action) -> bool {
        let agent = Resource::Agent { tenant: &self.settings.caller.tenant, agent: self.agent().as_str() };
        self.authorizer.decide(&caller.principal, action, agent).allowed()
    }

    /// The task, if it is there for this caller: of its tenant, of this agent, and its own (H7).
    async fn visible(&self, caller: &Caller, id: &TaskId, action: Action) -> Result<TaskHead, A2aError> {
        let head = self.log.head(&self.key(caller, id)).await.map_err(|error| log_error(&error))?;
        head.filter(|head| {
            head.control.agent == *self.agent() && head.control.owner.id == caller.principal.id
        })
        .filter(|_| self.may(caller, action))
        .ok_or_else(|| A2aError::task_not_found(id.as_str()))
    }

    /// SendMessage (3.1.1): the task as it is when it has ended or waits, or at once.
    pub(crate) async fn send(
        &self,
        caller: &Caller,
        message: Message,
        push: Option<AskedPush>,
        wait: bool,
    ) -> Result<Task, A2aError> {
        let key = self.accept_with(caller, message, push).await?.key;
        let snapshot = if wait {
            self.owners.ask(&key, Detail::Whole, Ask::Settled).await
        } else {
            self.owners.snapshot(&key, Detail::Whole).await
        };
        snapshot.map(|snapshot| snapshot.task).map_err(|error| owner_error(&key, error))
    }

    /// SendStreamingMessage (3.1.2).
    pub(crate) async fn send_streaming(
        &self,
        caller: &Caller,
        message: Message,
        push: Option<AskedPush>,
    ) -> Result<Subscription, A2aError> {
        let accepted = self.accept_with(caller, message, push).await?;
        if accepted.new {
            return self.open(&accepted.key, 0, None, EndsAt::Interrupted, false).await;
        }
        self.snapshot_then_tail(&accepted.key, EndsAt::Interrupted).await
    }

    /// SubscribeToTask (3.1.6): a snapshot and what follows; with `after`, exactly the events after that number, also of
    /// a task that has ended (our extension).
    pub(crate) async fn subscribe(
        &self,
        caller: &Caller,
        id: &TaskId,
        after: Option<Seq>,
    ) -> Result<Subscription, A2aError> {
        let head = self.visible(caller, id, Action::ReadTask).await?;
        let key = head.key;
        let ended = head.state.is_terminal();
        match after {
            Some(after) if after > head.seq => Err(A2aError::invalid(
                "afterEvent",
                format_args!("the task has {} events, there is no event {after}", head.seq),
            )),
            // Where there is a snapshot instead of events, nothing before it can be gone on from.
            Some(after) if head.first > 1 && after < head.first => Err(A2aError::events_trimmed(head.first)),
            Some(after) => self.open(&key, after, None, EndsAt::Terminal, ended && after == head.seq).await,
            None if ended => {
                let message = format!(
                    "the task is {} and has no more events to come; read it with GetTask",
                    head.state
                );
                Err(A2aError::new(ErrorKind::UnsupportedOperation, message))
            }
            None => self.snapshot_then_tail(&key, EndsAt::Terminal).await,
        }
    }

    /// GetTask (3.1.3); with `push_state`, also what has become of its push notifications (our extension).
    pub(crate) async fn get(&self, caller: &Caller, id: &TaskId, push_state: bool) -> Result<Task, A2aError> {
        let key = self.visible(caller, id, Action::ReadTask).await?.key;
        let snapshot = self.owners.snapshot(&key, Detail::Whole).await;
        let mut task = snapshot.map_err(|error| owner_error(&key, error))?.task;
        if push_state {
            add_push_state(&mut task, self.push.given_up(&key).await?);
        }
        Ok(task)
    }

    /// CancelTask (3.1.5): the task is canceled when this returns; its worker stops in the background.
    pub(crate) async fn cancel(&self, caller: &Caller, id: &TaskId) -> Result<Task, A2aError> {
        let key = self.visible(caller, id, Action::CancelTask).await?.key;
        self.owners
            .command(&key, Detail::Whole, Command::Cancel)
            .await
            .map(|s| s.task)
            .map_err(|error| owner_error(&key, error))
    }

    /// ListTasks (3.1.4). A page ends early when its tasks are large: what one request holds in memory is bounded.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        mut query: ListQuery,
        view: View,
    ) -> Result<Listing, A2aError> {
        query.tenant = caller.principal.tenant.clone();
        query.owner = Some(caller.principal.id.clone());
        query.agent = Some(self.agent().clone());
        if !self.may(caller, Action::ReadTask) {
            return Ok(Listing::default());
        }
        let page = self.log.list(query).await.map_err(|error| log_error(&error))?;
        let mut listing = Listing { tasks: Vec::new(), total: page.total, next: page.next };
        let (mut bytes, mut last) = (0, None);
        for head in page.heads {
            if bytes > LISTING_BYTES {
                listing.next = last;
                break;
            }
            last = Some(PageCursor::at(&head));
            let mut task = match self.owners.snapshot(&head.key, view.detail).await {
                Ok(snapshot) => snapshot.task,
                Err(OwnerError::NotFound) => continue,
                Err(error) => return Err(owner_error(&head.key, error)),
            };
            task.limit_history(view.history);
            if view.push_state {
                add_push_state(&mut task, self.push.given_up_in_list(&head.key).await?);
            }
            let task = serde_json::value::to_raw_value(&task).map_err(|_| A2aError::internal())?;
            bytes += task.get().len();
            listing.tasks.push(task);
        }
        Ok(listing)
    }

    /// GetExtendedAgentCard (3.1.11): refused if there is none, or none for this caller.
    pub(crate) fn may_see_extended_card(&self, caller: &Caller) -> Result<(), A2aError> {
        if !self.may(caller, Action::ReadAgent) {
            return Err(A2aError::invalid("params.tenant", "this agent is not there for that tenant"));
        }
        if self.settings.agent.card.extended.is_none() {
            let message = "this agent has no extended card; its public card says everything";
            return Err(A2aError::new(ErrorKind::UnsupportedOperation, message));
        }
        Ok(())
    }

    /// The memory of one of the caller's contexts (our extension); of any other, nothing.
    pub(crate) async fn memory(
        &self,
        caller: &Caller,
        context: ContextId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<EntryPage, A2aError> {
        if !self.may(caller, Action::ReadTask) {
            return Ok(EntryPage::default());
        }
        let Principal { tenant, id, .. } = caller.principal.clone();
        let at = ContextKey::new(tenant, id, context);
        self.contexts.page(&at, after, limit).await.map_err(|error| log_error(&error))
    }

    /// Takes a push notification configuration for a task that is there (3.1.7): for what happens from now on.
    pub(crate) async fn create_push(
        &self,
        caller: &Caller,
        asked: AskedPush,
    ) -> Result<PushConfig, A2aError> {
        self.push.check(&asked.config, "params")?;
        let head =
            self.visible(caller, &TaskId::from(asked.config.task_id.as_str()), Action::ReadTask).await?;
        self.push.create(&head.key, &head.control.owner.id, asked.config, asked.old, head.seq).await
    }

    /// The push notification configurations of a task (3.1.9).
    pub(crate) async fn list_push(
        &self,
        caller: &Caller,
        task: &TaskId,
    ) -> Result<Vec<PushConfig>, A2aError> {
        let head = self.visible(caller, task, Action::ReadTask).await?;
        self.push.list(&head.key).await
    }

    /// One of them (3.1.8).
    pub(crate) async fn get_push(
        &self,
        caller: &Caller,
        task: &TaskId,
        id: &str,
    ) -> Result<PushConfig, A2aError> {
        let configs = self.list_push(caller, task).await?;
        configs
            .into_iter()
            .find(|config| config.id == id)
            .ok_or_else(|| A2aError::task_not_found(task.as_str()))
    }

    /// Deletes one; none is not an error (3.1.10).
    pub(crate) async fn delete_push(&self, caller: &Caller, task: &TaskId, id: &str) -> Result<(), A2aError> {
        let head = self.visible(caller, task, Action::ReadTask).await?;
        self.push.delete(&head.key, id).await
    }

    /// Tries again to deliver what was given up, of one configuration or of all (our extension).
    pub(crate) async fn retry_push(
        &self,
        caller: &Caller,
        task: &TaskId,
        id: &str,
    ) -> Result<Vec<String>, A2aError> {
        let head = self.visible(caller, task, Action::ReadTask).await?;
        self.push.retry(&head.key, id).await
    }

    /// Records what the client says, and then where it wants to hear of it. A client that gets no answer sends the message
    /// again; then the configuration is stored if it was not.
    async fn accept_with(
        &self,
        caller: &Caller,
        message: Message,
        push: Option<AskedPush>,
    ) -> Result<Accepted, A2aError> {
        let Some(mut asked) = push else { return self.accept(caller, message).await };
        self.push.check(&asked.config, "params.configuration.taskPushNotificationConfig")?;
        if asked.config.id.is_empty() {
            message.message_id.as_str().clone_into(&mut asked.config.id);
        }
        let after = match &message.task_id {
            Some(task) => self.visible(caller, task, Action::SendMessage).await?.seq,
            None => 0,
        };
        let accepted = self.accept(caller, message).await?;
        let known = !accepted.new
            && self.push.list(&accepted.key).await?.iter().any(|known| *known.id == asked.config.id);
        if !known {
            self.push.create(&accepted.key, &caller.principal.id, asked.config, asked.old, after).await?;
        }
        Ok(accepted)
    }

    /// Records what the client says: a new task, or a message for one.
    async fn accept(&self, caller: &Caller, message: Message) -> Result<Accepted, A2aError> {
        if !self.may(caller, Action::SendMessage) {
            return Err(A2aError::invalid("params.tenant", "this agent is not there for that tenant"));
        }
        if let Some(id) = message.task_id.clone() {
            let key = self.visible(caller, &id, Action::SendMessage).await?.key;
            let accepted = self.owners.command(&key, Detail::NoArtifacts, Command::Receive(message)).await;
            return accepted
                .map(|_| Accepted { key: key.clone(), new: false })
                .map_err(|error| owner_error(&key, error));
        }
        let principal = &caller.principal;
        // The same message again must find its task even when there is no place for a new one.
        let before =
            self.log.created_by(&principal.tenant, &principal.id, self.agent(), &message.message_id).await;
        if let Some(task) = before.map_err(|error| log_error(&error))? {
            return self.repeated(self.key(caller, &task), &message.message_id, &message.parts).await;
        }
        if self.draining.is_cancelled() {
            return Err(A2aError::new(
                ErrorKind::Busy,
                "the host is shutting down; send the message again later",
            ));
        }
        let Some(activity) = self.dispatcher.admit() else {
            let tasks = &self.settings.agent.tasks;
            let message = format!(
                "agent {} is busy: {} tasks run and {} wait; send the message again later",
                self.agent(),
                tasks.concurrency,
                tasks.queue
            );
            return Err(A2aError::new(ErrorKind::Busy, message));
        };
        let (message_id, parts) = (message.message_id.clone(), message.parts.clone());
        let new = NewTask {
            id: TaskId::generate(),
            context_id: message.context_id.clone().unwrap_or_else(ContextId::generate),
            owner: principal.clone(),
            agent: self.agent().clone(),
            message,
            trace: caller.trace,
        };
        let wanted = self.key(caller, &new.id);
        match self.owners.create(new, activity).await {
            Ok(Created::New(id)) => {
                debug_assert_eq!(id, wanted.task);
                Ok(Accepted { key: wanted, new: true })
            }
            Ok(Created::Before(id)) => self.repeated(self.key(caller, &id), &message_id, &parts).await,
            Err(error) => Err(owner_error(&wanted, error)),
        }
    }

    /// A creating message came again: its task, unless it is another message under the same id.
    async fn repeated(&self, key: TaskKey, id: &MessageId, parts: &[Part]) -> Result<Accepted, A2aError> {
        let first = self.owners.snapshot(&key, Detail::NoArtifacts).await;
        let task = first.map_err(|error| owner_error(&key, error))?.task;
        if task.history.first().is_some_and(|first| first.parts != parts) {
            return Err(rejection(&Rejected::MessageIdReused(id.clone())));
        }
        Ok(Accepted { key, new: false })
    }

    async fn snapshot_then_tail(&self, key: &TaskKey, ends_at: EndsAt) -> Result<Subscription, A2aError> {
        let snapshot =
            self.owners.snapshot(key, Detail::Whole).await.map_err(|error| owner_error(key, error))?;
        let (id, context) = (snapshot.task.id.clone(), snapshot.task.context_id.clone());
        let state = snapshot.task.status.state;
        let ended =
            state.is_terminal() || (ends_at == EndsAt::Interrupted && state == TaskState::InputRequired);
        let first = TaskEvent::Created(Box::new(snapshot.task)).encode(&id, &context);
        self.open(key, snapshot.seq, Some(Bytes::from(first)), ends_at, ended).await
    }

    async fn open(
        &self,
        key: &TaskKey,
        after: Seq,
        first: Option<Bytes>,
        ends_at: EndsAt,
        ended: bool,
    ) -> Result<Subscription, A2aError> {
        self.subscribers.open(key, after, first, ends_at, ended).await.map_err(|error| match error {
            SubscribeError::TooMany(_) => A2aError::new(ErrorKind::Busy, error.to_string()),
            SubscribeError::Log(error) => log_error(&error),
        })
    }
}

/// A push notification configuration, and whether its client speaks 0.3.
pub(crate) struct AskedPush {
    pub(crate) config: PushConfig,
    pub(crate) old: bool,
}

struct Accepted {
    key: TaskKey,
    new: bool,
}

/// The one place where an owner's refusal becomes a protocol error.
fn owner_error(key: &TaskKey, error: OwnerError) -> A2aError {
    match error {
        OwnerError::NotFound => A2aError::task_not_found(key.task.as_str()),
        OwnerError::Rejected(rejected) => rejection(&rejected),
        OwnerError::Log(error) => log_error(&error),
        OwnerError::Closed => A2aError::new(ErrorKind::Busy, "the host is shutting down; try again later"),
    }
}

fn rejection(rejected: &Rejected) -> A2aError {
    let kind = match rejected {
        Rejected::NotCancelable(_) => ErrorKind::TaskNotCancelable,
        Rejected::WrongContext | Rejected::MessageIdReused(_) => ErrorKind::InvalidParams,
        _ => ErrorKind::UnsupportedOperation,
    };
    A2aError::new(kind, rejected.to_string())
}

/// The one place where what the log says becomes a protocol error.
pub(crate) fn log_error(error: &LogError) -> A2aError {
    if let LogError::Trimmed { first } = error {
        return A2aError::events_trimmed(*first);
    }
    tracing::error!(%error, "the log failed");
    match error {
        LogError::Overloaded => A2aError::new(ErrorKind::Busy, "the host is overloaded; try again later"),
        LogError::Full(_) => A2aError::new(
            ErrorKind::Busy,
            "the host's store is full, so it takes nothing new; ask its operator",
        ),
        _ => A2aError::internal(),
    }
}

/// A page token is `milliseconds.task-id`: it names a position, not a snapshot, and any replica can read it.
pub(crate) fn encode_cursor(cursor: &PageCursor) -> String {
    format!("{}.{}", cursor.status_at.millis(), cursor.task)
}

/// Reads a page token.
pub(crate) fn decode_cursor(token: &str) -> Result<PageCursor, A2aError> {
    let bad = || A2aError::invalid("params.pageToken", "is not a token of this host; start again without it");
    let (millis, task) = token.split_once('.').ok_or_else(bad)?;
    let millis = millis.parse().map_err(|_| bad())?;
    if task.is_empty() || task.len() > 64 {
        return Err(bad());
    }
    Ok(PageCursor { status_at: mesh_core::Timestamp(millis), task: TaskId::from(task) })
}

/// One page of ListTasks.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) tasks: Vec<Box<RawValue>>,
    pub(crate) total: u64,
    pub(crate) next: Option<PageCursor>,
}

/// What a listing shows of each task.
pub(crate) struct View {
    pub(crate) detail: Detail,
    pub(crate) history: Option<usize>,
    /// Which push notifications were given up.
    pub(crate) push_state: bool,
}

/// Says in a task's metadata which of its push notification configurations were given up; nothing if there are none.
fn add_push_state(task: &mut Task, given_up: Vec<GivenUp>) {
    if !given_up.is_empty() {
        let state = serde_json::json!({ "givenUp": given_up });
        task.metadata.get_or_insert_default().insert(PUSH_STATE_EXTENSION.to_owned(), state);
    }
}
