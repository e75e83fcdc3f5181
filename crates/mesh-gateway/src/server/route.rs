//! Where a call goes: to which upstream, and by which name.

use super::Asked;
use super::subject::Subject;
use crate::identity::Caller;
use crate::names;
use crate::plan::Scope;
use crate::rejection::Rejection;
use crate::toolset::Toolset;
use crate::upstream::param_headers::ParamHeader;
use crate::upstream::{CallError, Kind, RegisteredUpstream, Snapshot, Tool, UpstreamError};
use mesh_config::Choice;
use std::borrow::Cow;
use std::sync::Arc;

/// Where a call goes.
pub(crate) struct Route<'a> {
    pub(crate) upstream: &'a Arc<RegisteredUpstream>,
    /// The name at the upstream of the tool, the prompt, or the resource.
    pub(crate) tool: Arc<str>,
    /// Its definition, if the upstream lists it.
    pub(crate) known: Option<Arc<Tool>>,
    /// What a toolset says about it.
    pub(crate) choice: Option<&'a Choice>,
}

impl Route<'_> {
    /// The headers that a client can know of: not those of arguments that its toolset does not show.
    pub(super) fn shown_param_headers(&self) -> Cow<'_, [ParamHeader]> {
        let Some(choice) = self.choice else { return self.param_headers().into() };
        let shown = |header: &&ParamHeader| {
            choice.arguments.get(header.argument()).is_none_or(|argument| argument.shown)
        };
        self.param_headers().iter().filter(shown).cloned().collect()
    }

    pub(super) fn param_headers(&self) -> &[ParamHeader] {
        self.known.as_ref().map_or(&[], |tool| &tool.param_headers)
    }

    pub(super) fn no_answer(&self, error: CallError) -> Rejection {
        match error {
            CallError::Busy => Rejection::Busy { upstream: self.upstream.id.to_string() },
            CallError::Upstream(error) => self.failed(error),
        }
    }

    pub(super) fn failed(&self, error: UpstreamError) -> Rejection {
        Rejection::Upstream { upstream: self.upstream.id.to_string(), error }
    }
}

/// Finds the upstream and its own name for what is asked for. What is another tenant's looks like what does not exist.
pub(super) async fn find<'a>(
    asked: &Asked<'a>,
    caller: &Caller,
    subject: &Subject,
) -> Result<Route<'a>, Rejection> {
    let tenant = &caller.principal.tenant;
    let name = subject.name.as_str();
    match (asked.plan.scope(tenant, asked.edge.scope())?, subject.kind) {
        (Scope::Upstream(upstream), Kind::Tools) if !upstream.selection.admits(name) => {
            Err(subject.unknown())
        }
        (Scope::Upstream(upstream), kind) => {
            // Names are untouched here, and the upstream itself says which it knows.
            let known = upstream.known(kind).tools.and_then(|tools| tools.by_name(name).cloned());
            Ok(Route { upstream, tool: name.into(), known, choice: None })
        }
        (Scope::All, Kind::Resources | Kind::Templates) => resource(asked, caller, subject),
        (Scope::All, _) => by_federated_name(asked, caller, subject, None).await,
        (Scope::Toolset(toolset), Kind::Tools) => {
            by_federated_name(asked, caller, subject, Some(toolset)).await
        }
        (Scope::Toolset(_), _) => Err(subject.unknown()),
    }
}

async fn by_federated_name<'a>(
    asked: &Asked<'a>,
    caller: &Caller,
    subject: &Subject,
    toolset: Option<&'a Arc<Toolset>>,
) -> Result<Route<'a>, Rejection> {
    let name = subject.name.as_str();
    let unknown = || subject.unknown();
    let choice = toolset.and_then(|toolset| toolset.named(name));
    let id = choice
        .map(|choice| choice.tool.upstream.as_str())
        .or_else(|| names::upstream_of(name))
        .ok_or_else(unknown)?;
    let upstream = asked.plan.upstream(&caller.principal.tenant, id).ok_or_else(unknown)?;
    let find = |snapshot: &Snapshot| {
        let tools = snapshot.tools.as_ref()?;
        let tool = match choice {
            Some(choice) => tools.by_name(choice.tool.tool.as_str()),
            None => tools
                .by_federated(name)
                .filter(|tool| toolset.is_none_or(|toolset| toolset.covers(id, &tool.name))),
        };
        tool.cloned()
    };
    let mut snapshot = upstream.known(subject.kind);
    if find(&snapshot).is_none() {
        snapshot = upstream.list(subject.kind).await;
    }
    match (find(&snapshot), snapshot.failure()) {
        (Some(tool), _) => Ok(Route { upstream, tool: tool.name.as_str().into(), known: Some(tool), choice }),
        (None, Some(error)) => Err(Rejection::Upstream { upstream: id.to_owned(), error: error.clone() }),
        (None, None) => Err(unknown()),
    }
}

/// A URI with an upstream's id in front says where it is. One without, as tools write it into their results, is looked for in
/// the lists; if it is in none, it can only be of the one upstream that has resources at all.
fn resource<'a>(asked: &Asked<'a>, caller: &Caller, subject: &Subject) -> Result<Route<'a>, Rejection> {
    let tenant = &caller.principal.tenant;
    let of_tenant = || asked.plan.upstreams.values().filter(|upstream| upstream.tenant == *tenant);
    let found = |upstream: &'a Arc<RegisteredUpstream>, uri: &str| {
        let known = upstream.known(subject.kind).tools.and_then(|list| list.by_name(uri).cloned());
        Route { upstream, tool: uri.into(), known, choice: None }
    };
    if let Some((id, own)) = names::upstream_of_uri(&subject.name)
        && let Some(upstream) = asked.plan.upstream(tenant, id)
    {
        return Ok(found(upstream, own));
    }
    let lists = |upstream: &&Arc<RegisteredUpstream>| {
        upstream.known(subject.kind).tools.is_some_and(|list| list.by_name(&subject.name).is_some())
    };
    let has_some = |upstream: &&Arc<RegisteredUpstream>| {
        [Kind::Resources, Kind::Templates]
            .into_iter()
            .any(|kind| upstream.known(kind).tools.is_some_and(|list| list.iter().next().is_some()))
    };
    if let Some(upstream) = of_tenant().find(lists) {
        return Ok(found(upstream, &subject.name));
    }
    let mut with_some = of_tenant().filter(has_some);
    match (with_some.next(), with_some.next()) {
        (Some(only), None) => Ok(found(only, &subject.name)),
        _ => Err(subject.unknown()),
    }
}
