//! The way of a request to an agent.

use super::forward::{Answer, Outgoing, forward};
use super::observed::ObservedRequest;
use super::operation::Operation;
use super::refusal::{Binding, Refusal};
use super::{extended, grpc, headers, peek};
use crate::directory::{self, Agent, Door};
use crate::gateway::Gateway;
use crate::identity;
use crate::observe::CallTrace;
use crate::plan::Plan;
use crate::server::{check_origin, read_body};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, request::Parts};
use mesh_policy::{Action, Resource};
use std::sync::Arc;

/// Names an agent for clients of gRPC that know no tenants, those of 0.3.
const ROUTE: &str = "agentmesh-route";

/// Where a request was sent.
#[derive(Debug)]
pub(super) struct Route {
    /// The agent in the path; `None` where the request names it.
    pub(super) name: Option<String>,
    /// What follows the agent's address.
    pub(super) rest: String,
}

/// What is known of a request before anybody is asked.
struct Asked {
    binding: Binding,
    operation: Operation,
    name: String,
    /// Whether the request's tenant is the agent's name, and not what the agent knows as tenant.
    by_tenant: bool,
    body: Bytes,
    /// The id of a JSON-RPC request, as it was written.
    id: Option<String>,
}

/// Passes a request on, and its answer back.
///
/// Nothing goes to an agent before the caller is known and allowed, and whatever happens, also when the client leaves,
/// exactly one audit record is written. The request is read whole, because the door has to know what it asks for, up to
/// `limits.body`; the answer is never held.
pub(super) async fn relay(gateway: Arc<Gateway>, route: Route, request: Request) -> Response {
    let plan = gateway.plan();
    let (parts, body) = request.into_parts();
    let binding = binding(&route, &parts);
    let asked = match read(&plan, binding, route, &parts, body).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal.response(binding, None),
    };
    let trace = CallTrace::new(parts.headers.get("traceparent").and_then(|value| value.to_str().ok()));
    let id = asked.id.clone();
    let mut observed = match ObservedRequest::open(&gateway, trace, asked.operation, &asked.name) {
        Ok(observed) => observed,
        Err(rejection) => return Refusal::Edge(rejection).response(binding, id.as_deref()),
    };
    match pass(&gateway, &plan, asked, &parts, &trace, &mut observed).await {
        Ok(passed) => passed.into_response(observed),
        Err(refusal) => {
            observed.close(refusal.outcome(), Some(refusal.kind()));
            refusal.response(binding, id.as_deref())
        }
    }
}

fn binding(route: &Route, parts: &Parts) -> Binding {
    let kind = parts.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    if kind.starts_with(b"application/grpc") || route.name.is_none() {
        Binding::Grpc
    } else if matches!(&*route.rest, "" | "/") {
        Binding::JsonRpc
    } else {
        Binding::Rest
    }
}

/// Checks where a request comes from, reads it, and finds out what it asks for.
async fn read(
    plan: &Plan,
    binding: Binding,
    route: Route,
    parts: &Parts,
    body: Body,
) -> Result<Asked, Refusal> {
    let settings = &plan.settings;
    check_origin(settings, &parts.uri, &parts.headers).map_err(Refusal::Edge)?;
    if binding != Binding::Rest && parts.method != Method::POST {
        return Err(Refusal::Malformed("only POST is taken here".to_owned()));
    }
    check_path(&route.rest)?;
    let body = read_body(body, settings.limits.body).await.map_err(Refusal::Edge)?;
    let method = route.rest.rsplit('/').next().unwrap_or_default();
    let (mut id, mut by_tenant, mut name) = (None, false, route.name);
    let operation = match binding {
        Binding::Rest => Operation::of_path(&parts.method, &unescaped(&route.rest)),
        Binding::Grpc => Operation::of_method(method),
        Binding::JsonRpc => {
            if parts.headers.contains_key(CONTENT_ENCODING) {
                return Err(Refusal::Malformed("a compressed request is not read here".to_owned()));
            }
            let peeked = peek::request(&body).map_err(|wrong| match wrong {
                peek::NotARequest::Json(why) => Refusal::Json(why),
                peek::NotARequest::Request(why) => Refusal::Malformed(why),
            })?;
            id = peeked.id.map(str::to_owned);
            Operation::of_method(peeked.method.as_deref().unwrap_or_default())
        }
    };
    let mut body = body;
    if name.is_none() {
        let named = parts.headers.get(ROUTE).and_then(|name| name.to_str().ok()).map(str::to_owned);
        by_tenant = named.is_none();
        name = named;
    }
    if by_tenant {
        let gzip = parts.headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
        body = grpc::message(&body, gzip, settings.limits.body)
            .map_err(|error| Refusal::Malformed(error.to_string()))?;
        let tenant = grpc::tenant(&body, operation == Operation::ListPush);
        name = Some(tenant.map_err(|error| Refusal::Malformed(error.to_string()))?);
    }
    Ok(Asked { binding, operation, name: name.unwrap_or_default(), by_tenant, body, id })
}

/// Paths that two readers could take for different ones do not pass.
fn check_path(path: &str) -> Result<(), Refusal> {
    let plain = unescaped(path);
    let odd = plain.split('/').any(|segment| matches!(segment, "." | ".."));
    // An encoded slash would be one for some.
    if odd || plain.contains('\\') || plain.matches('/').count() != path.matches('/').count() {
        return Err(Refusal::Malformed(
            "a path without dots and slashes that are not what they seem".to_owned(),
        ));
    }
    Ok(())
}

fn unescaped(path: &str) -> String {
    let mut plain = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                bytes = ahead;
            }
            _ => plain.push(byte),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// An answer, with what it takes to give it back.
struct Passed {
    answer: Answer,
    binding: Binding,
    operation: Operation,
    /// Of a card: the answer as it is given back.
    changed: Option<Bytes>,
}

impl Passed {
    fn into_response(self, observed: ObservedRequest) -> Response {
        let Self { answer, binding, operation, changed } = self;
        match changed {
            Some(body) => answer.with(body, binding, observed),
            None => answer.relayed(binding, operation, observed),
        }
    }
}

async fn pass(
    gateway: &Arc<Gateway>,
    plan: &Plan,
    asked: Asked,
    parts: &Parts,
    trace: &CallTrace,
    observed: &mut ObservedRequest,
) -> Result<Passed, Refusal> {
    observed.admitted(gateway.admit().map_err(Refusal::Edge)?);
    let caller = identity::authenticate(&plan.settings, &parts.headers).map_err(Refusal::Edge)?;
    observed.caller(&caller);

    let directory = &gateway.directory;
    let unknown = || Refusal::UnknownAgent(asked.name.chars().take(80).collect());
    let agent = directory.agent(&asked.name, gateway.wiring.clock.now()).ok_or_else(unknown)?;
    observed.agent(&agent.name);

    let may = |action| {
        let resource = Resource::Agent { tenant: &directory.tenant, agent: &agent.name };
        gateway.wiring.authorizer.decide(&caller.principal, action, resource)
    };
    let decision = may(asked.operation.action());
    observed.decided(&decision);
    if !decision.allowed() {
        // Who may not see an agent is not told that there is one.
        return Err(if may(Action::ReadAgent).allowed() { Refusal::Denied } else { unknown() });
    }

    let base = directory::base(&plan.settings, &parts.uri, &parts.headers);
    let door = Door::new(&base, &agent.name);
    let outgoing = outgoing(&asked, &agent, parts, trace, &base);
    let answer = forward(gateway, plan, &agent, &outgoing, || observed.sent()).await?;
    drop(outgoing);
    let mut passed = Passed { answer, binding: asked.binding, operation: asked.operation, changed: None };
    if asked.operation == Operation::ExtendedCard && passed.answer.is_good() {
        let limit = plan.settings.limits.card;
        let body = passed.answer.collect(limit, &agent.name).await?;
        passed.changed = Some(extended::card(&body, asked.binding, &door).ok_or_else(|| {
            Refusal::BadAnswer { agent: agent.name.clone(), why: "its card cannot be read".to_owned() }
        })?);
    }
    Ok(passed)
}

fn outgoing(asked: &Asked, agent: &Arc<Agent>, parts: &Parts, trace: &CallTrace, base: &str) -> Outgoing {
    let path = parts.uri.path();
    // What of the path is ours; nothing of it where the request names the agent.
    let prefix = format!("/agents/{}", agent.name);
    let rest = path.strip_prefix(prefix.as_str()).unwrap_or(path);
    let prefix = if rest.len() == path.len() { "" } else { prefix.as_str() };
    let came = headers::Came { base, prefix };
    let grpc = asked.binding == Binding::Grpc;
    let mut headers = headers::to_agent(&parts.headers, &came, &trace.client, grpc);
    if asked.operation == Operation::ExtendedCard {
        // It has to be read here.
        headers.remove("accept-encoding");
        headers.remove("grpc-accept-encoding");
    }
    Outgoing {
        binding: asked.binding,
        operation: asked.operation,
        method: parts.method.clone(),
        rest: if asked.binding == Binding::JsonRpc { String::new() } else { rest.to_owned() },
        query: parts.uri.query().map(str::to_owned),
        headers,
        body: asked.body.clone(),
        by_tenant: asked.by_tenant,
        version: version(&parts.headers, parts.uri.query()),
    }
}

/// Which version of A2A the request is in; the query may say it too (section 3.6.2).
fn version(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let header = headers.get("a2a-version").and_then(|version| version.to_str().ok()).map(str::to_owned);
    header.or_else(|| {
        let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        pairs
            .find(|(name, _)| name.eq_ignore_ascii_case("a2a-version"))
            .map(|(_, version)| version.into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_not_what_they_seem_do_not_pass() {
        for path in ["/tasks/t:cancel", "/tasks/%C3%BC", "", "/a.b/..c", "/100%"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
        for path in ["/..", "/x/../y", "/%2e%2e/x", "/x/%2E", "/a%2fb", "/a\\b", "/a%5cb"] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn the_version_is_in_a_header_or_in_the_query() {
        let mut headers = HeaderMap::new();
        assert_eq!(version(&headers, Some("A2A-Version=1.0")).as_deref(), Some("1.0"));
        assert_eq!(version(&headers, None), None);
        headers.insert("a2a-version", "0.3".parse().unwrap());
        assert_eq!(version(&headers, Some("A2A-Version=1.0")).as_deref(), Some("0.3"));
    }
}
