//! Lists: of tools, prompts, resources, and templates of resources.

use super::{Asked, Outcome};
use crate::identity::Caller;
use crate::plan::Scope;
use crate::rejection::Rejection;
use crate::toolset::Source;
use crate::upstream::{Kind, RegisteredUpstream, Snapshot};
use crate::wire::IMPLEMENTATION;
use crate::wire::meta::SERVER_INFO;
use crate::wire::object::RawObject;
use bytes::Bytes;
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// Answers a list: everything on one page, upstream after upstream, each in its own order.
///
/// An upstream that does not answer in time neither delays nor empties the list: its last known tools are in it, and
/// `_meta` names it under `agentmesh/unavailable`.
pub(super) async fn list(
    asked: &Asked<'_>,
    caller: &Caller,
    scope: Scope<'_>,
    kind: Kind,
    params: &RawObject<'_>,
) -> Result<Outcome, Rejection> {
    if params.get("cursor").is_some_and(|cursor| cursor != "null") {
        return Err(Rejection::InvalidParams("`params.cursor` is none that this server gave out".to_owned()));
    }
    let tenant = &caller.principal.tenant;
    let upstreams = match (scope, kind) {
        (Scope::Toolset(_), Kind::Prompts | Kind::Resources | Kind::Templates) => Vec::new(),
        _ => asked.plan.within(scope, tenant),
    };
    let one = match scope {
        Scope::Upstream(upstream) => Some(&*upstream.id),
        Scope::All | Scope::Toolset(_) => None,
    };
    let snapshots = join_all(upstreams.iter().map(|upstream| upstream.list(kind))).await;
    if let (Some(id), [snapshot]) = (one, &*snapshots)
        && let (None, Some(error)) = (&snapshot.tools, snapshot.failure())
    {
        return Err(Rejection::Upstream { upstream: id.to_owned(), error: error.clone() });
    }

    let out = format!(r#"{{"{}":["#, kind.member()).into_bytes();
    let mut list = List { kind, out, empty: true, unavailable: Vec::new(), ttl: None };
    if let (Scope::Toolset(toolset), Kind::Tools) = (scope, kind) {
        let mut sources = Vec::with_capacity(upstreams.len());
        for (upstream, snapshot) in upstreams.into_iter().zip(snapshots) {
            list.heard(upstream, &snapshot);
            sources.push(Source { upstream, tools: snapshot.tools });
        }
        for shown in &*toolset.shown(&sources) {
            list.tool(asked, caller, sources[shown.source].upstream, &shown.tool, &shown.definition);
        }
        return Ok(list.finish(asked.client.is_modern()));
    }
    for (upstream, snapshot) in upstreams.into_iter().zip(snapshots) {
        list.add(asked, caller, upstream, &snapshot, one.is_none());
    }
    Ok(list.finish(asked.client.is_modern()))
}

struct List<'a> {
    kind: Kind,
    out: Vec<u8>,
    empty: bool,
    unavailable: Vec<&'a str>,
    ttl: Option<Duration>,
}

impl<'a> List<'a> {
    fn add(
        &mut self,
        asked: &Asked<'_>,
        caller: &Caller,
        upstream: &'a Arc<RegisteredUpstream>,
        snapshot: &Snapshot,
        federated: bool,
    ) {
        self.heard(upstream, snapshot);
        for tool in snapshot.tools.iter().flat_map(|tools| tools.iter()) {
            if self.kind != Kind::Tools || !upstream.selection.hides(&tool.name) {
                let definition = if federated { &tool.federated_definition } else { &tool.definition };
                self.tool(asked, caller, upstream, &tool.name, definition);
            }
        }
    }

    /// How current the part of an upstream is.
    fn heard(&mut self, upstream: &'a Arc<RegisteredUpstream>, snapshot: &Snapshot) {
        let failed = snapshot.failure().is_some();
        if failed {
            self.unavailable.push(&upstream.id);
        }
        let ttl = if failed { Duration::ZERO } else { snapshot.ttl };
        self.ttl = Some(self.ttl.map_or(ttl, |least| least.min(ttl)));
    }

    /// Adds a tool if the caller may see it.
    fn tool(
        &mut self,
        asked: &Asked<'_>,
        caller: &Caller,
        upstream: &RegisteredUpstream,
        tool: &str,
        definition: &str,
    ) {
        let (action, resource) = self.kind.seen(&upstream.tenant, &upstream.id, tool);
        let authorizer = &asked.gateway.wiring.authorizer;
        if !authorizer.decide(&caller.principal, action, resource).allowed() {
            return;
        }
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(definition.as_bytes());
    }

    fn finish(mut self, modern: bool) -> Outcome {
        self.out.push(b']');
        let unavailable = (!self.unavailable.is_empty())
            .then(|| format!(r#""agentmesh/unavailable":{}"#, serde_json::json!(self.unavailable)));
        let rest = if modern {
            let more = unavailable.map(|unavailable| format!(",{unavailable}")).unwrap_or_default();
            let ttl = self.ttl.unwrap_or_default().as_millis();
            format!(
                concat!(
                    r#","resultType":"complete","ttlMs":{},"cacheScope":"private","#,
                    r#""_meta":{{"{}":{}{}}}}}"#
                ),
                ttl, SERVER_INFO, IMPLEMENTATION, more
            )
        } else {
            unavailable
                .map_or_else(|| "}".to_owned(), |unavailable| format!(r#","_meta":{{{unavailable}}}}}"#))
        };
        self.out.extend_from_slice(rest.as_bytes());
        Outcome::Result(Bytes::from(self.out).into())
    }
}
