//! What happened to a task, and its encoding.
//!
//! An event is encoded once, when it is recorded, as the A2A `StreamResponse` object (section 3.2.3) that every
//! subscriber gets. What a subscriber must not see of it, the client's message that resumed a task, is kept beside.

use crate::ids::{ContextId, TaskId};
use crate::model::{Artifact, Message, Metadata, Task, TaskStatus};
use serde::{Deserialize, Serialize};

/// One change of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskEvent {
    /// The task exists; always and only the first.
    Created(Box<Task>),
    /// Its status changed.
    Status(Box<StatusChange>),
    /// An artifact came or grew.
    Artifact(Box<ArtifactChange>),
}

/// A change of status.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusChange {
    /// The status from now on.
    pub status: TaskStatus,
    /// Shown to subscribers.
    pub metadata: Option<Metadata>,
    /// The client's message that caused the change; goes to the history, not to subscribers.
    pub received: Option<Message>,
}

/// A new artifact, or more of one.
#[derive(Clone, Debug, PartialEq)]
pub struct ArtifactChange {
    /// The artifact, or the parts to add to it.
    pub artifact: Artifact,
    /// Add the parts to the artifact of the same id; otherwise it is replaced.
    pub append: bool,
    /// Nothing more comes for this artifact.
    pub last_chunk: bool,
}

/// `StreamResponse`: exactly one field is set. Borrowing for writing, owning for reading.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum StreamResponseRef<'a> {
    Task(&'a Task),
    StatusUpdate(StatusUpdateRef<'a>),
    ArtifactUpdate(ArtifactUpdateRef<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusUpdateRef<'a> {
    task_id: &'a TaskId,
    context_id: &'a ContextId,
    status: &'a TaskStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Metadata>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactUpdateRef<'a> {
    task_id: &'a TaskId,
    context_id: &'a ContextId,
    artifact: &'a Artifact,
    append: bool,
    last_chunk: bool,
}

/// A decoded `StreamResponse`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StreamResponse {
    /// The whole task.
    Task(Box<Task>),
    /// A direct answer without a task.
    Message(Box<Message>),
    /// A change of status.
    StatusUpdate(Box<StatusUpdate>),
    /// A change of an artifact.
    ArtifactUpdate(Box<ArtifactUpdate>),
}

/// `TaskStatusUpdateEvent`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusUpdate {
    /// Whose.
    pub task_id: TaskId,
    /// The task's context.
    pub context_id: ContextId,
    /// The status from now on.
    pub status: TaskStatus,
    /// Whatever the agent attached.
    #[serde(default)]
    pub metadata: Option<Metadata>,
}

/// `TaskArtifactUpdateEvent`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactUpdate {
    /// Whose.
    pub task_id: TaskId,
    /// The task's context.
    pub context_id: ContextId,
    /// The artifact, or the parts to add.
    pub artifact: Artifact,
    /// Add, instead of replace.
    #[serde(default)]
    pub append: Option<bool>,
    /// Nothing more comes.
    #[serde(default)]
    pub last_chunk: Option<bool>,
}

impl TaskEvent {
    /// The `StreamResponse` object as JSON text.
    pub fn encode(&self, task_id: &TaskId, context_id: &ContextId) -> Vec<u8> {
        let response = match self {
            Self::Created(task) => StreamResponseRef::Task(task),
            Self::Status(change) => StreamResponseRef::StatusUpdate(StatusUpdateRef {
                task_id,
                context_id,
                status: &change.status,
                metadata: change.metadata.as_ref(),
            }),
            Self::Artifact(change) => StreamResponseRef::ArtifactUpdate(ArtifactUpdateRef {
                task_id,
                context_id,
                artifact: &change.artifact,
                append: change.append,
                last_chunk: change.last_chunk,
            }),
        };
        serde_json::to_vec(&response).unwrap_or_default()
    }

    /// What is kept beside the `StreamResponse`, as JSON text.
    pub fn encode_private(&self) -> Option<Vec<u8>> {
        match self {
            Self::Status(change) => {
                change.received.as_ref().map(|message| serde_json::to_vec(message).unwrap_or_default())
            }
            _ => None,
        }
    }

    /// Reads back what [`encode`](Self::encode) and [`encode_private`](Self::encode_private) wrote.
    ///
    /// # Errors
    /// The text is not what they write: the store is damaged.
    pub fn decode(public: &[u8], private: Option<&[u8]>) -> Result<Self, serde_json::Error> {
        use serde::de::Error as _;
        Ok(match serde_json::from_slice::<StreamResponse>(public)? {
            StreamResponse::Task(task) => Self::Created(task),
            StreamResponse::StatusUpdate(update) => Self::Status(Box::new(StatusChange {
                status: update.status,
                metadata: update.metadata,
                received: private.map(serde_json::from_slice).transpose()?,
            })),
            StreamResponse::ArtifactUpdate(update) => Self::Artifact(Box::new(ArtifactChange {
                artifact: update.artifact,
                append: update.append.unwrap_or(false),
                last_chunk: update.last_chunk.unwrap_or(false),
            })),
            StreamResponse::Message(_) => {
                return Err(serde_json::Error::custom("a message is not an event of a task"));
            }
        })
    }
}
