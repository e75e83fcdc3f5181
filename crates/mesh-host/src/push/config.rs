//! What a client asks for (`TaskPushNotificationConfig`, section 4.3.1).

use http::HeaderValue;
use mesh_core::{A2aError, TaskId};
use mesh_net::Allowed;
use serde::{Deserialize, Serialize};
use std::fmt;
use url::Url;

/// Longest id and URL, and longest token or credentials.
const LONGEST_ID: usize = 128;
const LONGEST_URL: usize = 2048;
const LONGEST_SECRET: usize = 4096;

/// Where to post the events of a task.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PushConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    pub(crate) id: String,
    pub(crate) task_id: String,
    pub(crate) url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authentication: Option<Authentication>,
}

/// How the mesh shows who it is.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Authentication {
    pub(crate) scheme: String,
    pub(crate) credentials: String,
}

/// Without its secrets.
impl fmt::Debug for PushConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushConfig")
            .field("id", &self.id)
            .field("task_id", &self.task_id)
            .finish_non_exhaustive()
    }
}

impl PushConfig {
    /// Checks everything that can be checked without asking anybody; `at` is where the configuration stands.
    pub(crate) fn check(&self, at: &str, allowed: &Allowed) -> Result<Url, A2aError> {
        let field = |name: &str| format!("{at}.{name}");
        if self.id.len() > LONGEST_ID {
            return Err(A2aError::invalid(&field("id"), format_args!("is longer than {LONGEST_ID} bytes")));
        }
        if self.url.len() > LONGEST_URL {
            return Err(A2aError::invalid(&field("url"), format_args!("is longer than {LONGEST_URL} bytes")));
        }
        let url = Url::parse(&self.url)
            .map_err(|error| A2aError::invalid(&field("url"), format_args!("is no URL: {error}")))?;
        allowed.check_url(&url).map_err(|why| A2aError::invalid(&field("url"), why))?;
        secret(&field("token"), &self.token)?;
        if let Some(authentication) = &self.authentication {
            let scheme = &authentication.scheme;
            if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b))
            {
                let why = "must be the name of a scheme of HTTP authentication, Bearer say";
                return Err(A2aError::invalid(&field("authentication.scheme"), why));
            }
            secret(&field("authentication.credentials"), &authentication.credentials)?;
        }
        Ok(url)
    }

    /// The name of its record.
    pub(crate) fn name(&self) -> String {
        name(&self.task_id, &self.id)
    }
}

/// The name of the record of a configuration; with an empty id, what the names of all of the task's begin with.
pub(super) fn name(task: &str, id: &str) -> String {
    format!("{task}/{id}")
}

/// A task whose id could not be part of a name is no task of ours.
pub(crate) fn is_task(task: &TaskId) -> bool {
    let id = task.as_str();
    !id.is_empty() && id.len() <= 64 && !id.contains('/')
}

fn secret(field: &str, text: &str) -> Result<(), A2aError> {
    if text.len() > LONGEST_SECRET || HeaderValue::from_str(text).is_err() {
        let why = format!("must fit into an HTTP header, and have at most {LONGEST_SECRET} bytes");
        return Err(A2aError::invalid(field, why));
    }
    Ok(())
}
