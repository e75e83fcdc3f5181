//! What clients with a handshake say besides their calls: notifications, answers to questions, levels, what they follow.

use super::client::{Client, Opened};
use super::describe::log_level;
use super::edge::Edge;
use super::reply::Replied;
use super::route;
use super::subject::Forwarded;
use super::{Asked, Outcome};
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::plan::{Plan, Scope};
use crate::rejection::Rejection;
use crate::session::Session;
use crate::upstream::{Answer, Kind, Outgoing, RegisteredUpstream};
use crate::wire::envelope::RequestId;
use crate::wire::object::{RawObject, as_str};
use crate::wire::string;
use bytes::Bytes;
use mesh_core::Tenant;
use mesh_policy::{Action, Resource};
use std::sync::Arc;

/// Resources that one session may follow.
const FOLLOWED: usize = crate::session::SUBSCRIPTIONS;

/// Takes a notification of a client.
pub(super) async fn notification(
    gateway: &Arc<Gateway>,
    plan: &Arc<Plan>,
    edge: &Edge,
    method: &str,
    params: &RawObject<'_>,
) -> Replied {
    tracing::trace!(method, "notified");
    if super::revision::names_modern(&edge.headers) {
        return Replied::accepted();
    }
    let opened = match Client::legacy(gateway, plan, edge) {
        Ok(Client::Legacy(Some(opened))) => opened,
        Ok(_) => return Replied::accepted(),
        Err(rejection) => return Replied::rejected(None, &rejection, false),
    };
    match method {
        "notifications/cancelled" => {
            if let Some(id) = params.get("requestId") {
                opened.remembered.cancel(id);
            }
        }
        "notifications/roots/list_changed" => pass_on(plan, edge, &opened, method).await,
        _ => {}
    }
    Replied::accepted()
}

/// Tells the upstreams in which the session has one of its own.
async fn pass_on(plan: &Plan, edge: &Edge, opened: &Opened, method: &str) {
    for upstream in in_scope(plan, edge) {
        let told = upstream.target().notify(opened.conversation(), method, None).await;
        if let Err(error) = told {
            tracing::debug!(upstream = &*upstream.id, %error, method, "not passed on");
        }
    }
}

/// The upstreams that a path shows. Notifications go only where the session is known, so nobody learns anything by them.
fn in_scope<'a>(plan: &'a Plan, edge: &Edge) -> Vec<&'a Arc<RegisteredUpstream>> {
    let tenant: &Tenant = &plan.settings.tenant;
    match plan.scope(tenant, edge.scope()) {
        Ok(Scope::Upstream(upstream)) => vec![upstream],
        Ok(Scope::All) => plan.upstreams(tenant).collect(),
        Ok(Scope::Toolset(_)) | Err(_) => Vec::new(),
    }
}

/// Takes an answer of a client to a question of a server.
pub(super) fn response(
    gateway: &Arc<Gateway>,
    plan: &Arc<Plan>,
    edge: &Edge,
    id: &RequestId,
    result: Option<&str>,
    error: Option<&str>,
) -> Replied {
    let opened = match Client::legacy(gateway, plan, edge) {
        Ok(Client::Legacy(Some(opened))) => opened,
        // Without a session nothing was asked: it is late or lost, and accepted as the protocol wants.
        Ok(_) => return Replied::accepted(),
        Err(rejection) => return Replied::rejected(None, &rejection, false),
    };
    let answer = match (result, error) {
        (Some(result), None) => Answer::Result(Bytes::copy_from_slice(result.as_bytes()).into()),
        (_, error) => Answer::Error(Bytes::copy_from_slice(error.unwrap_or("{}").as_bytes())),
    };
    let asked =
        as_str(id.as_json()).is_some_and(|id| gateway.questions.answer(opened.session.nonce, &id, answer));
    if !asked {
        tracing::debug!("an answer that nobody waits for");
    }
    Replied::accepted()
}

/// `logging/setLevel`: remembered for upstreams that want it with each request, passed on to those that have it in their session.
pub(super) async fn set_log_level(
    asked: &Asked<'_>,
    caller: &Caller,
    scope: Scope<'_>,
    params: &RawObject<'_>,
) -> Result<Outcome, Rejection> {
    let wrong = || {
        Rejection::InvalidParams("`params.level` must be a log level of RFC 5424, in lower case".to_owned())
    };
    let level = params.get("level").and_then(as_str).and_then(|level| log_level(&level)).ok_or_else(wrong)?;
    let Some(opened) = asked.client.session() else { return Ok(Outcome::empty()) };
    opened.remembered.set_log_level(&level);
    for upstream in upstreams(asked, caller, scope) {
        let mut own = RawObject::default();
        own.set("level", level.as_str());
        let ask = ask_session(upstream, opened, "logging/setLevel", own);
        if let Err(error) = ask.await {
            tracing::debug!(upstream = &*upstream.id, %error, "the log level was not passed on");
        }
    }
    Ok(Outcome::empty())
}

/// `resources/subscribe` and `resources/unsubscribe`.
pub(super) async fn follow(
    asked: &Asked<'_>,
    caller: &Caller,
    scope: Scope<'_>,
    params: &RawObject<'_>,
    on: bool,
) -> Result<Outcome, Rejection> {
    let subject = Forwarded::ReadResource.subject(params)?;
    let route = route::find(asked, caller, &subject).await?;
    let upstream = route.upstream;
    let resource = Resource::Resource { tenant: &upstream.tenant, upstream: &upstream.id, uri: &route.tool };
    if !asked.gateway.wiring.authorizer.decide(&caller.principal, Action::ReadResource, resource).allowed() {
        return Err(Rejection::Denied);
    }
    let Some(opened) = asked.client.session() else {
        return Err(Rejection::InvalidRequest("resources can be followed in a session only".to_owned()));
    };
    let full = opened.remembered.followed.borrow().len() >= FOLLOWED;
    if on && full {
        return Err(Rejection::InvalidRequest(format!("a session can follow {FOLLOWED} resources")));
    }
    // A modern upstream is told on the stream that listens to it.
    let modern = is_modern(upstream, opened).await;
    if !modern {
        let mut own = RawObject::default();
        own.set("uri", string(&route.tool));
        let method = if on { "resources/subscribe" } else { "resources/unsubscribe" };
        let answer = ask_session(upstream, opened, method, own).await;
        match answer.map_err(|error| route.failed(error))? {
            Answer::Error(error) => return Ok(Outcome::Error(error)),
            Answer::Result(_) => {}
        }
    }
    let _ = scope;
    let name = subject.name;
    opened
        .remembered
        .followed
        .send_if_modified(|followed| if on { followed.insert(name) } else { followed.remove(&name) });
    Ok(Outcome::empty())
}

async fn is_modern(upstream: &RegisteredUpstream, opened: &Opened) -> bool {
    upstream.target().open(opened.conversation()).await.is_ok_and(|opened| opened.revision.is_modern())
}

async fn ask_session(
    upstream: &RegisteredUpstream,
    opened: &Opened,
    method: &str,
    params: RawObject<'_>,
) -> Result<Answer, crate::upstream::UpstreamError> {
    if method == "logging/setLevel" && is_modern(upstream, opened).await {
        return Ok(Answer::Result(Bytes::from_static(b"{}").into()));
    }
    let conversation = Arc::clone(opened.conversation());
    let outgoing = Outgoing { conversation, ..Outgoing::own(method, params) };
    let late = |_| crate::upstream::UpstreamError::unavailable("it took too long");
    let answered =
        tokio::time::timeout(upstream.timeout, upstream.target().request(outgoing)).await.map_err(late)?;
    answered.map(|answered| answered.answer)
}

fn upstreams<'a>(asked: &Asked<'a>, caller: &Caller, scope: Scope<'a>) -> Vec<&'a Arc<RegisteredUpstream>> {
    match scope {
        Scope::Upstream(upstream) => vec![upstream],
        Scope::All => asked.plan.upstreams.values().filter(|u| u.tenant == caller.principal.tenant).collect(),
        Scope::Toolset(_) => Vec::new(),
    }
}

/// The session that a request to end one names.
pub(super) async fn end(gateway: &Arc<Gateway>, plan: &Plan, edge: &Edge) -> Result<(), Rejection> {
    let Client::Legacy(Some(opened)) = Client::legacy(gateway, plan, edge)? else {
        return Err(Rejection::UnknownSession);
    };
    opened.remembered.ended.cancel();
    for upstream in in_scope(plan, edge) {
        upstream.target().close(opened.conversation()).await;
    }
    let _: &Session = &opened.session;
    Ok(())
}

/// Names of a kind as a client of a scope knows them, for what an upstream announces.
pub(super) fn shown_uri(scope: Scope<'_>, upstream: &str, uri: &str) -> String {
    match scope {
        Scope::Upstream(_) => uri.to_owned(),
        Scope::All | Scope::Toolset(_) => Kind::Resources.federated(upstream, uri),
    }
}
