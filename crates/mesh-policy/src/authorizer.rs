//! Access decisions: actor, action, resource.

use mesh_core::{Principal, Tenant};
use std::borrow::Cow;
use std::fmt;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// See that a tool exists (`tools/list`).
    ListTools,
    /// Call a tool (`tools/call`).
    CallTool,
    /// See that a prompt exists (`prompts/list`).
    ListPrompts,
    /// Get a prompt, or complete one of its arguments.
    GetPrompt,
    /// See that a resource or a template of some exists (`resources/list`, `resources/templates/list`).
    ListResources,
    /// Read a resource, follow its changes, or complete a variable of a template.
    ReadResource,
    /// See that an agent exists, and its card.
    ReadAgent,
    /// Give an agent a task or a message for one.
    SendMessage,
    /// Read a task, or tap it.
    ReadTask,
    /// Cancel a task.
    CancelTask,
}

impl Action {
    /// The name as audit records carry it: the protocol's own method where there is one.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListTools => "tools/list",
            Self::CallTool => "tools/call",
            Self::ListPrompts => "prompts/list",
            Self::GetPrompt => "prompts/get",
            Self::ListResources => "resources/list",
            Self::ReadResource => "resources/read",
            Self::ReadAgent => "agent/read",
            Self::SendMessage => "message/send",
            Self::ReadTask => "task/read",
            Self::CancelTask => "task/cancel",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What it is to be done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// One tool of an upstream, by the upstream's own name for it.
    Tool {
        /// Whose upstream it is.
        tenant: &'a Tenant,
        /// The upstream's id.
        upstream: &'a str,
        /// The tool.
        tool: &'a str,
    },
    /// One prompt of an upstream, by the upstream's own name for it.
    Prompt {
        /// Whose upstream it is.
        tenant: &'a Tenant,
        /// The upstream's id.
        upstream: &'a str,
        /// The prompt.
        prompt: &'a str,
    },
    /// One resource of an upstream, or a template of some.
    Resource {
        /// Whose upstream it is.
        tenant: &'a Tenant,
        /// The upstream's id.
        upstream: &'a str,
        /// Its URI, or the URI template, as the upstream writes it.
        uri: &'a str,
    },
    /// An agent.
    Agent {
        /// Whose agent it is.
        tenant: &'a Tenant,
        /// Its name.
        agent: &'a str,
    },
}

impl Resource<'_> {
    /// Whose it is.
    pub fn tenant(&self) -> &Tenant {
        match self {
            Self::Tool { tenant, .. }
            | Self::Prompt { tenant, .. }
            | Self::Resource { tenant, .. }
            | Self::Agent { tenant, .. } => tenant,
        }
    }
}

/// Yes or no, and which rule said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow {
        /// The rule that decided, for the audit record.
        rule: Cow<'static, str>,
    },
    /// It may not.
    Deny {
        /// The rule that decided, for the audit record.
        rule: Cow<'static, str>,
    },
}

impl Decision {
    /// Whether it may.
    pub fn allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// The rule that decided.
    pub fn rule(&self) -> &str {
        match self {
            Self::Allow { rule } | Self::Deny { rule } => rule,
        }
    }
}

/// Decides. Pure: no I/O and no waiting, so that it can be asked for every tool of a list.
///
/// Contract: what no rule allows is denied, and nothing outside of the principal's tenant is ever allowed.
pub trait Authorizer: Send + Sync + 'static {
    /// Whether `principal` may do `action` to `resource`.
    fn decide(&self, principal: &Principal, action: Action, resource: Resource<'_>) -> Decision;
}

/// The rule of a mesh without authentication: a principal may do everything in its own tenant, nothing elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalOnly;

impl Authorizer for LocalOnly {
    fn decide(&self, principal: &Principal, _action: Action, resource: Resource<'_>) -> Decision {
        if principal.tenant == *resource.tenant() {
            Decision::Allow { rule: Cow::Borrowed("local-only: own tenant") }
        } else {
            Decision::Deny { rule: Cow::Borrowed("local-only: other tenant") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_tenant_is_open_and_any_other_closed_whatever_the_action() {
        let (own, other) = (Tenant::from("default"), Tenant::from("other"));
        for action in [Action::ListTools, Action::CallTool, Action::ReadAgent, Action::CancelTask] {
            for (tenant, allowed) in [(&own, true), (&other, false)] {
                let tool = Resource::Tool { tenant, upstream: "crm", tool: "get" };
                let agent = Resource::Agent { tenant, agent: "sales" };
                assert_eq!(LocalOnly.decide(&Principal::local(), action, tool).allowed(), allowed);
                assert_eq!(LocalOnly.decide(&Principal::local(), action, agent).allowed(), allowed);
            }
        }
    }
}
