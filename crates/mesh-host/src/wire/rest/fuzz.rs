//! Fuzz targets: paths and queries.

use super::path::{Resource, Target, unescape};
use super::query;
use crate::wire::params::{ListParams, TaskParams};
use std::fmt::Write as _;

/// A path that names something can be written, and then names the same.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = unescape(text, true);
    let Some(target) = Target::parse(text) else { return };
    assert_eq!(Target::parse(&write(&target)).as_ref(), Some(&target), "{}", write(&target));
}

/// The first byte says whether it is the query of a task or of a list.
pub fn query(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let _ = query::tenant(text);
    if let Ok(Some(after)) = query::after_event(text) {
        assert_eq!(query::after_event(&format!("afterEvent={after}")), Ok(Some(after)));
    }
    if kind % 2 == 0 {
        let Ok(params) = query::task(text, "t".to_owned()) else { return };
        let again = query::task(&write_task(&params), "t".to_owned()).map(|again| write_task(&again));
        assert_eq!(again.ok(), Some(write_task(&params)));
    } else {
        let Ok(params) = query::list(text) else { return };
        let again = query::list(&write_list(&params)).map(|again| write_list(&again));
        assert_eq!(again.ok(), Some(write_list(&params)));
    }
}

fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = write!(all, "%{byte:02X}");
        all
    })
}

fn write(target: &Target) -> String {
    let tenant = target.tenant.as_deref().map(|tenant| format!("/{}", escape(tenant)));
    let path = match &target.resource {
        Resource::Send => "/message:send".to_owned(),
        Resource::Stream => "/message:stream".to_owned(),
        Resource::Tasks => "/tasks".to_owned(),
        Resource::Task(id) => format!("/tasks/{}", escape(id)),
        Resource::Cancel(id) => format!("/tasks/{}:cancel", escape(id)),
        Resource::Subscribe(id) => format!("/tasks/{}:subscribe", escape(id)),
        Resource::PushConfigs(task) => format!("/tasks/{}/pushNotificationConfigs", escape(task)),
        Resource::PushConfig(task, id) => {
            format!("/tasks/{}/pushNotificationConfigs/{}", escape(task), escape(id))
        }
        Resource::ExtendedCard => "/extendedAgentCard".to_owned(),
        Resource::Context(id) => format!("/extensions/context/{}", escape(id)),
    };
    tenant.unwrap_or_default() + &path
}

fn put<T: ToString>(text: &mut String, name: &str, value: Option<T>) {
    if let Some(value) = value {
        let _ = write!(text, "&{name}={}", escape(&value.to_string()));
    }
}

fn write_task(params: &TaskParams) -> String {
    let mut text = String::new();
    put(&mut text, "tenant", params.tenant.as_ref());
    put(&mut text, "historyLength", params.history_length);
    text
}

fn write_list(params: &ListParams) -> String {
    let mut text = String::new();
    put(&mut text, "tenant", params.tenant.as_ref());
    put(&mut text, "contextId", params.context_id.as_ref());
    put(&mut text, "status", params.status.map(|state| state.proto_name()));
    put(&mut text, "pageSize", params.page_size);
    put(&mut text, "pageToken", params.page_token.as_ref());
    put(&mut text, "historyLength", params.history_length);
    put(&mut text, "statusTimestampAfter", params.status_timestamp_after);
    put(&mut text, "includeArtifacts", params.include_artifacts);
    text
}
