//! The directory over HTTP.

use super::agent::Agent;
use super::cards::Card;
use super::query::Query;
use super::rewrite::Door;
use super::{documents, rank};
use crate::gateway::Gateway;
use crate::identity::{self, Caller};
use crate::plan::Plan;
use crate::rejection::Rejection;
use crate::server::{check_origin, read_body};
use crate::settings::Settings;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use mesh_policy::{Action, Resource};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// How long a list waits for the cards of agents that are not known yet.
const LIST_WAIT: Duration = Duration::from_secs(2);
/// Longest body of a search.
const SEARCH_BODY: usize = 64 << 10;

pub(crate) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/agents", get(list))
        .route("/search", post(search))
        .route("/.well-known/ai-catalog.json", get(catalog))
        .route("/.well-known/ard.json", get(catalog))
}

/// The address under which this gateway was reached, without a slash at the end.
pub(crate) fn base(settings: &Settings, uri: &Uri, headers: &HeaderMap) -> String {
    let asked = || {
        let named = uri.authority().map(|authority| authority.as_str().to_owned());
        let host = named.or_else(|| headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned));
        format!("http://{}", host.unwrap_or_default())
    };
    settings.public_url.clone().unwrap_or_else(asked).trim_end_matches('/').to_owned()
}

/// What a request to the directory may see.
struct View<'a> {
    gateway: &'a Gateway,
    plan: Arc<Plan>,
    caller: Caller,
    /// The address under which this gateway was reached.
    base: String,
}

impl<'a> View<'a> {
    fn open(gateway: &'a Gateway, uri: &Uri, headers: &HeaderMap) -> Result<Self, Box<Response>> {
        let plan = gateway.plan();
        let refuse = |rejection: Rejection| Box::new(refused(rejection.status(false), &rejection.message()));
        check_origin(&plan.settings, uri, headers).map_err(refuse)?;
        let caller = identity::authenticate(&plan.settings, headers).map_err(refuse)?;
        let base = base(&plan.settings, uri, headers);
        Ok(Self { gateway, caller, base, plan })
    }

    fn may_see(&self, agent: &Agent) -> bool {
        let resource = Resource::Agent { tenant: &self.gateway.directory.tenant, agent: &agent.name };
        self.gateway.wiring.authorizer.decide(&self.caller.principal, Action::ReadAgent, resource).allowed()
    }

    fn agents(&self) -> Vec<Arc<Agent>> {
        let agents = self.gateway.directory.agents(self.gateway.wiring.clock.now());
        agents.into_iter().filter(|agent| self.may_see(agent)).collect()
    }

    fn agent(&self, name: &str) -> Option<Arc<Agent>> {
        let agent = self.gateway.directory.agent(name, self.gateway.wiring.clock.now());
        agent.filter(|agent| self.may_see(agent))
    }

    /// The agents in view with their cards: current where that is quick, last known or none where it is not.
    async fn cards(&self) -> Vec<(Arc<Agent>, Option<Arc<Card>>)> {
        let card = async |agent: Arc<Agent>| {
            let current = agent.card(&self.gateway.directory.clients, true);
            let card = match tokio::time::timeout(LIST_WAIT, current).await {
                Ok(card) => card,
                Err(_) => agent.known_card(),
            };
            (agent, card)
        };
        join_all(self.agents().into_iter().map(card)).await
    }
}

/// `GET /agents`
async fn list(State(gateway): State<Arc<Gateway>>, uri: Uri, headers: HeaderMap) -> Response {
    let view = match View::open(&gateway, &uri, &headers) {
        Err(refused) => return *refused,
        Ok(view) => view,
    };
    let query = match Query::read(uri.query().unwrap_or_default()) {
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
        Ok(query) => query,
    };
    let cards = view.cards().await;
    let described = cards.iter().map(|(agent, card)| documents::agent(&view.base, agent, card.as_deref()));
    match query.page(described.collect()) {
        Err(why) => refused(StatusCode::BAD_REQUEST, &why),
        Ok((agents, next)) => document(documents::agents(agents, next.as_deref())),
    }
}

/// What `POST /search` takes, as the registries of agents have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Search {
    query: SearchQuery,
    #[serde(default)]
    page_size: Option<usize>,
    #[serde(default)]
    page_token: Option<String>,
}

#[derive(Deserialize)]
struct SearchQuery {
    #[serde(default)]
    text: String,
    #[serde(default)]
    filter: Option<String>,
}

/// `POST /search`
async fn search(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let view = match View::open(&gateway, &parts.uri, &parts.headers) {
        Err(refused) => return *refused,
        Ok(view) => view,
    };
    let body = match read_body(body, SEARCH_BODY).await {
        Ok(body) => body,
        Err(rejection) => return refused(rejection.status(false), &rejection.message()),
    };
    let search: Search = match serde_json::from_slice(&body) {
        Ok(search) => search,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let query = match Query::new(search.query.filter.as_deref(), None, search.page_size, search.page_token) {
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
        Ok(query) => query,
    };
    let cards = view.cards().await;
    let agents = cards.iter().map(|(agent, card)| rank::document(agent, card.as_deref())).collect();
    let found = rank::rank(&search.query.text, agents).into_iter().map(|(at, score)| {
        let (agent, card) = &cards[at];
        documents::result(&view.base, &view.gateway.directory.tenant, agent, card.as_deref(), score)
    });
    match query.page(found.collect()) {
        Err(why) => refused(StatusCode::BAD_REQUEST, &why),
        Ok((results, next)) => document(documents::results(results, next.as_deref())),
    }
}

/// `GET /.well-known/ai-catalog.json`
async fn catalog(State(gateway): State<Arc<Gateway>>, uri: Uri, headers: HeaderMap) -> Response {
    match View::open(&gateway, &uri, &headers) {
        Err(refused) => *refused,
        Ok(view) => document(documents::catalog(&view.base, &gateway.directory.tenant, &view.cards().await)),
    }
}

/// `GET /agents/{name}`: its entry. The tag is the version of its registration.
pub(crate) async fn entry(gateway: &Gateway, name: &str, uri: &Uri, headers: &HeaderMap) -> Response {
    let view = match View::open(gateway, uri, headers) {
        Err(refused) => return *refused,
        Ok(view) => view,
    };
    let Some(agent) = view.agent(name) else { return unknown(name) };
    let card = agent.card(&gateway.directory.clients, true).await;
    let mut response = document(documents::agent(&view.base, &agent, card.as_deref()));
    if let Some(lease) = agent.lease() {
        tag(&mut response, lease.version);
    }
    response
}

/// `GET /agents/{name}/.well-known/agent-card.json`: the card, with this gateway's addresses.
pub(crate) async fn card(gateway: &Gateway, name: &str, uri: &Uri, headers: &HeaderMap) -> Response {
    let view = match View::open(gateway, uri, headers) {
        Err(refused) => return *refused,
        Ok(view) => view,
    };
    let Some(agent) = view.agent(name) else { return unknown(name) };
    let modern = headers.get("a2a-version").is_some_and(|version| version.as_bytes().starts_with(b"1"));
    let Some(card) = agent.card(&gateway.directory.clients, modern).await else {
        // Not an error of the request: the agent has not been up since the gateway started.
        let why = agent.failure().map_or_else(String::new, |why| format!(": {why}"));
        let why = format!("agent `{name}` has not answered yet{why}");
        return refused(StatusCode::SERVICE_UNAVAILABLE, &why);
    };
    let Some(served) = card.at(&Door::new(&view.base, name)) else {
        return refused(StatusCode::BAD_GATEWAY, &format!("the card of agent `{name}` cannot be read"));
    };
    let mut response = respond(StatusCode::OK, served.body);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    if known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim() == served.etag || tag.trim() == "*") {
        response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let age = format!("private, max-age={}", view.plan.settings.card_ttl.as_secs());
    for (name, value) in [(ETAG, served.etag.as_str()), (CACHE_CONTROL, &age), (VARY, "a2a-version, host")] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

pub(super) fn tag(response: &mut Response, version: u64) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
}

pub(super) fn unknown(name: &str) -> Response {
    let shown: String = name.chars().take(80).collect();
    refused(StatusCode::NOT_FOUND, &format!("no agent `{shown}`"))
}

pub(super) fn document(json: serde_json::Value) -> Response {
    respond(StatusCode::OK, json.to_string().into())
}

pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    respond(status, serde_json::json!({ "error": { "message": why } }).to_string().into())
}

fn respond(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
