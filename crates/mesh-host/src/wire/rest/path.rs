//! The paths of the HTTP+JSON binding (section 11.3), each also under `/{tenant}`.

use crate::wire::operate::Method;
use http::Method as Verb;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tenant: Option<String>,
    pub(super) resource: Resource,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Send,
    Stream,
    Tasks,
    Task(String),
    Cancel(String),
    Subscribe(String),
    PushConfigs(String),
    PushConfig(String, String),
    ExtendedCard,
    /// Our extension (docs/context.md).
    Context(String),
}

/// What follows a configuration's id in the path of our extension.
pub(super) const RETRY: &str = ":retry";

/// Deeper than any path of the binding.
const SEGMENTS: usize = 6;

impl Target {
    /// Reads a path as it came, still escaped; `None` if it names nothing.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let segments = path.strip_prefix('/')?.split('/').take(SEGMENTS);
        let segments: Vec<String> =
            segments.map(|segment| unescape(segment, false)).collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        if let Some(resource) = Resource::parse(&segments) {
            return Some(Self { tenant: None, resource });
        }
        let (tenant, rest) = segments.split_first()?;
        Some(Self { tenant: Some((*tenant).to_owned()), resource: Resource::parse(rest)? })
    }
}

impl Resource {
    fn parse(segments: &[&str]) -> Option<Self> {
        Some(match *segments {
            ["message:send"] => Self::Send,
            ["message:stream"] => Self::Stream,
            ["tasks"] => Self::Tasks,
            ["tasks", id] => match id.rsplit_once(':') {
                Some((id, "cancel")) if !id.is_empty() => Self::Cancel(id.to_owned()),
                Some((id, "subscribe")) if !id.is_empty() => Self::Subscribe(id.to_owned()),
                _ => Self::Task(id.to_owned()),
            },
            ["tasks", task, "pushNotificationConfigs"] => Self::PushConfigs(task.to_owned()),
            ["tasks", task, "pushNotificationConfigs", id] => {
                Self::PushConfig(task.to_owned(), id.to_owned())
            }
            ["extendedAgentCard"] => Self::ExtendedCard,
            ["extensions", "context", id] => Self::Context(id.to_owned()),
            _ => return None,
        })
    }

    /// The operation that a verb means here, or the verbs that mean one.
    ///
    /// The protobuf definition has GET for subscribing, the text of the specification POST: both are taken.
    pub(super) fn method(&self, verb: &Verb) -> Result<Method, &'static str> {
        let allowed: &[(Verb, Method)] = match self {
            Self::Send => &[(Verb::POST, Method::SendMessage)],
            Self::Stream => &[(Verb::POST, Method::SendStreamingMessage)],
            Self::Tasks => &[(Verb::GET, Method::ListTasks)],
            Self::Task(_) => &[(Verb::GET, Method::GetTask)],
            Self::Cancel(_) => &[(Verb::POST, Method::CancelTask)],
            Self::Subscribe(_) => {
                &[(Verb::GET, Method::SubscribeToTask), (Verb::POST, Method::SubscribeToTask)]
            }
            Self::PushConfigs(_) => {
                &[(Verb::GET, Method::ListPushConfigs), (Verb::POST, Method::CreatePushConfig)]
            }
            // An id may end like this; only POST means our extension.
            Self::PushConfig(_, id) if id.ends_with(RETRY) => &[
                (Verb::GET, Method::GetPushConfig),
                (Verb::DELETE, Method::DeletePushConfig),
                (Verb::POST, Method::RetryPushConfig),
            ],
            Self::PushConfig(..) => {
                &[(Verb::GET, Method::GetPushConfig), (Verb::DELETE, Method::DeletePushConfig)]
            }
            Self::ExtendedCard => &[(Verb::GET, Method::GetExtendedAgentCard)],
            Self::Context(_) => &[(Verb::GET, Method::GetContext)],
        };
        allowed.iter().find(|(allowed, _)| allowed == verb).map(|(_, method)| *method).ok_or_else(|| {
            match self {
                Self::Send | Self::Stream | Self::Cancel(_) => "POST",
                Self::Tasks | Self::Task(_) | Self::ExtendedCard | Self::Context(_) => "GET",
                Self::Subscribe(_) | Self::PushConfigs(_) => "GET, POST",
                Self::PushConfig(_, id) if id.ends_with(RETRY) => "GET, DELETE, POST",
                Self::PushConfig(..) => "GET, DELETE",
            }
        })
    }
}

/// Undoes percent-encoding; `None` if it is broken or not UTF-8.
pub(super) fn unescape(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(tenant: Option<&str>, resource: Resource) -> Option<Target> {
        Some(Target { tenant: tenant.map(str::to_owned), resource })
    }

    #[test]
    fn every_path_is_found_with_and_without_a_tenant() {
        let id = || "7f:x".to_owned();
        for (path, resource) in [
            ("/message:send", Resource::Send),
            ("/message%3Astream", Resource::Stream),
            ("/tasks", Resource::Tasks),
            ("/tasks/7f:x", Resource::Task(id())),
            ("/tasks/7f:x:cancel", Resource::Cancel(id())),
            ("/tasks/7f%3ax%3Asubscribe", Resource::Subscribe(id())),
            ("/tasks/1/pushNotificationConfigs", Resource::PushConfigs("1".to_owned())),
            ("/tasks/1/pushNotificationConfigs/2", Resource::PushConfig("1".to_owned(), "2".to_owned())),
            ("/extendedAgentCard", Resource::ExtendedCard),
            ("/extensions/context/a%2Fb%20c", Resource::Context("a/b c".to_owned())),
        ] {
            assert_eq!(Target::parse(path).as_ref().map(|t| &t.resource), Some(&resource), "{path}");
            assert_eq!(Target::parse(&format!("/a%20b{path}")), target(Some("a b"), resource), "{path}");
        }
    }

    #[test]
    fn what_could_be_a_tenant_and_could_be_a_task_is_a_task() {
        assert_eq!(Target::parse("/tasks/tasks"), target(None, Resource::Task("tasks".to_owned())));
        let resource = Resource::Task("x".to_owned());
        assert_eq!(Target::parse("/tasks/tasks/x"), target(Some("tasks"), resource));
    }

    #[test]
    fn anything_else_names_nothing() {
        for path in [
            "",
            "/",
            "*",
            "//",
            "/tasks/",
            "/message",
            "/a/b/tasks",
            "/tasks/a/b",
            "/%zz/tasks",
            "/tasks/%",
            "/tasks/%ff",
            "/tasks/1/pushNotificationConfigs/2/3",
            "/x/tasks/1/pushNotificationConfigs/2/3",
            "//tasks",
            "/extensions/context",
            "/extensions/context/a/b",
            "/a/b/c/d/e/f/g/h",
        ] {
            assert_eq!(Target::parse(path), None, "{path}");
        }
        assert!(matches!(Target::parse("/tasks/:cancel"), Some(Target { resource: Resource::Task(_), .. })));
    }

    #[test]
    fn a_wrong_verb_is_told_the_right_ones() {
        let resource = Resource::Cancel("1".to_owned());
        assert_eq!(resource.method(&Verb::POST), Ok(Method::CancelTask));
        assert_eq!(resource.method(&Verb::GET), Err("POST"));
        for verb in [Verb::GET, Verb::POST] {
            assert_eq!(Resource::Subscribe("1".to_owned()).method(&verb), Ok(Method::SubscribeToTask));
        }
        assert_eq!(
            Resource::PushConfig(String::new(), String::new()).method(&Verb::OPTIONS),
            Err("GET, DELETE")
        );
        let retry = Resource::PushConfig("1".to_owned(), "2:retry".to_owned());
        assert_eq!(retry.method(&Verb::POST), Ok(Method::RetryPushConfig));
        assert_eq!(retry.method(&Verb::GET), Ok(Method::GetPushConfig));
    }
}
