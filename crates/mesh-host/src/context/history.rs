//! The tasks of a context in the order of their creation, with what was said in them.

use super::{ContextKey, Contexts, HistoryCall};
use crate::owner::{Detail, OwnerError};
use mesh_core::model::{Artifact, Message, TaskState};
use mesh_core::{AgentName, TaskId, TaskKey, Tenant, Timestamp};
use mesh_log::{ListQuery, LogError, Page, PageCursor};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// Tasks that are looked at: the ones that changed last.
const TASKS: usize = 1000;
/// Heads read at once: they may be large.
const HEADS: usize = 50;
/// Tasks of a page, unless asked for otherwise, and at most.
const PAGE: (usize, usize) = (20, 100);
/// Bytes of a page, and of a task in it.
const BYTES: usize = 1 << 20;

/// A page of tasks, oldest first.
#[derive(Debug, Default, Serialize)]
pub(crate) struct History {
    tasks: Vec<Box<RawValue>>,
    /// The task before which the page with earlier ones ends, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<TaskId>,
}

/// A task that is there. Ids tell those apart that were created in the same millisecond.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    created: Timestamp,
    task: TaskId,
    agent: AgentName,
}

/// A task with what was said in it.
#[derive(Serialize)]
struct Told<'a> {
    task: &'a TaskId,
    agent: &'a AgentName,
    state: TaskState,
    created: Timestamp,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<Artifact>,
    /// Something is left out because it is too large.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl Contexts {
    /// The last tasks of the context before `call.before`, without the one that asks.
    pub(crate) async fn history(
        &self,
        at: &ContextKey,
        asking: &TaskId,
        call: &HistoryCall,
    ) -> Result<Option<History>, LogError> {
        let mut known: Vec<Known> = self.known(at).await?.into_iter().collect();
        if let Some(before) = &call.before {
            let Some(end) = known.iter().position(|known| known.task == *before) else { return Ok(None) };
            known.truncate(end);
        }
        known.retain(|known| known.task != *asking);
        let limit = call.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1);
        let mut history = History::default();
        let (mut bytes, mut oldest) = (0, None);
        for known in known.iter().rev() {
            if history.tasks.len() >= limit || bytes >= BYTES {
                history.before = oldest;
                break;
            }
            let Some(told) = self.tell(&at.tenant, known, call.artifacts).await? else { continue };
            bytes += told.get().len();
            oldest = Some(known.task.clone());
            history.tasks.push(told);
        }
        history.tasks.reverse();
        Ok(Some(history))
    }

    /// Whether the owner has no task in the context.
    pub(super) async fn is_unused(&self, at: &ContextKey) -> Result<bool, LogError> {
        Ok(self.heads(at, None, 1).await?.heads.is_empty())
    }

    /// The tasks that changed last, in the order of their creation. One that changes meanwhile may come twice.
    async fn known(&self, at: &ContextKey) -> Result<BTreeSet<Known>, LogError> {
        let mut known = BTreeSet::new();
        let mut after = None;
        while known.len() < TASKS {
            let page = self.heads(at, after, HEADS).await?;
            known.extend(page.heads.into_iter().map(|head| Known {
                created: head.control.created,
                task: head.key.task,
                agent: head.control.agent,
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(known)
    }

    async fn heads(
        &self,
        at: &ContextKey,
        after: Option<PageCursor>,
        limit: usize,
    ) -> Result<Page, LogError> {
        let query = ListQuery {
            tenant: at.tenant.clone(),
            owner: Some(at.owner.clone()),
            agent: None,
            context_id: Some(at.context.clone()),
            state: None,
            status_at_or_after: None,
            after,
            limit,
        };
        self.log.list(query).await
    }

    /// A task as JSON; `None` if it is not there any more.
    async fn tell(
        &self,
        tenant: &Tenant,
        known: &Known,
        artifacts: bool,
    ) -> Result<Option<Box<RawValue>>, LogError> {
        let detail = if artifacts { Detail::Whole } else { Detail::NoArtifacts };
        let key = TaskKey::new(tenant.clone(), known.task.clone());
        let task = match self.owners.snapshot(&key, detail).await {
            Ok(snapshot) => snapshot.task,
            Err(OwnerError::NotFound) => return Ok(None),
            Err(OwnerError::Closed) => return Err(LogError::Closed),
            Err(error) => return Err(LogError::Failed(error.to_string())),
        };
        let mut messages = task.history;
        messages.extend(task.status.message);
        let mut told = Told {
            task: &known.task,
            agent: &known.agent,
            state: task.status.state,
            created: known.created,
            messages,
            artifacts: task.artifacts,
            truncated: false,
        };
        let write = |told: &Told<'_>| {
            serde_json::value::to_raw_value(told).map_err(|error| LogError::Failed(error.to_string()))
        };
        let mut text = write(&told)?;
        if text.get().len() > BYTES {
            (told.truncated, told.artifacts) = (true, Vec::new());
            text = write(&told)?;
        }
        if text.get().len() > BYTES {
            told.messages = Vec::new();
            text = write(&told)?;
        }
        Ok(Some(text))
    }
}
