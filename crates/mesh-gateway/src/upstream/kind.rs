//! The four kinds of things that a server lists.

use crate::names;
use mesh_core::Tenant;
use mesh_policy::{Action, Resource};

/// What a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The kind that a method lists.
    pub(crate) fn listed_by(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.method() == method)
    }

    /// The method that lists it.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that has the list.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The member of a definition that names it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// The capability of a server that has such.
    pub(crate) fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }

    /// How it is called where several upstreams appear as one.
    pub(crate) fn federated(self, upstream: &str, name: &str) -> String {
        match self {
            Self::Tools | Self::Prompts => names::federated(upstream, name),
            Self::Resources | Self::Templates => names::federated_uri(upstream, name),
        }
    }

    /// What somebody must be allowed to do to see it.
    pub(crate) fn seen<'a>(
        self,
        tenant: &'a Tenant,
        upstream: &'a str,
        name: &'a str,
    ) -> (Action, Resource<'a>) {
        match self {
            Self::Tools => (Action::ListTools, Resource::Tool { tenant, upstream, tool: name }),
            Self::Prompts => (Action::ListPrompts, Resource::Prompt { tenant, upstream, prompt: name }),
            Self::Resources | Self::Templates => {
                (Action::ListResources, Resource::Resource { tenant, upstream, uri: name })
            }
        }
    }
}
