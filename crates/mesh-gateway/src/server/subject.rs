//! What a request that is forwarded is about, and where its name stands in the parameters.

use crate::rejection::Rejection;
use crate::upstream::Kind;
use crate::wire::object::{RawObject, as_str};
use crate::wire::string;
use mesh_core::Tenant;
use mesh_policy::{Action, Resource};
use std::sync::Arc;

/// The methods that go to an upstream, one answer for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    CallTool,
    GetPrompt,
    ReadResource,
    Complete,
    /// `resources/subscribe`, or `resources/unsubscribe`
    Follow(bool),
    /// `tasks/*`, in either form: on the route of one upstream only.
    Task(&'static str),
}

/// What a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// `params.name` or `params.uri`
    Member(&'static str),
    /// The same in `params.ref`.
    Reference(&'static str),
    /// Nowhere that names change.
    None,
}

impl Forwarded {
    pub(crate) fn of(method: &str) -> Option<Self> {
        Some(match method {
            "tools/call" => Self::CallTool,
            "prompts/get" => Self::GetPrompt,
            "resources/read" => Self::ReadResource,
            "completion/complete" => Self::Complete,
            "resources/subscribe" => Self::Follow(true),
            "resources/unsubscribe" => Self::Follow(false),
            "tasks/get" => Self::Task("tasks/get"),
            "tasks/update" => Self::Task("tasks/update"),
            "tasks/cancel" => Self::Task("tasks/cancel"),
            "tasks/result" => Self::Task("tasks/result"),
            "tasks/list" => Self::Task("tasks/list"),
            _ => return None,
        })
    }

    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::CallTool => "tools/call",
            Self::GetPrompt => "prompts/get",
            Self::ReadResource => "resources/read",
            Self::Complete => "completion/complete",
            Self::Follow(true) => "resources/subscribe",
            Self::Follow(false) => "resources/unsubscribe",
            Self::Task(method) => method,
        }
    }

    /// Whether clients of this generation have the method: those without sessions follow resources by `subscriptions/listen`.
    pub(crate) fn is_of(self, modern: bool) -> bool {
        !(modern && matches!(self, Self::Follow(_)))
    }

    /// Whether its result may ask for input (2026-07-28, multi round-trip requests).
    pub(crate) fn may_ask(self) -> bool {
        matches!(self, Self::CallTool | Self::GetPrompt | Self::ReadResource)
    }

    /// What has to be allowed.
    pub(crate) fn action(self, kind: Kind) -> Action {
        match (self, kind) {
            (Self::CallTool | Self::Task(_), _) | (_, Kind::Tools) => Action::CallTool,
            (_, Kind::Prompts) => Action::GetPrompt,
            (_, Kind::Resources | Kind::Templates) => Action::ReadResource,
        }
    }

    /// What the parameters name.
    pub(crate) fn subject(self, params: &RawObject<'_>) -> Result<Subject, Rejection> {
        let (kind, member) = match self {
            Self::CallTool => (Kind::Tools, "name"),
            Self::GetPrompt => (Kind::Prompts, "name"),
            Self::ReadResource | Self::Follow(_) => (Kind::Resources, "uri"),
            Self::Complete => return reference(params),
            Self::Task(_) => {
                let name = params.get("taskId").and_then(as_str).unwrap_or_default().into_owned();
                return Ok(Subject { kind: Kind::Tools, name, place: Place::None });
            }
        };
        let name = params.get(member).and_then(as_str).map(|name| name.into_owned());
        let wrong = || Rejection::InvalidParams(format!("`params.{member}` must be a string"));
        Ok(Subject { kind, name: name.ok_or_else(wrong)?, place: Place::Member(member) })
    }
}

fn reference(params: &RawObject<'_>) -> Result<Subject, Rejection> {
    let wrong = || {
        Rejection::InvalidParams("`params.ref` must be a reference to a prompt (`ref/prompt`, `name`) or a resource (`ref/resource`, `uri`)".to_owned())
    };
    let reference = params.get("ref").and_then(|json| RawObject::parse(json).ok()).ok_or_else(wrong)?;
    let (kind, member) = match reference.get("type").and_then(as_str).as_deref() {
        Some("ref/prompt") => (Kind::Prompts, "name"),
        Some("ref/resource") => (Kind::Templates, "uri"),
        _ => return Err(wrong()),
    };
    let name = reference.get(member).and_then(as_str).ok_or_else(wrong)?.into_owned();
    Ok(Subject { kind, name, place: Place::Reference(member) })
}

impl Subject {
    /// Writes the upstream's own name where the client's stands.
    pub(crate) fn rename(&self, params: &mut RawObject<'_>, name: &str) {
        if name == self.name {
            return;
        }
        match self.place {
            Place::Member(member) => params.set(member, string(name)),
            Place::Reference(member) => {
                let Some(text) = params.get("ref").map(str::to_owned) else { return };
                let Ok(mut reference) = RawObject::parse(&text) else { return };
                reference.set(member, string(name));
                let renamed = reference.to_text();
                params.set("ref", renamed);
            }
            Place::None => {}
        }
    }

    /// The resource that a decision is about, by the upstream's own name.
    pub(crate) fn resource<'a>(
        &self,
        tenant: &'a Tenant,
        upstream: &'a str,
        name: &'a Arc<str>,
    ) -> Resource<'a> {
        match self.kind {
            Kind::Tools => Resource::Tool { tenant, upstream, tool: name },
            Kind::Prompts => Resource::Prompt { tenant, upstream, prompt: name },
            Kind::Resources | Kind::Templates => Resource::Resource { tenant, upstream, uri: name },
        }
    }

    /// What to say when there is no such thing.
    pub(crate) fn unknown(&self) -> Rejection {
        let shown: String = self.name.chars().take(256).collect();
        match self.kind {
            Kind::Tools => Rejection::UnknownTool { tool: shown },
            Kind::Prompts => Rejection::UnknownPrompt { prompt: shown },
            Kind::Resources | Kind::Templates => Rejection::UnknownResource { uri: shown },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(method: &str, params: &str, to: &str) -> (Kind, String, String) {
        let mut object = RawObject::parse(params).unwrap();
        let subject = Forwarded::of(method).unwrap().subject(&object).unwrap();
        subject.rename(&mut object, to);
        (subject.kind, subject.name.clone(), object.to_text())
    }

    #[test]
    fn a_name_is_found_and_replaced_where_it_stands() {
        assert_eq!(
            renamed("prompts/get", r#"{"name":"crm_p","x":1.0}"#, "p"),
            (Kind::Prompts, "crm_p".into(), r#"{"name":"p","x":1.0}"#.into())
        );
        assert_eq!(
            renamed(
                "completion/complete",
                r#"{"ref":{"type":"ref/resource","uri":"crm+a://{x}","y":1.0}}"#,
                "a://{x}"
            ),
            (
                Kind::Templates,
                "crm+a://{x}".into(),
                r#"{"ref":{"type":"ref/resource","uri":"a://{x}","y":1.0}}"#.into()
            )
        );
        for bad in ["{}", r#"{"ref":{}}"#, r#"{"ref":{"type":"ref/prompt"}}"#, r#"{"ref":1}"#] {
            assert!(Forwarded::Complete.subject(&RawObject::parse(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
