//! The way of a request: edge, envelope, revision, client, method, reply.

mod asking;
mod call;
mod classify;
mod client;
mod describe;
mod edge;
mod input;
mod lists;
mod notified;
mod parked;
mod patience;
mod reply;
mod revision;
mod route;
mod stdio;
mod stream;
mod subject;

pub(crate) use asking::OpenQuestions;
pub(crate) use edge::{check_origin, read_body};
pub(crate) use parked::Parked;
pub(crate) use route::Route;
pub use stdio::{StdioError, serve_stdio};

use crate::gateway::Gateway;
use crate::identity::{self, Caller};
use crate::plan::{Plan, Scope};
use crate::rejection::Rejection;
use crate::session;
use crate::upstream::{Kind, ResultText};
use crate::wire::envelope::{self, Message, RequestId};
use crate::wire::meta::RequestMeta;
use crate::wire::object::RawObject;
use asking::Question;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use client::Client;
use edge::Edge;
use futures_util::FutureExt;
use http::{Method, Request, StatusCode};
use parked::{Claim, Conversing};
use reply::Replied;
use std::sync::Arc;
use subject::Forwarded;
use tokio::sync::mpsc;

pub(crate) fn router(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/mcp", any(mcp))
        .route("/mcp/{upstream}", any(mcp))
        .merge(crate::agents::routes())
        .merge(crate::directory::routes())
        .merge(crate::find::routes())
        .with_state(Arc::clone(gateway))
}

/// Answers one HTTP request at an MCP endpoint.
async fn mcp(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response {
    match *request.method() {
        Method::POST => post(gateway, request).await,
        Method::GET => stream::get(gateway, request),
        Method::DELETE => stream::delete(gateway, request).await,
        _ => reply::method_not_allowed(),
    }
}

async fn post(gateway: Arc<Gateway>, request: Request<Body>) -> Response {
    let plan = gateway.plan();
    let edge = match Edge::admit(&plan.settings, request).await {
        Ok(edge) => edge,
        Err(rejection) => return reply::json(Replied::rejected(None, &rejection, false)),
    };
    let streams = edge.takes_events;
    let json = edge.takes_json;
    let (notify, notifications) = mpsc::channel(plan.settings.limits.notifications);
    let work = Box::pin(answer(gateway, plan, Arc::new(edge), streams.then_some(notify)));
    reply::respond(work, notifications, json).await
}

/// Decodes a message and does what it asks for. What it needs, it owns: the reply may outlive the handler.
async fn answer(
    gateway: Arc<Gateway>,
    plan: Arc<Plan>,
    edge: Arc<Edge>,
    notify: Option<mpsc::Sender<Bytes>>,
) -> Replied {
    let message = match envelope::decode(&edge.body, plan.settings.limits.depth) {
        Ok(message) => message,
        Err(bad) => return Replied::rejected(bad.id.as_ref(), &bad.rejection, false),
    };
    match message {
        Message::Request { id, method, mut params } => {
            let mut modern = false;
            let outcome = async {
                let meta = RequestMeta::take(&mut params)?;
                modern = revision::check(&edge.headers, &method, &params, &meta)?;
                let client = match modern {
                    true => Client::Modern,
                    false if method == "initialize" => Client::Legacy(None),
                    false => Client::legacy(&gateway, &plan, &edge)?,
                };
                let asked = Asked {
                    gateway: &gateway,
                    plan: &plan,
                    shared: (&plan, &edge),
                    edge: &edge,
                    client: &client,
                    notify,
                    questions: None,
                };
                asked.answer(&id, &method, params, meta).await
            }
            .await;
            finish(&id, modern, outcome)
        }
        Message::Notification { method, params } => {
            notified::notification(&gateway, &plan, &edge, &method, &params).await
        }
        Message::Response { .. } if revision::names_modern(&edge.headers) => {
            let rejection = Rejection::InvalidRequest("clients do not send responses".to_owned());
            Replied::rejected(None, &rejection, true)
        }
        Message::Response { id, result, error } => {
            notified::response(&gateway, &plan, &edge, &id, result.as_deref(), error.as_deref())
        }
    }
}

/// A request in its setting.
pub(crate) struct Asked<'a> {
    pub(crate) gateway: &'a Arc<Gateway>,
    pub(crate) plan: &'a Plan,
    pub(crate) edge: &'a Edge,
    /// The same, for work that may outlive the request.
    shared: (&'a Arc<Plan>, &'a Arc<Edge>),
    pub(crate) client: &'a Client,
    /// The stream of the reply.
    pub(crate) notify: Option<mpsc::Sender<Bytes>>,
    /// Where questions to a client without sessions go.
    questions: Option<mpsc::Sender<Question>>,
}

/// What a request is answered with: raw JSON.
#[derive(Debug)]
pub(crate) enum Outcome {
    Result(ResultText),
    /// An error object of the upstream, forwarded.
    Error(Bytes),
    /// A session begins: the result, and its id.
    Welcome {
        result: Bytes,
        session: String,
    },
}

impl Outcome {
    /// A result without anything in it.
    fn empty() -> Self {
        Self::Result(Bytes::from_static(b"{}").into())
    }
}

impl Asked<'_> {
    /// Answers, unless the client cancels.
    async fn answer(
        &self,
        id: &RequestId,
        method: &str,
        params: RawObject<'_>,
        meta: RequestMeta<'_>,
    ) -> Result<Outcome, Rejection> {
        let Some(opened) = self.client.session() else {
            return self.dispatch(id, method, params, meta).await;
        };
        let call = opened.remembered.call(id.as_json());
        let answer = self.dispatch(id, method, params, meta);
        call.cancelled.run_until_cancelled(answer).await.unwrap_or(Err(Rejection::Cancelled))
    }

    async fn dispatch(
        &self,
        id: &RequestId,
        method: &str,
        params: RawObject<'_>,
        meta: RequestMeta<'_>,
    ) -> Result<Outcome, Rejection> {
        let what = Forwarded::of(method).filter(|what| what.is_of(self.client.is_modern()));
        if let Some(what) = what {
            let can_be_asked = meta.client_capabilities.as_deref().is_some_and(session::can_be_asked);
            return if self.client.is_modern() && what.may_ask() && can_be_asked {
                Box::pin(self.converse(what, &params)).await
            } else {
                Box::pin(call::forward(self, what, params, meta)).await
            };
        }
        let caller = identity::authenticate(&self.plan.settings, &self.edge.headers)?;
        let scope = self.plan.scope(&caller.principal.tenant, self.edge.scope())?;
        if let Some(kind) = Kind::listed_by(method) {
            return lists::list(self, &caller, scope, kind, &params).await;
        }
        self.own(id, method, &params, &caller, scope).await
    }

    /// The methods that the gateway answers itself.
    async fn own(
        &self,
        id: &RequestId,
        method: &str,
        params: &RawObject<'_>,
        caller: &Caller,
        scope: Scope<'_>,
    ) -> Result<Outcome, Rejection> {
        match (method, self.client.is_modern()) {
            ("server/discover", true) => Ok(describe::discover(self, caller, scope).await),
            ("subscriptions/listen", true) => stream::listen(self, id, caller, params).await,
            ("initialize", false) => describe::initialize(self, caller, scope, params).await,
            ("ping", false) => Ok(Outcome::empty()),
            ("logging/setLevel", false) => notified::set_log_level(self, caller, scope, params).await,
            _ => Err(Rejection::MethodNotFound { method: method.chars().take(128).collect() }),
        }
    }

    /// A call of a client that can be asked, but only by an answer: it is put away while the client thinks, and goes on when the request comes
    /// again.
    async fn converse(&self, what: Forwarded, params: &RawObject<'_>) -> Result<Outcome, Rejection> {
        let caller = identity::authenticate(&self.plan.settings, &self.edge.headers)?;
        let claim = Claim {
            principal: session::digest(&caller.principal),
            request: parked::request_digest(what.method(), params),
        };
        let (seal, clock) = (&self.gateway.seal, &self.gateway.wiring.clock);
        let call = match self.gateway.parked.wake(params, claim, seal, clock.now()) {
            Some(woken) => woken?,
            None => self.conversing(what),
        };
        let park = |call, asked| self.gateway.parked.park(call, asked, claim, seal, clock.now());
        call.go_on(self.notify.clone(), park).await
    }

    /// The call as work that does not end with this request.
    fn conversing(&self, what: Forwarded) -> Conversing {
        let (asking, questions) = mpsc::channel(parked::QUESTIONS);
        let (notify, notifications) = mpsc::channel(self.plan.settings.limits.notifications);
        let gateway = Arc::clone(self.gateway);
        let (plan, edge) = (Arc::clone(self.shared.0), Arc::clone(self.shared.1));
        let work = async move {
            // Decoded once already: the request is good.
            let message =
                envelope::decode(&edge.body, plan.settings.limits.depth).map_err(|bad| bad.rejection)?;
            let Message::Request { mut params, .. } = message else {
                return Err(Rejection::InvalidRequest("not a request".to_owned()));
            };
            let meta = RequestMeta::take(&mut params)?;
            let asked = Asked {
                gateway: &gateway,
                plan: &plan,
                shared: (&plan, &edge),
                edge: &edge,
                client: &Client::Modern,
                notify: edge.takes_events.then_some(notify),
                questions: Some(asking),
            };
            call::forward(&asked, what, params, meta).await
        };
        Conversing { work: work.boxed(), questions, notifications }
    }
}

fn finish(id: &RequestId, modern: bool, outcome: Result<Outcome, Rejection>) -> Replied {
    match outcome {
        Ok(Outcome::Result(result)) => Replied::result(id, result),
        Ok(Outcome::Welcome { result, session }) => {
            Replied { session: Some(session), ..Replied::result(id, result.into()) }
        }
        Ok(Outcome::Error(error)) => {
            let status = if modern { reply::status_of(&error) } else { StatusCode::OK };
            Replied::whole(status, envelope::raw_error(Some(id), &error))
        }
        Err(rejection) => Replied::rejected(Some(id), &rejection, modern),
    }
}
