//! What clients hear without asking: the GET stream of those with a session, `subscriptions/listen` of those without.
//!
//! Changes of lists are counters that are watched, so any number of them is one notification. Everything else comes from a stream of the
//! upstream that belongs to this client alone; a client that does not read stops it.

use super::edge::Edge;
use super::reply::{self, Replied};
use super::{Asked, Outcome, notified};
use crate::gateway::Gateway;
use crate::identity::{self, Caller};
use crate::plan::Scope;
use crate::rejection::Rejection;
use crate::server::client::Client;
use crate::upstream::{Announcement, Conversation, RegisteredUpstream, Wanted};
use crate::wire::envelope::RequestId;
use crate::wire::object::RawObject;
use crate::wire::write_string;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::select_all;
use http::{Request, StatusCode};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

/// First and longest pause before an upstream is listened to again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Announcements that wait for a client that does not read; the upstream's stream waits with them.
const QUEUE: usize = 64;
/// Resources that one subscription may follow.
const FOLLOWED: usize = crate::session::SUBSCRIPTIONS;

/// `GET`: everything that is said in a session outside of its calls.
pub(super) fn get(gateway: Arc<Gateway>, request: Request<Body>) -> Response {
    let plan = gateway.plan();
    let opened = Edge::admit_head(&plan.settings, request).and_then(|edge| {
        let caller = identity::authenticate(&plan.settings, &edge.headers)?;
        let client = Client::legacy(&gateway, &plan, &edge)?;
        if !edge.takes_events && client.session().is_some() {
            return Err(Rejection::NotAcceptable);
        }
        if client.session().is_some() {
            plan.scope(&caller.principal.tenant, edge.scope())?;
        }
        Ok((edge, caller, client))
    });
    let (edge, caller, client) = match opened {
        // Without a session there is nothing to hear (2025-11-25, transports: 405).
        Ok((_, _, Client::Modern | Client::Legacy(None))) => return reply::method_not_allowed(),
        Ok(opened) => opened,
        Err(rejection) => return reply::json(Replied::rejected(None, &rejection, false)),
    };
    let (to, notifications) = mpsc::channel(plan.settings.limits.notifications);
    let work = async move {
        if let Some(session) = client.session() {
            let listener = Listener {
                gateway: &gateway,
                caller: &caller,
                edge: &edge,
                conversation: session.conversation(),
                followed: session.remembered.followed.subscribe(),
                lists: Lists::all(),
                own_session: true,
                tag: None,
                to,
            };
            let ended = session.remembered.ended.clone();
            ended.run_until_cancelled(listener.run()).await;
        }
        Replied::accepted()
    };
    reply::events(Box::pin(work), notifications, None)
}

/// `DELETE`: ends a session.
pub(super) async fn delete(gateway: Arc<Gateway>, request: Request<Body>) -> Response {
    let plan = gateway.plan();
    let ended = match Edge::admit_head(&plan.settings, request) {
        Ok(edge) if !edge.headers.contains_key(crate::wire::header::SESSION_ID) => {
            return reply::method_not_allowed();
        }
        Ok(edge) => notified::end(&gateway, &plan, &edge).await,
        Err(rejection) => Err(rejection),
    };
    match ended {
        Ok(()) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(rejection) => reply::json(Replied::rejected(None, &rejection, false)),
    }
}

/// `subscriptions/listen` (2026-07-28): the acknowledgement, and then what was asked for, until the gateway ends.
pub(super) async fn listen(
    asked: &Asked<'_>,
    id: &RequestId,
    caller: &Caller,
    params: &RawObject<'_>,
) -> Result<Outcome, Rejection> {
    let to = asked.notify.clone().ok_or(Rejection::NotAcceptable)?;
    let filter = Filter::read(params)?;
    let tag = format!(r#"{{"io.modelcontextprotocol/subscriptionId":{}}}"#, id.as_json());
    let acknowledged = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"notifications":{},"_meta":{tag}}}}}"#,
        filter.shown()
    );
    // An error means that the client has left: the work ends with it.
    let _ = to.send(acknowledged.into()).await;
    // Nobody changes what is followed.
    let (_keep, followed) = watch::channel(filter.resources.clone());
    let listener = Listener {
        gateway: asked.gateway,
        caller,
        edge: asked.edge,
        conversation: &Conversation::own(),
        followed,
        lists: filter.lists,
        own_session: false,
        tag: Some(&tag),
        to,
    };
    listener.run().await;
    let end = format!(r#"{{"resultType":"complete","_meta":{tag}}}"#);
    Ok(Outcome::Result(Bytes::from(end).into()))
}

/// Which lists' changes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lists {
    tools: bool,
    prompts: bool,
    resources: bool,
}

impl Lists {
    fn all() -> Self {
        Self { tools: true, prompts: true, resources: true }
    }
}

/// What a client without sessions wants to hear.
#[derive(Debug, PartialEq, Eq)]
struct Filter {
    lists: Lists,
    resources: BTreeSet<String>,
}

impl Filter {
    fn read(params: &RawObject<'_>) -> Result<Self, Rejection> {
        let wrong = |why: String| Rejection::InvalidParams(format!("`params.notifications`: {why}"));
        let text = params.get("notifications").ok_or_else(|| wrong("missing".to_owned()))?;
        let filter = RawObject::parse(text).map_err(|error| wrong(error.to_string()))?;
        let wants = |name: &str| filter.get(name) == Some("true");
        let resources: BTreeSet<String> = match filter.get("resourceSubscriptions") {
            None | Some("null") => BTreeSet::new(),
            Some(list) => serde_json::from_str(list)
                .map_err(|_| wrong("`resourceSubscriptions` must be a list of URIs".to_owned()))?,
        };
        if resources.len() > FOLLOWED {
            return Err(wrong(format!("more than {FOLLOWED} resources")));
        }
        let lists = Lists {
            tools: wants("toolsListChanged"),
            prompts: wants("promptsListChanged"),
            resources: wants("resourcesListChanged"),
        };
        Ok(Self { lists, resources })
    }

    /// What will be heard, as the acknowledgement says it.
    fn shown(&self) -> String {
        let mut shown = serde_json::Map::new();
        for (name, wanted) in [
            ("toolsListChanged", self.lists.tools),
            ("promptsListChanged", self.lists.prompts),
            ("resourcesListChanged", self.lists.resources),
        ] {
            if wanted {
                shown.insert(name.to_owned(), true.into());
            }
        }
        if !self.resources.is_empty() {
            shown.insert("resourceSubscriptions".to_owned(), serde_json::json!(self.resources));
        }
        serde_json::Value::Object(shown).to_string()
    }
}

/// One client that listens.
struct Listener<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    edge: &'a Edge,
    conversation: &'a Arc<Conversation>,
    followed: watch::Receiver<BTreeSet<String>>,
    lists: Lists,
    /// Whether the client may have a session of its own at the upstreams, with things to say.
    own_session: bool,
    /// `_meta` of everything that is said.
    tag: Option<&'a str>,
    to: mpsc::Sender<Bytes>,
}

impl Listener<'_> {
    async fn run(mut self) {
        let closing = self.gateway.closing().clone();
        // A plan that is replaced may have other upstreams: everything may be different then, and is listened to anew.
        let mut replaced = self.gateway.plans();
        let to = self.to.clone();
        loop {
            let plan = self.gateway.plan();
            let (tenant, path) = (&self.caller.principal.tenant, self.edge.scope());
            let Ok(scope) = plan.scope(tenant, path) else { return };
            let upstreams: Vec<_> = plan.within(scope, tenant).into_iter().cloned().collect();
            tokio::select! {
                () = closing.cancelled() => return,
                () = to.closed() => return,
                () = self.hear(scope, &upstreams) => return,
                changed = replaced.changed() => if changed.is_err() { return },
            }
            if !self.say_changed(self.lists).await {
                return;
            }
        }
    }

    /// Passes on what these upstreams say, until the client leaves.
    async fn hear(&mut self, scope: Scope<'_>, upstreams: &[Arc<RegisteredUpstream>]) {
        let mut changes: Vec<_> = upstreams.iter().map(|upstream| upstream.changes()).collect();
        let (say, mut said) = mpsc::channel(QUEUE);
        let mut streams = Streams::default();
        self.follow(scope, upstreams, &say, &mut streams);
        loop {
            let changed = async {
                if changes.is_empty() {
                    return std::future::pending().await;
                }
                let waits = changes.iter_mut().map(|changes| Box::pin(changes.changed()));
                select_all(waits).await.0
            };
            tokio::select! {
                lists = changed => {
                    let lists = Lists {
                        tools: lists.tools && self.lists.tools,
                        prompts: lists.prompts && self.lists.prompts,
                        resources: lists.resources && self.lists.resources,
                    };
                    if !self.say_changed(lists).await {
                        return;
                    }
                }
                Some((upstream, announcement)) = said.recv() => {
                    if !self.say(scope, &upstream, announcement).await {
                        return;
                    }
                }
                Ok(()) = self.followed.changed() => self.follow(scope, upstreams, &say, &mut streams),
                else => return,
            }
        }
    }

    /// Opens the streams of the upstreams that have something to say to this client alone. One that has to be opened anew, because something
    /// else is followed there, begins with `Resumed`: something may have been missed in between.
    fn follow(
        &mut self,
        scope: Scope<'_>,
        upstreams: &[Arc<RegisteredUpstream>],
        say: &mpsc::Sender<(Arc<str>, Announcement)>,
        streams: &mut Streams,
    ) {
        let followed = self.followed.borrow_and_update().clone();
        for upstream in upstreams {
            let own = |uri: &String| own_uri(scope, &upstream.id, uri).map(str::to_owned);
            let updated: Vec<String> = followed.iter().filter_map(own).collect();
            let transparent = matches!(scope, Scope::Upstream(_));
            if updated.is_empty() && !(self.own_session && transparent) {
                streams.of.remove(&upstream.id);
                continue;
            }
            let before = streams.of.get(&upstream.id);
            if before.is_some_and(|(wanted, _)| *wanted == updated) {
                continue;
            }
            let again = before.is_some();
            let wanted = Wanted { updated: updated.clone(), ..Wanted::default() };
            let conversation = Arc::clone(self.conversation);
            let stream = follow(Arc::clone(upstream), conversation, wanted, say.clone(), again);
            let stream = AbortOnDropHandle::new(tokio::spawn(stream));
            streams.of.insert(Arc::clone(&upstream.id), (updated, stream));
        }
    }

    async fn say_changed(&self, lists: Lists) -> bool {
        for (changed, method) in [
            (lists.tools, "notifications/tools/list_changed"),
            (lists.prompts, "notifications/prompts/list_changed"),
            (lists.resources, "notifications/resources/list_changed"),
        ] {
            if changed && self.to.send(self.notification(method, None)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Says what an upstream said. `false`: the client has left.
    async fn say(&self, scope: Scope<'_>, upstream: &str, announcement: Announcement) -> bool {
        match announcement {
            Announcement::Updated { uri } => {
                let shown = notified::shown_uri(scope, upstream, &uri);
                let followed = self.followed.borrow().contains(&shown);
                !followed || self.say_updated(&shown).await
            }
            Announcement::Resumed => {
                // Any of those that are followed may have changed.
                let followed = self.followed.borrow().clone();
                for uri in followed.iter().filter(|uri| own_uri(scope, upstream, uri).is_some()) {
                    if !self.say_updated(uri).await {
                        return false;
                    }
                }
                true
            }
            Announcement::Other { message } if self.tag.is_none() => self.to.send(message).await.is_ok(),
            // Lists are heard by all together.
            _ => true,
        }
    }

    async fn say_updated(&self, uri: &str) -> bool {
        let mut params = RawObject::default();
        params.set("uri", crate::wire::string(uri));
        let message = self.notification("notifications/resources/updated", Some(params));
        self.to.send(message).await.is_ok()
    }

    fn notification(&self, method: &str, params: Option<RawObject<'_>>) -> Bytes {
        let mut params = params.unwrap_or_default();
        if let Some(tag) = self.tag {
            params.set("_meta", tag.to_owned());
        }
        let mut out = br#"{"jsonrpc":"2.0","method":"#.to_vec();
        write_string(&mut out, method);
        out.extend_from_slice(br#","params":"#);
        params.write(&mut out);
        out.push(b'}');
        out.into()
    }
}

/// The streams of one client, by upstream, with the resources that are followed there.
#[derive(Default)]
struct Streams {
    of: HashMap<Arc<str>, (Vec<String>, AbortOnDropHandle<()>)>,
}

/// The upstream's own URI of a resource, if it is one of that upstream.
fn own_uri<'a>(scope: Scope<'_>, upstream: &str, uri: &'a str) -> Option<&'a str> {
    match scope {
        Scope::Upstream(_) => Some(uri),
        Scope::All | Scope::Toolset(_) => {
            let (id, own) = crate::names::upstream_of_uri(uri)?;
            (id == upstream).then_some(own)
        }
    }
}

/// Listens to one upstream for one client, again and again. `again`: this is not the first time.
async fn follow(
    upstream: Arc<RegisteredUpstream>,
    conversation: Arc<Conversation>,
    wanted: Wanted,
    say: mpsc::Sender<(Arc<str>, Announcement)>,
    mut again: bool,
) {
    let mut pause = PAUSE.0;
    loop {
        match upstream.target().listen(&conversation, wanted.clone()).await {
            Ok(mut stream) => {
                let missed = std::mem::replace(&mut again, true);
                let mut next = if missed { Some(Announcement::Resumed) } else { stream.recv().await };
                while let Some(announcement) = next {
                    pause = PAUSE.0;
                    upstream.heard(&announcement);
                    if say.send((Arc::clone(&upstream.id), announcement)).await.is_err() {
                        return;
                    }
                    next = stream.recv().await;
                }
            }
            Err(error) => tracing::debug!(upstream = &*upstream.id, %error, "nothing is heard of it"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_acknowledged_as_far_as_it_is_understood() {
        let read = |json: &str| Filter::read(&RawObject::parse(json).unwrap());
        let filter = read(
            r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["a://b"],"new":1}}"#,
        )
        .unwrap();
        assert_eq!(filter.shown(), r#"{"toolsListChanged":true,"resourceSubscriptions":["a://b"]}"#);
        for bad in ["{}", r#"{"notifications":1}"#, r#"{"notifications":{"resourceSubscriptions":"x"}}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
