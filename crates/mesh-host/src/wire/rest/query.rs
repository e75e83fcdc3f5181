//! Query parameters of the HTTP+JSON binding (section 11.5): the names of the JSON fields, one value each.
//!
//! As in JSON, unknown names are ignored; but a known one in another spelling, such as `page_size`, is refused, because the
//! client would not get what it asked for.

use super::path::unescape;
use crate::wire::params::{ContextParams, ListParams, TaskParams, parse_state};
use mesh_core::{A2aError, ContextId, Seq, TaskId, Timestamp};
use std::fmt::Display;
use std::str::FromStr;

/// Known parameters and their values, as far as they were given.
struct Query<const N: usize> {
    names: [&'static str; N],
    values: [Option<String>; N],
}

impl<const N: usize> Query<N> {
    fn parse(text: &str, names: [&'static str; N]) -> Result<Self, A2aError> {
        let mut values = [const { None }; N];
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = unescape(name, true).ok_or_else(|| broken(name))?;
            let Some(at) =
                names.iter().position(|known| known.eq_ignore_ascii_case(&name.replace(['_', '-'], "")))
            else {
                continue;
            };
            let known = names[at];
            if name != known {
                return Err(A2aError::invalid(&name, format_args!("this parameter is called {known}")));
            }
            let value = unescape(value, true).ok_or_else(|| broken(known))?;
            if values[at].replace(value).is_some() {
                return Err(A2aError::invalid(known, "is there twice"));
            }
        }
        Ok(Self { names, values })
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.names.iter().position(|known| *known == name).and_then(|at| self.values[at].take())
    }

    fn typed<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>, A2aError> {
        self.read(name, |text| text.parse().map_err(|_| format!("`{}` is not {what}", shown(text))))
    }

    fn read<T, E: Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, A2aError> {
        self.take(name).map(|text| read(&text)).transpose().map_err(|why| A2aError::invalid(name, why))
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

fn broken(name: &str) -> A2aError {
    A2aError::invalid(&shown(name), "is not percent-encoded UTF-8")
}

/// The parameters of GetTask and of subscribing.
pub(super) fn task(query: &str, id: String) -> Result<TaskParams, A2aError> {
    let mut query = Query::parse(query, ["tenant", "historyLength"])?;
    Ok(TaskParams {
        id: TaskId::from(id),
        history_length: query.typed::<i32>("historyLength", "a whole number")?.map(i64::from),
        tenant: query.take("tenant"),
    })
}

/// The event that a subscriber has, of our extension.
pub(super) fn after_event(query: &str) -> Result<Option<Seq>, A2aError> {
    Query::parse(query, ["afterEvent"])?
        .typed::<Seq>("afterEvent", "the number of an event, 0 for all of them")
}

/// The parameters of ListTasks.
pub(super) fn list(query: &str) -> Result<ListParams, A2aError> {
    let names = [
        "tenant",
        "contextId",
        "status",
        "pageSize",
        "pageToken",
        "historyLength",
        "statusTimestampAfter",
        "includeArtifacts",
    ];
    let mut query = Query::parse(query, names)?;
    let time = |text: &str| {
        Timestamp::parse(text).ok_or("must be a timestamp as 2026-11-22T20:00:00Z, percent-encoded")
    };
    Ok(ListParams {
        tenant: query.take("tenant"),
        context_id: query.take("contextId").filter(|id| !id.is_empty()).map(ContextId::from),
        status: query.read("status", parse_state)?.flatten(),
        page_size: query.typed::<i32>("pageSize", "a whole number")?.map(i64::from),
        page_token: query.take("pageToken"),
        history_length: query.typed::<i32>("historyLength", "a whole number")?.map(i64::from),
        status_timestamp_after: query.read("statusTimestampAfter", time)?,
        include_artifacts: query.typed::<bool>("includeArtifacts", "true or false")?,
    })
}

/// The parameters of reading a context.
pub(super) fn context(query: &str, id: String) -> Result<ContextParams, A2aError> {
    let mut query = Query::parse(query, ["tenant", "pageSize", "pageToken"])?;
    Ok(ContextParams {
        context_id: ContextId::from(id),
        page_size: query.typed::<i32>("pageSize", "a whole number")?.map(i64::from),
        page_token: query.take("pageToken"),
        tenant: query.take("tenant"),
    })
}

/// The tenant of operations that have no other parameter.
pub(super) fn tenant(query: &str) -> Result<Option<String>, A2aError> {
    Ok(Query::parse(query, ["tenant"])?.take("tenant"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_core::model::TaskState;

    #[test]
    fn values_are_read_by_their_types() {
        let text = "contextId=a%20b+c&status=TASK_STATE_WORKING&pageSize=7&pageToken=x.y&historyLength=0\
                    &statusTimestampAfter=2026-11-22T20:00:00%2B01:00&includeArtifacts=true&A2A-Version=1.0&key=%ff";
        let params = list(text).unwrap();
        assert_eq!(params.context_id, Some(ContextId::from("a b c")));
        assert_eq!(params.status, Some(TaskState::Working));
        assert_eq!((params.page_size, params.history_length), (Some(7), Some(0)));
        assert_eq!(params.page_token.as_deref(), Some("x.y"));
        assert_eq!(params.status_timestamp_after, Timestamp::parse("2026-11-22T19:00:00Z"));
        assert_eq!(params.include_artifacts, Some(true));
        assert!(list("").unwrap().status.is_none());
        assert!(list("&&status=&contextId=").unwrap().context_id.is_none());
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_name() {
        for (text, name) in [
            ("pageSize=many", "pageSize"),
            ("pageSize=", "pageSize"),
            ("pageSize=99999999999", "pageSize"),
            ("historyLength=1.5", "historyLength"),
            ("status=working", "status"),
            ("includeArtifacts=1", "includeArtifacts"),
            ("statusTimestampAfter=yesterday", "statusTimestampAfter"),
            ("contextId=a&contextId=b", "contextId"),
            ("contextId=%f", "contextId"),
            ("page_size=1", "page_size"),
            ("pagesize=1", "pagesize"),
        ] {
            let error = list(text).map(|_| ()).unwrap_err();
            assert!(error.message.starts_with(&format!("{name}: ")), "{text}: {error}");
        }
        assert!(task("history-length=1", "1".to_owned()).is_err());
        for wrong in
            ["afterEvent=", "afterEvent=-1", "afterEvent=1.5", "after_event=1", "afterEvent=1&afterEvent=1"]
        {
            assert!(after_event(wrong).is_err(), "{wrong}");
        }
        assert_eq!((after_event("afterEvent=7"), after_event("")), (Ok(Some(7)), Ok(None)));
    }
}
