//! Agents that register themselves. What they say is kept on the shelf, which all replicas of the gateway share; each of
//! them holds a copy, which it brings up to date at every look.

use super::agent::{Agent, Lease};
use super::record::{Entry, Record, is_name};
use super::routes::{base, document, refused, tag, unknown};
use super::{Directory, documents};
use crate::gateway::Gateway;
use crate::identity::{self, Caller};
use crate::rejection::Rejection;
use crate::server::{check_origin, read_body};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use mesh_core::{Compartment, Required, ShelfError, Shelved, Timestamp};
use mesh_policy::{Action, AuditEntry, Outcome, Resource};
use std::sync::Arc;

/// Longest body: a record holds 256 KiB, and the rest of ours is small.
const LONGEST: usize = 248 << 10;
/// Records that are read at a time.
const PAGE: usize = 100;

/// Why a registration is not taken.
struct Refused(StatusCode, String, Outcome);

impl Refused {
    fn bad(why: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, why.into(), Outcome::ProtocolError)
    }

    fn conflict(why: &str) -> Self {
        Self(StatusCode::PRECONDITION_FAILED, why.to_owned(), Outcome::ProtocolError)
    }
}

impl From<ShelfError> for Refused {
    fn from(error: ShelfError) -> Self {
        match error {
            ShelfError::Conflict { .. } => Self::conflict("the entry was changed by somebody else"),
            ShelfError::TooLarge(why) => Self(StatusCode::PAYLOAD_TOO_LARGE, why, Outcome::ProtocolError),
            ShelfError::Failed(why) => {
                tracing::error!(why, "the shelf of registered agents failed");
                let why = "the directory cannot be written now".to_owned();
                Self(StatusCode::SERVICE_UNAVAILABLE, why, Outcome::Internal)
            }
        }
    }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        let (status, outcome) = match &rejection {
            Rejection::Draining | Rejection::Audit => (StatusCode::SERVICE_UNAVAILABLE, rejection.outcome()),
            other => (other.status(false), other.outcome()),
        };
        Self(status, rejection.message(), outcome)
    }
}

/// `PUT /agents/{name}`: enters an agent, or renews what is there. `If-None-Match: *` only enters, `If-Match` only renews.
pub(crate) async fn register(gateway: &Gateway, name: &str, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let put = async |caller: &Caller| {
        let settings = &gateway.plan().settings;
        if !is_name(name) {
            return Err(Refused::bad("a name is a-z first, then a-z, 0-9 or -, at most 63 characters"));
        }
        let body = read_body(body, LONGEST).await?;
        let check = |url: &url::Url| gateway.directory.clients.check(url);
        let entry = Entry::read(&body, check).map_err(Refused::bad)?;
        let lease = entry.lease(settings.directory.lease, settings.directory.longest_lease);
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let expires = Timestamp(gateway.wiring.clock.now().millis().saturating_add(lease));
        let record = Record { entry, principal: caller.principal.id.to_string(), expires };
        let (agent, fresh) = write(gateway, name, record, &parts.headers).await?;
        let card = agent.known_card();
        let base = base(settings, &parts.uri, &parts.headers);
        let mut response = document(documents::agent(&base, &agent, card.as_deref()));
        if fresh {
            *response.status_mut() = StatusCode::CREATED;
        }
        if let Some(lease) = agent.lease() {
            tag(&mut response, lease.version);
        }
        Ok(response)
    };
    change(gateway, name, &parts.uri, &parts.headers, put).await
}

/// `DELETE /agents/{name}`: takes an entry back.
pub(crate) async fn remove(gateway: &Gateway, name: &str, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let delete = async |caller: &Caller| {
        let directory = &gateway.directory;
        let _turn = directory.changing.lock().await;
        let shelf = &gateway.wiring.shelf;
        let found = shelf.get(Compartment::Directory, &directory.tenant, name).await?;
        let now = gateway.wiring.clock.now();
        let known = found.as_ref().and_then(|found| Some((found.version, decode(found)?)));
        let Some((version, record)) = known.filter(|(_, record)| record.expires > now) else {
            return Err(Refused(
                StatusCode::NOT_FOUND,
                format!("no registered agent `{name}`"),
                Outcome::NotFound,
            ));
        };
        owned(&record, caller)?;
        preconditions(&parts.headers, Some(version))?;
        shelf.delete(Compartment::Directory, &directory.tenant, name, Required::Version(version)).await?;
        directory.drop_registered(gateway, name);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    };
    change(gateway, name, &parts.uri, &parts.headers, delete).await
}

/// What every change passes: the edge, the audit, the caller, the rule.
async fn change(
    gateway: &Gateway,
    name: &str,
    uri: &http::Uri,
    headers: &HeaderMap,
    work: impl AsyncFnOnce(&Caller) -> Result<Response, Refused>,
) -> Response {
    let plan = gateway.plan();
    if let Err(rejection) = check_origin(&plan.settings, uri, headers) {
        return refused(rejection.status(false), &rejection.message());
    }
    let trace =
        crate::observe::CallTrace::new(headers.get("traceparent").and_then(|value| value.to_str().ok()));
    let clock = Arc::clone(&gateway.wiring.clock);
    let opened = AuditEntry::open(&*gateway.wiring.audit, clock, Action::RegisterAgent, &trace.server);
    let Ok(mut audit) = opened else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, &Rejection::Audit.message());
    };
    audit.note(|record| record.target_agent = Some(name.chars().take(128).collect()));
    let done = async {
        let _open = gateway.admit()?;
        let caller = identity::authenticate(&plan.settings, headers)?;
        audit.note(|record| record.caller(&caller.principal));
        let directory = &gateway.directory;
        let resource = Resource::Agent { tenant: &directory.tenant, agent: name };
        let decision = gateway.wiring.authorizer.decide(&caller.principal, Action::RegisterAgent, resource);
        audit.decided(&decision);
        let off = "agents do not register themselves here (directory.registration)";
        if !decision.allowed() {
            return Err(Refused(StatusCode::FORBIDDEN, "access denied".to_owned(), Outcome::Denied));
        }
        if !plan.settings.directory.registration {
            return Err(Refused(StatusCode::FORBIDDEN, off.to_owned(), Outcome::Denied));
        }
        if directory.configured.contains_key(name) {
            let why = format!("agent `{name}` is in the mesh file");
            return Err(Refused(StatusCode::CONFLICT, why, Outcome::ProtocolError));
        }
        work(&caller).await
    }
    .await;
    match done {
        Ok(response) => {
            audit.close(Outcome::Ok, None);
            response
        }
        Err(Refused(status, why, outcome)) => {
            audit.close(outcome, None);
            if status == StatusCode::NOT_FOUND { unknown(name) } else { refused(status, &why) }
        }
    }
}

/// Only who entered an agent may change its entry.
fn owned(record: &Record, caller: &Caller) -> Result<(), Refused> {
    if record.principal == caller.principal.id.as_str() {
        return Ok(());
    }
    Err(Refused(StatusCode::FORBIDDEN, "somebody else has registered this agent".to_owned(), Outcome::Denied))
}

/// Checks `If-Match` and `If-None-Match` against the version of what is there.
fn preconditions(headers: &HeaderMap, version: Option<u64>) -> Result<(), Refused> {
    let named = |name| {
        let values = headers.get_all(name).iter().filter_map(|value: &http::HeaderValue| value.to_str().ok());
        let mut tags = values.flat_map(|tags| tags.split(',')).map(str::trim).map(str::to_owned);
        headers.contains_key(name).then(|| {
            let current = version.map(|version| format!("\"{version}\""));
            tags.any(|tag| version.is_some() && tag == "*" || Some(&tag) == current.as_ref())
        })
    };
    if named(&IF_MATCH) == Some(false) {
        return Err(Refused::conflict("the entry is not the one that `If-Match` names"));
    }
    if named(&IF_NONE_MATCH) == Some(true) {
        return Err(Refused::conflict("there is an entry already"));
    }
    Ok(())
}

/// Writes a record, if what is there allows it: which agent that makes, and whether it is new.
async fn write(
    gateway: &Gateway,
    name: &str,
    record: Record,
    headers: &HeaderMap,
) -> Result<(Arc<Agent>, bool), Refused> {
    let directory = &gateway.directory;
    let _turn = directory.changing.lock().await;
    let (shelf, now) = (&gateway.wiring.shelf, gateway.wiring.clock.now());
    let found = shelf.get(Compartment::Directory, &directory.tenant, name).await?;
    let known = found.as_ref().and_then(|found| Some((found.version, decode(found)?)));
    // What has expired is not there any more, whether somebody has cleared it away or not.
    let current = known.filter(|(_, record)| record.expires > now);
    if let Some((_, current)) = &current {
        if current.principal != record.principal {
            let why = "somebody else has registered an agent of this name".to_owned();
            return Err(Refused(StatusCode::FORBIDDEN, why, Outcome::Denied));
        }
    } else if directory.registered.load().len() >= gateway.plan().settings.directory.registered {
        let why = "too many agents are registered (directory.registered)".to_owned();
        return Err(Refused(StatusCode::TOO_MANY_REQUESTS, why, Outcome::Busy));
    }
    preconditions(headers, current.as_ref().map(|(version, _)| *version))?;
    let required = found.as_ref().map_or(Required::Absent, |found| Required::Version(found.version));
    let bytes = serde_json::to_vec(&record).map_err(|error| Refused::bad(error.to_string()))?;
    let version = shelf.put(Compartment::Directory, &directory.tenant, name, bytes, required).await?;
    let agent = directory.take_registered(gateway, name, &record, version);
    Ok((agent, current.is_none()))
}

fn decode(shelved: &Shelved) -> Option<Record> {
    match serde_json::from_slice(&shelved.value) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(agent = shelved.name, %error, "a registration cannot be read");
            None
        }
    }
}

impl Directory {
    /// Puts an agent into the copy. What is known of it stays, if it only renews.
    fn take_registered(&self, gateway: &Gateway, name: &str, record: &Record, version: u64) -> Arc<Agent> {
        let lease = Lease { version, expires: record.expires };
        let site = record.entry.site();
        let known = self.registered.load().get(name).filter(|agent| agent.site == site).cloned();
        let agent = known.unwrap_or_else(|| {
            let agent = Arc::new(Agent::new(name, site, &gateway.plan().settings));
            agent.set_lease(lease.clone());
            let mut agents = (**self.registered.load()).clone();
            agents.insert(name.to_owned(), Arc::clone(&agent));
            self.registered.store(Arc::new(agents));
            agent
        });
        agent.set_lease(lease);
        agent
    }

    fn drop_registered(&self, gateway: &Gateway, name: &str) {
        let mut agents = (**self.registered.load()).clone();
        if agents.remove(name).is_some() {
            self.registered.store(Arc::new(agents));
            gateway.metrics.agents.forget(name);
        }
    }
}

/// Brings the copy of what is registered up to date, and clears away what has expired.
pub(crate) async fn keep_in_step(gateway: &Gateway) {
    let directory = &gateway.directory;
    let _turn = directory.changing.lock().await;
    let shelf = &gateway.wiring.shelf;
    let (mut after, mut there) = (None::<String>, std::collections::BTreeSet::new());
    loop {
        let page = match shelf.list(Compartment::Directory, &directory.tenant, after.as_deref(), PAGE).await {
            Ok(page) => page,
            // What is known goes on to count, until it expires.
            Err(error) => return tracing::warn!(%error, "registered agents cannot be read"),
        };
        let now = gateway.wiring.clock.now();
        for shelved in &page {
            match decode(shelved) {
                Some(record) if record.expires <= now => {
                    let required = Required::Version(shelved.version);
                    let gone = shelf
                        .delete(Compartment::Directory, &directory.tenant, &shelved.name, required)
                        .await;
                    match gone {
                        Ok(()) => tracing::info!(agent = shelved.name, "a registration has expired"),
                        Err(error) => tracing::debug!(agent = shelved.name, %error, "it was just renewed"),
                    }
                }
                Some(record) if !directory.configured.contains_key(&shelved.name) => {
                    directory.take_registered(gateway, &shelved.name, &record, shelved.version);
                    there.insert(shelved.name.clone());
                }
                _ => {}
            }
        }
        if page.len() < PAGE {
            break;
        }
        after = page.last().map(|last| last.name.clone());
    }
    let known: Vec<String> = directory.registered.load().keys().cloned().collect();
    for name in known.iter().filter(|name| !there.contains(*name)) {
        directory.drop_registered(gateway, name);
    }
}
