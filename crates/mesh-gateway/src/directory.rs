//! The mesh's agents: who is there, and their cards.

mod cards;
mod documents;

use self::cards::{Card, CardCache};
use crate::gateway::{Gateway, SetupError};
use crate::identity;
use crate::plan::Plan;
use crate::rejection::Rejection;
use crate::server::check_origin;
use crate::settings::Settings;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use mesh_core::Tenant;
use mesh_policy::{Action, Resource};
use std::sync::Arc;
use std::time::Duration;

/// How long a list waits for the cards of agents that are not known yet.
const LIST_WAIT: Duration = Duration::from_secs(2);
/// How long the host of an agent may take to give its card.
const CARD_WAIT: Duration = Duration::from_secs(5);

/// An agent of the mesh.
struct Agent {
    name: String,
    url: String,
    description: Option<String>,
    card: CardCache,
}

/// All of them, each belonging to the one tenant there is.
pub(crate) struct Directory {
    tenant: Tenant,
    agents: Vec<Agent>,
    client: reqwest::Client,
}

impl Directory {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SetupError> {
        let client = reqwest::Client::builder()
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.connect_timeout)
            .timeout(CARD_WAIT)
            .build()
            .map_err(|error| SetupError { id: "agents".to_owned(), why: error.to_string() })?;
        let agent = |site: &crate::settings::AgentSite| Agent {
            name: site.name.clone(),
            url: site.url.trim_end_matches('/').to_owned(),
            description: site.description.clone(),
            card: CardCache::new(settings.card_ttl, settings.limits.card),
        };
        let mut agents: Vec<_> = settings.agents.iter().map(agent).collect();
        agents.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { tenant: settings.tenant.clone(), agents, client })
    }
}

pub(crate) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/agents", get(list))
        .route("/agents/{name}/.well-known/agent-card.json", get(card))
        .route("/.well-known/ai-catalog.json", get(catalog))
        .route("/.well-known/ard.json", get(catalog))
}

/// What a request to the directory may see.
struct View<'a> {
    directory: &'a Directory,
    agents: Vec<&'a Agent>,
    plan: Arc<Plan>,
    /// The address under which this gateway was reached.
    base: String,
}

impl<'a> View<'a> {
    fn open(gateway: &'a Gateway, uri: &Uri, headers: &HeaderMap) -> Result<Self, Box<Response>> {
        let plan = gateway.plan();
        let settings = &plan.settings;
        let refuse = |rejection: Rejection| Box::new(refused(rejection.status(false), &rejection.message()));
        check_origin(settings, uri, headers).map_err(refuse)?;
        let caller = identity::authenticate(settings, headers).map_err(refuse)?;
        let directory = &gateway.directory;
        let may_see = |agent: &&Agent| {
            let resource = Resource::Agent { tenant: &directory.tenant, agent: &agent.name };
            gateway.wiring.authorizer.decide(&caller.principal, Action::ReadAgent, resource).allowed()
        };
        let agents = directory.agents.iter().filter(may_see).collect();
        let host = uri
            .authority()
            .map(|authority| authority.as_str().to_owned())
            .or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned));
        let base =
            settings.public_url.clone().unwrap_or_else(|| format!("http://{}", host.unwrap_or_default()));
        Ok(Self { directory, agents, base: base.trim_end_matches('/').to_owned(), plan })
    }

    /// The cards of all agents in view: current where that is quick, last known or none where it is not.
    async fn cards(&self) -> Vec<(&'a Agent, Option<Arc<Card>>)> {
        let card = async |agent: &'a Agent| {
            let current = agent.card.current(&self.directory.client, &agent.url);
            let card = match tokio::time::timeout(LIST_WAIT, current).await {
                Ok(card) => card,
                Err(_) => agent.card.known(),
            };
            (agent, card)
        };
        join_all(self.agents.iter().map(|agent| card(agent))).await
    }
}

/// `GET /agents`
async fn list(State(gateway): State<Arc<Gateway>>, uri: Uri, headers: HeaderMap) -> Response {
    match View::open(&gateway, &uri, &headers) {
        Err(refused) => *refused,
        Ok(view) => document(documents::agents(&view.base, &view.cards().await)),
    }
}

/// `GET /.well-known/ai-catalog.json`
async fn catalog(State(gateway): State<Arc<Gateway>>, uri: Uri, headers: HeaderMap) -> Response {
    match View::open(&gateway, &uri, &headers) {
        Err(refused) => *refused,
        Ok(view) => document(documents::catalog(&view.base, &view.directory.tenant, &view.cards().await)),
    }
}

/// `GET /agents/{name}/.well-known/agent-card.json`: the card as the agent's host serves it.
async fn card(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let view = match View::open(&gateway, &uri, &headers) {
        Err(refused) => return *refused,
        Ok(view) => view,
    };
    let Some(agent) = view.agents.iter().find(|agent| agent.name == name) else {
        let shown: String = name.chars().take(80).collect();
        return refused(StatusCode::NOT_FOUND, &format!("no agent `{shown}`"));
    };
    let Some(card) = agent.card.current(&view.directory.client, &agent.url).await else {
        // Not an error of the request: the agent has not been up since the gateway started.
        return refused(StatusCode::SERVICE_UNAVAILABLE, &format!("agent `{name}` has not answered yet"));
    };
    let mut response = respond(StatusCode::OK, card.body.clone());
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    if known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim() == card.etag || tag.trim() == "*") {
        response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    if let Ok(etag) = HeaderValue::from_str(&card.etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    let age = format!("private, max-age={}", view.plan.settings.card_ttl.as_secs());
    if let Ok(age) = HeaderValue::from_str(&age) {
        response.headers_mut().insert(CACHE_CONTROL, age);
    }
    response
}

fn document(json: serde_json::Value) -> Response {
    respond(StatusCode::OK, json.to_string().into())
}

fn refused(status: StatusCode, why: &str) -> Response {
    respond(status, serde_json::json!({ "error": { "message": why } }).to_string().into())
}

fn respond(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
