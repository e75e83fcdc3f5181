//! What clients with a handshake say besides their calls: notifications, answers to questions, levels, what they follow.

use super::client::{Client, Opened};
use super::describe::log_level;
use super::edge::Edge;
use super::reply::Replied;
use super::{Asked, Outcome};
use crate::gateway::Gateway;
use crate::identity::Caller;
use crate::plan::{Plan, Scope};
use crate::rejection::Rejection;
use crate::upstream::{Answer, Kind, Outgoing, RegisteredUpstream};
use crate::wire::envelope::RequestId;
use crate::wire::object::{RawObject, as_str};
use bytes::Bytes;
use futures_util::future::join_all;
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
    let tell = async |upstream: &Arc<RegisteredUpstream>| {
        let told = upstream.target().notify(opened.conversation(), method, None).await;
        if let Err(error) = told {
            tracing::debug!(upstream = &*upstream.id, %error, method, "not passed on");
        }
    };
    join_all(in_scope(plan, edge, opened).into_iter().map(tell)).await;
}

/// The upstreams that the path of a session shows.
fn in_scope<'a>(plan: &'a Plan, edge: &Edge, opened: &Opened) -> Vec<&'a Arc<RegisteredUpstream>> {
    let tenant = &opened.principal.tenant;
    plan.scope(tenant, edge.scope()).map(|scope| plan.within(scope, tenant)).unwrap_or_default()
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
    let tell = async |upstream: &Arc<RegisteredUpstream>| {
        if let Err(error) = tell_level(upstream, opened, &level).await {
            tracing::debug!(upstream = &*upstream.id, %error, "the log level was not passed on");
        }
    };
    let upstreams = asked.plan.within(scope, &caller.principal.tenant);
    // One that is slow must hold up neither the others nor the client for long.
    let told = join_all(upstreams.into_iter().map(tell));
    let _ = tokio::time::timeout(asked.plan.settings.list_timeout, told).await;
    Ok(Outcome::empty())
}

async fn tell_level(
    upstream: &RegisteredUpstream,
    opened: &Opened,
    level: &str,
) -> Result<(), crate::upstream::UpstreamError> {
    // A modern server is told with each request.
    if upstream.target().open(opened.conversation()).await?.revision.is_modern() {
        return Ok(());
    }
    let mut params = RawObject::default();
    params.set("level", level);
    let conversation = Arc::clone(opened.conversation());
    let outgoing = Outgoing { conversation, ..Outgoing::own("logging/setLevel", params) };
    upstream.target().request(outgoing).await.map(drop)
}

/// Whether a session may follow one more resource, or any.
pub(super) fn may_follow(client: &Client) -> Result<(), Rejection> {
    let Some(opened) = client.session() else {
        return Err(Rejection::InvalidRequest("resources can be followed in a session only".to_owned()));
    };
    if opened.remembered.followed.borrow().len() >= FOLLOWED {
        return Err(Rejection::InvalidRequest(format!("a session can follow {FOLLOWED} resources")));
    }
    Ok(())
}

/// Notes what a session follows, by the name that the client uses.
pub(super) fn follows(client: &Client, uri: &str, on: bool) {
    if let Some(opened) = client.session() {
        opened.remembered.followed.send_if_modified(|followed| {
            if on { followed.insert(uri.to_owned()) } else { followed.remove(uri) }
        });
    }
}

/// The session that a request to end one names.
pub(super) async fn end(gateway: &Arc<Gateway>, plan: &Plan, edge: &Edge) -> Result<(), Rejection> {
    let Client::Legacy(Some(opened)) = Client::legacy(gateway, plan, edge)? else {
        return Err(Rejection::UnknownSession);
    };
    opened.remembered.ended.cancel();
    let close =
        async |upstream: &Arc<RegisteredUpstream>| upstream.target().close(opened.conversation()).await;
    join_all(in_scope(plan, edge, &opened).into_iter().map(close)).await;
    Ok(())
}

/// Names of a kind as a client of a scope knows them, for what an upstream announces.
pub(super) fn shown_uri(scope: Scope<'_>, upstream: &str, uri: &str) -> String {
    match scope {
        Scope::Upstream(_) => uri.to_owned(),
        Scope::All | Scope::Toolset(_) => Kind::Resources.federated(upstream, uri),
    }
}
