//! `GET /tools?category=&tag=&query=&limit=`: the tools that the caller may see, of a category, with tags, for a need.

use super::catalogue::{Entry, Source};
use super::index::Hit;
use crate::gateway::Gateway;
use crate::identity;
use crate::server::check_origin;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::future::join_all;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Uri};
use mesh_policy::{Action, Resource};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// How many tools are given for a need when the caller does not say.
const RANKED: usize = 20;
/// How many tools are given at most.
const MOST: usize = 1000;
/// Longest need, in bytes.
const LONGEST: usize = 2000;

pub(crate) fn routes() -> Router<Arc<Gateway>> {
    Router::new().route("/tools", get(tools))
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    category: Option<String>,
    tags: Vec<String>,
    query: Option<String>,
    limit: Option<usize>,
}

impl Wanted {
    fn read(query: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if value.len() > LONGEST {
                return Err(format!("`{name}` may have {LONGEST} bytes at most"));
            }
            let value = value.trim();
            match &*name {
                _ if value.is_empty() => {}
                "category" => wanted.category = Some(value.to_owned()),
                "tag" => wanted.tags.push(value.to_owned()),
                "query" => wanted.query = Some(value.to_owned()),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                    wanted.limit =
                        Some(limit.ok_or_else(|| format!("`limit` must be a number from 1 to {MOST}"))?);
                }
                _ => {}
            }
        }
        Ok(wanted)
    }

    fn admits(&self, entry: &Entry) -> bool {
        let is = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        self.category.as_ref().is_none_or(|wanted| entry.category.as_ref().is_some_and(|has| is(wanted, has)))
            && self.tags.iter().all(|wanted| entry.tags.iter().any(|has| is(wanted, has)))
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    tools: Vec<Found<'a>>,
    /// How many there are without the limit.
    total: usize,
    /// Upstreams that did not answer: their last known tools are here.
    unavailable: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    name: &'a str,
    upstream: &'a str,
    tool: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a RawValue>,
    category: Option<&'a str>,
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<&'a str>,
    /// Where its definition has text that people do not see.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    hidden_text: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Vec<Matched<'a>>>,
}

/// A word of the need, and the fields that it is in.
#[derive(Serialize)]
struct Matched<'a> {
    word: &'a str,
    fields: Vec<&'static str>,
}

fn found<'a>(entry: &'a Entry, hit: Option<&'a Hit>) -> Found<'a> {
    let reason = |hit: &'a Hit| {
        let matched = |(word, fields): &'a (String, Vec<super::index::Field>)| Matched {
            word,
            fields: fields.iter().map(|field| field.label()).collect(),
        };
        hit.matched.iter().map(matched).collect()
    };
    Found {
        name: &entry.name,
        upstream: &entry.upstream,
        tool: &entry.tool,
        title: entry.title.as_deref(),
        description: entry.description.as_deref().unwrap_or_default(),
        input_schema: entry.input_schema.as_deref(),
        annotations: entry.annotations.as_deref(),
        category: entry.category.as_deref(),
        tags: &entry.tags,
        fingerprint: entry.fingerprint.as_deref(),
        hidden_text: &entry.hidden,
        score: hit.map(|hit| hit.score),
        reason: hit.map(reason),
    }
}

async fn tools(
    State(gateway): State<Arc<Gateway>>,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let plan = gateway.plan();
    let caller = check_origin(&plan.settings, &uri, &headers)
        .and_then(|()| identity::authenticate(&plan.settings, &headers));
    let caller = match caller {
        Ok(caller) => caller,
        Err(rejection) => return refused(rejection.status(false), &rejection.message()),
    };
    let wanted = match Wanted::read(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(why) => return refused(StatusCode::BAD_REQUEST, &why),
    };
    let tenant = &caller.principal.tenant;
    let upstreams: Vec<_> = plan.upstreams(tenant).collect();
    let snapshots = join_all(upstreams.iter().map(|upstream| upstream.tools())).await;
    let (mut sources, mut unavailable) = (Vec::new(), Vec::new());
    for (upstream, snapshot) in upstreams.iter().zip(snapshots) {
        if snapshot.failure().is_some() {
            unavailable.push(&*upstream.id);
        }
        let config = plan.settings.upstreams.get(&*upstream.id);
        sources.extend(snapshot.tools.map(|tools| Source {
            upstream: Arc::clone(&upstream.id),
            tenant: upstream.tenant.clone(),
            tools,
            category: config.and_then(|config| config.category.clone()),
            tags: config.map(|config| config.tags.clone()).unwrap_or_default(),
        }));
    }
    let catalogue = gateway.finder.catalogue(sources);
    let may_see = |entry: &Entry| {
        let resource = Resource::Tool { tenant: &entry.tenant, upstream: &entry.upstream, tool: &entry.tool };
        plan.upstream(tenant, &entry.upstream).is_some_and(|upstream| !upstream.selection.hides(&entry.tool))
            && gateway.wiring.authorizer.decide(&caller.principal, Action::ListTools, resource).allowed()
            && wanted.admits(entry)
    };
    let visible: Vec<bool> = catalogue.entries.iter().map(may_see).collect();
    let hits = wanted.query.as_ref().map(|need| catalogue.index.search(need, &visible));
    let usual = if hits.is_some() { RANKED } else { MOST };
    let limit = wanted.limit.unwrap_or(usual);
    let mut tools: Vec<Found<'_>> = match &hits {
        Some(hits) => hits.iter().map(|hit| found(&catalogue.entries[hit.document], Some(hit))).collect(),
        None => {
            let seen = catalogue.entries.iter().zip(&visible).filter(|(_, visible)| **visible);
            seen.map(|(entry, _)| found(entry, None)).collect()
        }
    };
    let total = tools.len();
    tools.truncate(limit);
    match serde_json::to_string(&Answer { tools, total, unavailable }) {
        Ok(body) => respond(StatusCode::OK, body),
        Err(error) => {
            tracing::error!(%error, "the found tools cannot be written");
            refused(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written")
        }
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    respond(status, serde_json::json!({ "error": { "message": why } }).to_string())
}

fn respond(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response()
}
