//! What the gateway says about itself: `server/discover` and `initialize`.
//!
//! On the route of one upstream it says what the upstream says, but for what it cannot pass on. Where several appear as one, it has
//! every capability that one of them has.

use super::{Asked, Outcome};
use crate::identity::Caller;
use crate::plan::Scope;
use crate::rejection::Rejection;
use crate::session::Session;
use crate::upstream::{Conversation, Logs, Opened, RegisteredUpstream};
use crate::wire::meta::SERVER_INFO;
use crate::wire::object::{RawObject, as_str};
use crate::wire::{IMPLEMENTATION, LEGACY_VERSIONS, MODERN_VERSION, string};
use bytes::Bytes;
use futures_util::future::join_all;
use mesh_core::Timestamp;
use std::sync::Arc;

/// How long clients may keep what `server/discover` says.
const DISCOVER_TTL_MS: u32 = 60_000;

/// `server/discover`.
pub(super) async fn discover(asked: &Asked<'_>, caller: &Caller, scope: Scope<'_>) -> Outcome {
    let versions = std::iter::once(MODERN_VERSION).chain(LEGACY_VERSIONS).collect::<Vec<_>>().join("\",\"");
    let own = Conversation::own();
    let description = describe(asked, caller, scope, &own).await;
    let instructions = description.instructions();
    let text = format!(
        concat!(
            r#"{{"resultType":"complete","supportedVersions":["{}"],"capabilities":{}{},"#,
            r#""ttlMs":{},"cacheScope":"private","_meta":{{"{}":{}}}}}"#
        ),
        versions,
        description.capabilities(true),
        instructions,
        DISCOVER_TTL_MS,
        SERVER_INFO,
        description.server_info(),
    );
    Outcome::Result(Bytes::from(text).into())
}

/// `initialize`: the client's revision if we speak it, else our newest with a handshake. The session that begins is kept by the client.
pub(super) async fn initialize(
    asked: &Asked<'_>,
    caller: &Caller,
    scope: Scope<'_>,
    params: &RawObject<'_>,
) -> Result<Outcome, Rejection> {
    let wanted = params
        .get("protocolVersion")
        .and_then(as_str)
        .ok_or_else(|| Rejection::InvalidParams("`params.protocolVersion` must be a string".to_owned()))?;
    let version = LEGACY_VERSIONS.into_iter().find(|known| *known == wanted).unwrap_or(LEGACY_VERSIONS[0]);
    let now = asked.gateway.wiring.clock.now();
    let ttl = i64::try_from(asked.plan.settings.session_ttl.as_millis()).unwrap_or(i64::MAX);
    let expires = Timestamp(now.millis().saturating_add(ttl));
    let mut session = Session::begin(params, version, &caller.principal, expires);
    let conversation = session.conversation();
    let description = describe(asked, caller, scope, &conversation).await;
    if let Description { one: Some(Opened { session: Some(pinned), .. }), .. } = &description {
        session.pin(pinned);
    }
    let result = format!(
        r#"{{"protocolVersion":"{version}","capabilities":{},"serverInfo":{}{}}}"#,
        description.capabilities(false),
        description.server_info(),
        description.instructions(),
    );
    Ok(Outcome::Welcome { result: result.into(), session: session.seal(&asked.gateway.seal) })
}

/// What is behind a route.
#[derive(Default)]
struct Description {
    /// The one upstream, if it is one and could be asked.
    one: Option<Opened>,
    /// All capabilities of several: name, and raw value.
    several: Vec<(String, String)>,
}

async fn describe(
    asked: &Asked<'_>,
    caller: &Caller,
    scope: Scope<'_>,
    conversation: &Arc<Conversation>,
) -> Description {
    let within = asked.plan.settings.list_timeout;
    let open = async |upstream: &RegisteredUpstream, conversation: &Arc<Conversation>| {
        let opened = tokio::time::timeout(within, upstream.target().open(conversation)).await;
        match opened {
            Ok(Ok(opened)) => Some(opened),
            Ok(Err(error)) => {
                tracing::debug!(upstream = &*upstream.id, %error, "it does not say what it can do");
                None
            }
            Err(_) => None,
        }
    };
    match scope {
        Scope::Upstream(upstream) => match open(upstream, conversation).await {
            Some(one) => Description { one: Some(one), several: Vec::new() },
            None => Description { one: None, several: vec![("tools".to_owned(), "{}".to_owned())] },
        },
        Scope::Toolset(_) => Description { one: None, several: vec![changing("tools")] },
        Scope::All => {
            let upstreams: Vec<_> = asked.plan.upstreams(&caller.principal.tenant).collect();
            let own = Conversation::own();
            let opened = join_all(upstreams.iter().map(|upstream| open(upstream, &own))).await;
            let mut several = vec![changing("tools")];
            let has = |name: &str| {
                opened.iter().flatten().any(|opened| {
                    RawObject::parse_lenient(&opened.capabilities).is_ok_and(|all| all.get(name).is_some())
                })
            };
            if has("prompts") {
                several.push(changing("prompts"));
            }
            if has("resources") {
                several.push(("resources".to_owned(), r#"{"subscribe":true,"listChanged":true}"#.to_owned()));
            }
            for name in ["logging", "completions"] {
                if has(name) {
                    several.push((name.to_owned(), "{}".to_owned()));
                }
            }
            Description { one: None, several }
        }
    }
}

fn changing(name: &str) -> (String, String) {
    (name.to_owned(), r#"{"listChanged":true}"#.to_owned())
}

impl Description {
    /// As an object.
    fn capabilities(&self, modern: bool) -> String {
        if let Some(one) = &self.one {
            return bridged(&one.capabilities, one.revision.is_modern(), modern);
        }
        let members = self.several.iter().filter(|(name, _)| !(modern && name == "logging"));
        let members: Vec<_> = members.map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }

    fn part(&self, name: &str) -> Option<String> {
        let text = std::str::from_utf8(&self.one.as_ref()?.answer).ok()?;
        let answer = RawObject::parse_lenient(text).ok()?;
        answer.get(name).map(str::to_owned)
    }

    /// The `Implementation`: the upstream's own on its own route.
    fn server_info(&self) -> String {
        let told = self.part("serverInfo").or_else(|| {
            let meta = self.part("_meta")?;
            RawObject::parse_lenient(&meta).ok()?.get(SERVER_INFO).map(str::to_owned)
        });
        told.unwrap_or_else(|| IMPLEMENTATION.to_owned())
    }

    /// `,"instructions":…`, or nothing.
    fn instructions(&self) -> String {
        match self.part("instructions") {
            Some(instructions) => format!(r#","instructions":{instructions}"#),
            None => String::new(),
        }
    }
}

/// An upstream's capabilities for a client of a generation. Resources can be followed by either, and a modern server sends log messages to
/// whoever asks for a level, which a client with a handshake does by a method that it must be told of.
fn bridged(raw: &str, from_modern: bool, to_modern: bool) -> String {
    let Ok(mut capabilities) = RawObject::parse_lenient(raw) else { return "{}".to_owned() };
    if from_modern && !to_modern {
        capabilities.set("logging", "{}");
    }
    capabilities.to_text()
}

/// `text` as the level of `logging/setLevel`, if it is one.
pub(super) fn log_level(text: &str) -> Option<String> {
    Logs::from_level(text).map(|_| string(text))
}
