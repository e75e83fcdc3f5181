//! What a server says without being asked.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What a listener wants to hear. A server with sessions says what it likes; the rest is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
    /// Resources whose changes are wanted, by the upstream's own URIs.
    pub(crate) updated: Vec<String>,
}

/// One thing that was said.
#[derive(Clone, Debug)]
pub(crate) enum Announcement {
    /// Nothing was heard for a while, or the server was started again: every list may have changed.
    Resumed,
    /// `notifications/tools/list_changed`
    Tools,
    /// `notifications/prompts/list_changed`
    Prompts,
    /// `notifications/resources/list_changed`
    Resources,
    /// `notifications/resources/updated`
    Updated { uri: String },
    /// Any other notification, raw: `notifications/message`, `notifications/tasks/status` and what is yet to come.
    Other { message: Bytes },
}

/// Announcements that wait for their listener; a server is read no faster than it listens.
pub(crate) const HEARD: usize = 64;

#[derive(Deserialize)]
struct Uri {
    uri: String,
}

impl Announcement {
    /// Reads a notification; `None` if it is about one request, or of no use to anybody but us.
    pub(crate) fn read(method: &str, params: Option<&RawValue>, message: &Bytes) -> Option<Self> {
        Some(match method {
            "notifications/tools/list_changed" => Self::Tools,
            "notifications/prompts/list_changed" => Self::Prompts,
            "notifications/resources/list_changed" => Self::Resources,
            "notifications/resources/updated" => {
                let Uri { uri } = serde_json::from_str(params?.get()).ok()?;
                Self::Updated { uri }
            }
            "notifications/progress"
            | "notifications/cancelled"
            | "notifications/initialized"
            | "notifications/subscriptions/acknowledged" => return None,
            _ => Self::Other { message: message.clone() },
        })
    }
}

impl Wanted {
    /// Whether something that a server says to all is wanted. What is updated may be a part of what was asked for.
    pub(crate) fn wants(&self, announcement: &Announcement) -> bool {
        match announcement {
            Announcement::Tools => self.tools,
            Announcement::Prompts => self.prompts,
            Announcement::Resources => self.resources,
            Announcement::Updated { uri, .. } => {
                self.updated.iter().any(|wanted| uri.starts_with(wanted.as_str()))
            }
            Announcement::Resumed | Announcement::Other { .. } => true,
        }
    }

    /// The parameters of `subscriptions/listen`.
    pub(crate) fn filter(&self) -> String {
        let mut filter = serde_json::Map::new();
        for (name, wanted) in [
            ("toolsListChanged", self.tools),
            ("promptsListChanged", self.prompts),
            ("resourcesListChanged", self.resources),
        ] {
            if wanted {
                filter.insert(name.to_owned(), true.into());
            }
        }
        if !self.updated.is_empty() {
            filter.insert("resourceSubscriptions".to_owned(), self.updated.clone().into());
        }
        serde_json::Value::Object(filter).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::incoming::Incoming;

    fn read(text: &'static str) -> Option<Announcement> {
        let message = Bytes::from_static(text.as_bytes());
        let incoming: Incoming<'_> = serde_json::from_slice(&message).unwrap();
        Announcement::read(&incoming.method.unwrap(), incoming.params, &message)
    }

    #[test]
    fn a_listener_hears_what_it_wants() {
        let wanted = Wanted { tools: true, updated: vec!["file:///a".to_owned()], ..Wanted::default() };
        assert_eq!(wanted.filter(), r#"{"toolsListChanged":true,"resourceSubscriptions":["file:///a"]}"#);
        let tools = read(r#"{"method":"notifications/tools/list_changed"}"#).unwrap();
        let prompts = read(r#"{"method":"notifications/prompts/list_changed"}"#).unwrap();
        let part =
            read(r#"{"method":"notifications/resources/updated","params":{"uri":"file:///a/b"}}"#).unwrap();
        let other =
            read(r#"{"method":"notifications/resources/updated","params":{"uri":"file:///b"}}"#).unwrap();
        let log = read(r#"{"method":"notifications/message","params":{"level":"info","data":1.0}}"#).unwrap();
        assert!(wanted.wants(&tools) && wanted.wants(&part) && wanted.wants(&log));
        assert!(!wanted.wants(&prompts) && !wanted.wants(&other));
        assert!(matches!(log, Announcement::Other { message } if message.ends_with(b"1.0}}")));
        assert!(read(r#"{"method":"notifications/progress","params":{}}"#).is_none());
        assert!(read(r#"{"method":"notifications/resources/updated","params":{}}"#).is_none());
    }
}
