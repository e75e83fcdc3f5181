//! One request on its way to a target of its agent, and the answer.

use super::body::{Limit, Relayed, Verdict, grpc_outcome};
use super::clients::OnLane;
use super::observed::ObservedRequest;
use super::operation::Operation;
use super::refusal::{Binding, Refusal};
use super::{grpc, headers};
use crate::balance::{self, Mask, Picked};
use crate::directory::{self, Agent, Destination, innermost};
use crate::gateway::Gateway;
use crate::plan::Plan;
use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use mesh_policy::Outcome;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

/// Targets that are tried if none of them can be connected to. A single one is tried again: it may just be starting.
const TRIES: u32 = 3;
/// How often what only reads is sent.
const SENDS: u32 = 2;

/// What is sent.
pub(super) struct Outgoing {
    pub(super) binding: Binding,
    pub(super) operation: Operation,
    pub(super) method: Method,
    /// What follows the agent's address.
    pub(super) rest: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    /// Of gRPC that names the agent by its tenant: only the message.
    pub(super) body: Bytes,
    pub(super) by_tenant: bool,
    pub(super) version: Option<String>,
}

/// What an open request holds: its place, its share of a replica's load, its lane.
pub(super) type Held = (OwnedSemaphorePermit, Picked<()>, Option<OnLane>);

/// The head of an answer, and its body to come.
pub(super) struct Answer {
    response: http::Response<reqwest::Body>,
    deadline: Instant,
    idle: Duration,
    held: Held,
}

/// How long an agent may take to begin its answer.
fn patience(plan: &Plan, operation: Operation) -> Duration {
    let directory = &plan.settings.directory;
    if operation.streams() {
        directory.stream_idle
    } else if operation.works() {
        directory.send_timeout
    } else {
        directory.timeout
    }
}

/// Sends a request to a target of its agent. It goes to another one if nothing was sent, or if it only reads.
pub(super) async fn forward(
    gateway: &Gateway,
    plan: &Plan,
    agent: &Arc<Agent>,
    outgoing: &Outgoing,
    mut sent: impl FnMut(),
) -> Result<Answer, Refusal> {
    let busy = || Refusal::Busy(agent.name.clone());
    let place = Arc::clone(&agent.places).try_acquire_owned().map_err(|_| busy())?;
    let after = patience(plan, outgoing.operation);
    let deadline = Instant::now() + after;
    let (mut tried, mut sends) = (Mask::default(), 0);
    let mut failure = "it does not answer, and is tried again in a moment".to_owned();
    for _ in 0..TRIES {
        let Some(target) = agent.targets.pick(tried) else { break };
        tried = tried.with(target.index());
        let destination = destination(gateway, agent, outgoing, target.index()).await?;
        let lane = match outgoing.binding {
            Binding::Grpc => Some(agent.lanes.enter().ok_or_else(busy)?),
            _ => None,
        };
        let request = request(agent, outgoing, &destination)?;
        let clients = &gateway.directory.clients;
        let client = match &lane {
            Some(lane) => clients.grpc(destination.trust, lane.lane),
            None => clients.plain(destination.trust),
        };
        let client = client.map_err(|why| Refusal::Unavailable { agent: agent.name.clone(), why })?;
        sent();
        sends += 1;
        let answered = timeout_at(deadline, client.execute(request)).await;
        let again = outgoing.operation.only_reads() && sends < SENDS;
        match answered {
            Err(_) => {
                target.judge_untimed(balance::Verdict::Bad);
                return Err(Refusal::Timeout { agent: agent.name.clone(), after });
            }
            Ok(Ok(response)) if is_gateway_error(response.status()) && again => {
                target.judge_untimed(balance::Verdict::Bad);
                failure = format!("HTTP {}", response.status());
            }
            Ok(Ok(response)) => {
                if is_gateway_error(response.status()) {
                    target.judge_untimed(balance::Verdict::Bad);
                } else {
                    target.judge_untimed(balance::Verdict::Good);
                    agent.seen(gateway.wiring.clock.now());
                }
                let idle = plan.settings.directory.stream_idle;
                return Ok(Answer { response: response.into(), deadline, idle, held: (place, target, lane) });
            }
            Ok(Err(error)) => {
                target.judge_untimed(balance::Verdict::Bad);
                agent.missed();
                failure = innermost(&error);
                if !error.is_connect() && !again {
                    break;
                }
            }
        }
    }
    Err(Refusal::Unavailable { agent: agent.name.clone(), why: failure })
}

/// What something in front of an agent says when it cannot reach it.
fn is_gateway_error(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

async fn destination(
    gateway: &Gateway,
    agent: &Agent,
    outgoing: &Outgoing,
    target: usize,
) -> Result<Destination, Refusal> {
    let unavailable = |why: String| Refusal::Unavailable { agent: agent.name.clone(), why };
    let card = if agent.site.needs_card() {
        let card = agent.interfaces(&gateway.directory.clients).await;
        Some(card.ok_or_else(|| unavailable("its card cannot be had".to_owned()))?)
    } else {
        None
    };
    let mut interface = None;
    if let Some(card) = &card {
        let version = outgoing.version.as_deref();
        // Clients of gRPC need not say it: the service of 1.0 has a name of its own.
        let modern = outgoing.binding == Binding::Grpc && outgoing.rest.starts_with("/lf.");
        let version = version.or_else(|| modern.then_some("1.0"));
        interface = directory::choose(&card.interfaces, outgoing.binding, version);
        if interface.is_none() {
            return Err(Refusal::NoInterface { agent: agent.name.clone(), binding: outgoing.binding });
        }
    }
    let destination = agent.site.destination(target, outgoing.binding, interface).map_err(unavailable)?;
    if destination.trust == super::Trust::Word {
        let url = url::Url::parse(&destination.url).map_err(|error| unavailable(error.to_string()))?;
        gateway.directory.clients.check(&url).map_err(|why| unavailable(format!("its address {why}")))?;
    }
    Ok(destination)
}

fn request(agent: &Agent, outgoing: &Outgoing, to: &Destination) -> Result<reqwest::Request, Refusal> {
    let query = outgoing.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    let url = format!("{}{}{query}", to.url, outgoing.rest);
    let url = url.parse().map_err(|_| Refusal::Malformed("the path cannot be passed on".to_owned()))?;
    let mut request = reqwest::Request::new(outgoing.method.clone(), url);
    let mut headers = outgoing.headers.clone();
    for (name, value) in agent.site.credentials(to) {
        headers.insert(name, value.clone());
    }
    let mut body = outgoing.body.clone();
    if outgoing.by_tenant {
        let list_push = outgoing.operation == Operation::ListPush;
        let message = grpc::with_tenant(&body, list_push, to.tenant.as_deref());
        body = grpc::body(&message.map_err(|error| Refusal::Malformed(error.to_string()))?);
    }
    *request.headers_mut() = headers;
    if !body.is_empty() || outgoing.method == Method::POST {
        *request.body_mut() = Some(body.into());
    }
    Ok(request)
}

impl Answer {
    /// Whether it is what was asked for, as far as HTTP and the head of gRPC say.
    pub(super) fn is_good(&self) -> bool {
        let refused = grpc_outcome(self.response.headers()) == Some(Outcome::AgentError);
        self.response.status() == StatusCode::OK && !refused
    }

    /// Reads the whole body, which may not be long. Trailers stay to be given back.
    pub(super) async fn collect(&mut self, limit: usize, agent: &str) -> Result<Bytes, Refusal> {
        let bad = |why: String| Refusal::BadAnswer { agent: agent.to_owned(), why };
        let mut body = BytesMut::new();
        loop {
            let frame = timeout_at(self.deadline, self.response.body_mut().frame()).await;
            let frame = frame.map_err(|_| bad("its card does not end".to_owned()))?;
            let Some(frame) = frame else { return Ok(body.freeze()) };
            let frame = frame.map_err(|error| bad(innermost(&error)))?;
            match frame.into_data() {
                Ok(piece) if body.len() + piece.len() > limit => {
                    return Err(bad(format!("its card is larger than {limit} bytes")));
                }
                Ok(piece) => body.extend_from_slice(&piece),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.response.extensions_mut().insert(trailers);
                    }
                }
            }
        }
    }

    /// The answer with another body.
    pub(super) fn with(self, body: Bytes, binding: Binding, mut observed: ObservedRequest) -> Response {
        observed.close(Outcome::Ok, None);
        let (mut parts, _) = self.response.into_parts();
        headers::to_client(&mut parts.headers);
        parts.headers.remove(CONTENT_LENGTH);
        let trailers: Option<HeaderMap> = parts.extensions.remove();
        let body = match (binding, trailers) {
            (Binding::Grpc, Some(trailers)) => {
                let trailers = async move { Some(Ok(trailers)) };
                Body::new(http_body_util::Full::new(body).with_trailers(trailers))
            }
            _ => Body::from(body),
        };
        Response::from_parts(parts, body)
    }

    /// The answer as it comes.
    pub(super) fn relayed(
        self,
        binding: Binding,
        operation: Operation,
        mut observed: ObservedRequest,
    ) -> Response {
        let (mut parts, body) = self.response.into_parts();
        headers::to_client(&mut parts.headers);
        let kind = parts.headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
        let events =
            kind.starts_with(b"text/event-stream") || binding == Binding::Grpc && operation.streams();
        let streams = events && !body.is_end_stream();
        if streams {
            observed.streams();
        }
        let plain = !parts.headers.contains_key(http::header::CONTENT_ENCODING);
        let verdict = match (binding, parts.status) {
            (Binding::Grpc, _) => grpc_outcome(&parts.headers).map_or(Verdict::Trailers, Verdict::Status),
            (_, status) if status.is_client_error() || status.is_server_error() => {
                Verdict::Status(Outcome::AgentError)
            }
            (Binding::JsonRpc, _) if !streams && plain => Verdict::FirstPiece,
            _ => Verdict::Status(Outcome::Ok),
        };
        let limit = if streams { Limit::Silent(self.idle) } else { Limit::Until(self.deadline) };
        let length = headers::length(&parts.headers);
        let body = Relayed::new(body, length, limit, verdict, observed, self.held);
        Response::from_parts(parts, Body::new(body))
    }
}
