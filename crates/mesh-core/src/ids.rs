//! Identifiers. Each is a cheaply cloned string of its own type, so that one cannot be passed for another.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The number of an event within its task: 1 for the first, then 2, 3 … without a gap. 0 means "before the first".
pub type Seq = u64;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// Whose data it is: nothing is shared between two tenants.
    Tenant
);
id!(
    /// A task, made by the host (UUIDv7, so ids sort by creation).
    TaskId
);
id!(
    /// One run of a host process: made anew at every start.
    HostId
);
id!(
    /// What several tasks have in common; made by the client or by the host.
    ContextId
);
id!(
    /// A message, made by its sender.
    MessageId
);
id!(
    /// An artifact, unique within its task.
    ArtifactId
);
id!(
    /// An agent, as the mesh file names it.
    AgentName
);
id!(
    /// A principal, unique within its tenant.
    PrincipalId
);

impl TaskId {
    /// A new, time-ordered id.
    pub fn generate() -> Self {
        Self::new(uuid::Uuid::now_v7().to_string())
    }
}

impl ContextId {
    /// A new, time-ordered id.
    pub fn generate() -> Self {
        Self::new(uuid::Uuid::now_v7().to_string())
    }
}

impl HostId {
    /// A new, time-ordered id.
    pub fn generate() -> Self {
        Self::new(uuid::Uuid::now_v7().to_string())
    }
}

impl MessageId {
    /// A new, time-ordered id.
    pub fn generate() -> Self {
        Self::new(uuid::Uuid::now_v7().to_string())
    }
}

/// The full name of a task: every store key and query carries the tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// Whose task it is.
    pub tenant: Tenant,
    /// Which one.
    pub task: TaskId,
}

impl TaskKey {
    /// Joins the two.
    pub fn new(tenant: Tenant, task: TaskId) -> Self {
        Self { tenant, task }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.task)
    }
}
