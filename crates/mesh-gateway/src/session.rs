//! Sessions of clients with a handshake: kept by the client, sealed by us.
//!
//! `Mcp-Session-Id` is a sealed text that says what the handshake agreed on. Any replica with the same key can open it, so none has to
//! remember the session to serve it. What a replica remembers besides ([`Memory`]) makes a session more comfortable, not possible.

mod memory;
mod seal;

pub(crate) use memory::{Memory, Remembered, SUBSCRIPTIONS};
pub(crate) use seal::{Purpose, Seal};

use crate::upstream::{Conversation, Pinned, Revision};
use crate::wire::object::RawObject;
use mesh_core::{Principal, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Longest capabilities of a client that are kept as they are; of longer ones only the names.
const CAPABILITIES: usize = 1024;
/// Longest `clientInfo` that is kept.
const INFO: usize = 512;

/// What a session id says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Random: which session it is.
    #[serde(rename = "n")]
    pub(crate) nonce: u128,
    /// The revision that was agreed on.
    #[serde(rename = "v")]
    revision: String,
    /// The client's capabilities, raw.
    #[serde(rename = "c")]
    pub(crate) capabilities: String,
    /// The client's `Implementation`, raw.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    info: Option<String>,
    /// Whose it is: a digest of tenant and principal.
    #[serde(rename = "p")]
    principal: u64,
    /// When it ends, in seconds since 1970.
    #[serde(rename = "e")]
    expires: i64,
    /// The upstream's session, where the client's is with one upstream: target, id, revision.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pinned: Option<(String, String, String)>,
}

impl Session {
    /// A new session, from the parameters of `initialize`.
    pub(crate) fn begin(
        params: &RawObject<'_>,
        revision: &str,
        principal: &Principal,
        expires: Timestamp,
    ) -> Self {
        Self {
            nonce: uuid::Uuid::new_v4().as_u128(),
            revision: revision.to_owned(),
            capabilities: short_capabilities(params.get("capabilities").unwrap_or("{}")),
            info: params
                .get("clientInfo")
                .filter(|info| info.len() <= INFO && info.starts_with('{'))
                .map(str::to_owned),
            principal: digest(principal),
            expires: expires.millis() / 1000,
            pinned: None,
        }
    }

    /// Binds it to a session of the upstream that it is with.
    pub(crate) fn pin(&mut self, pinned: &Pinned) {
        let Pinned { target, session, revision } = pinned;
        self.pinned = Some((target.to_string(), session.to_string(), revision.version().to_owned()));
    }

    /// The text that the client brings with each request.
    pub(crate) fn seal(&self, seal: &Seal) -> String {
        // A struct of strings and numbers is always JSON.
        seal.close(Purpose::Session, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a session id; `None` for one that is not ours, not the principal's, or over.
    pub(crate) fn open(text: &[u8], seal: &Seal, principal: &Principal, now: Timestamp) -> Option<Self> {
        let session: Self = serde_json::from_slice(&seal.open(Purpose::Session, text)?).ok()?;
        let good = session.principal == digest(principal) && session.expires > now.millis() / 1000;
        good.then_some(session)
    }

    /// Whether the client said that it answers requests of a server.
    pub(crate) fn can_be_asked(&self) -> bool {
        can_be_asked(&self.capabilities)
    }

    pub(crate) fn info(&self) -> Option<&str> {
        self.info.as_deref()
    }

    /// In whose name its requests are made.
    pub(crate) fn conversation(&self) -> Arc<Conversation> {
        let pinned = self.pinned.as_ref().map(|(target, session, revision)| Pinned {
            target: target.as_str().into(),
            session: session.as_str().into(),
            revision: Revision::Legacy(revision.clone()),
        });
        Arc::new(Conversation {
            key: key(b"session", &self.nonce.to_be_bytes()),
            capabilities: self.capabilities.as_str().into(),
            info: self.info.as_deref().map(Into::into),
            shared: false,
            pinned,
        })
    }
}

/// In whose name a client without sessions speaks to an upstream that has some: sessions are shared by requests of one principal
/// with the same capabilities.
pub(crate) fn shared_conversation(
    principal: &Principal,
    capabilities: &str,
    info: Option<&str>,
) -> Arc<Conversation> {
    if !can_be_asked(capabilities) {
        return Conversation::plain();
    }
    let whose = digest(principal).to_be_bytes();
    Arc::new(Conversation {
        key: key(b"shared", &[&whose, capabilities.as_bytes()].concat()),
        capabilities: capabilities.into(),
        info: info.map(Into::into),
        shared: true,
        pinned: None,
    })
}

/// Whether capabilities, raw, have one for which a server may ask something.
pub(crate) fn can_be_asked(capabilities: &str) -> bool {
    capabilities.len() > 2
        && ["\"sampling\"", "\"elicitation\"", "\"roots\""].iter().any(|name| capabilities.contains(name))
}

fn key(kind: &[u8], of: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(kind).chain_update([0]).chain_update(of).finalize().into()
}

pub(crate) fn digest(principal: &Principal) -> u64 {
    let mut hash = Sha256::new();
    for part in [principal.tenant.as_str(), principal.id.as_str()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    if let Some(whom) = &principal.on_behalf_of {
        hash.update(whom.as_str());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}

/// Capabilities as they are kept: as they are, or where they are long, their names with empty values.
fn short_capabilities(raw: &str) -> String {
    if raw.len() <= CAPABILITIES && raw.starts_with('{') {
        return raw.to_owned();
    }
    let Ok(object) = RawObject::parse_lenient(raw) else { return "{}".to_owned() };
    let known = ["roots", "sampling", "elicitation"].into_iter().filter(|name| object.get(name).is_some());
    let named: Vec<_> = known.map(|name| format!("\"{name}\":{{}}")).collect();
    format!("{{{}}}", named.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: i64 = 4_000_000_000_000;

    fn begin(params: &str, principal: &Principal) -> Session {
        let params = RawObject::parse(params).unwrap();
        Session::begin(&params, "2025-06-18", principal, Timestamp(LATER))
    }

    #[test]
    fn a_session_is_opened_with_the_same_key_by_its_principal_until_it_ends() {
        let (own, other) = (Principal::local(), Principal::person("default", "eve"));
        let mut session = begin(r#"{"capabilities":{"sampling":{}},"clientInfo":{"name":"x"}}"#, &own);
        let pinned = Pinned {
            target: "http://a".into(),
            session: "s-1".into(),
            revision: Revision::Legacy("2025-03-26".into()),
        };
        session.pin(&pinned);
        let seal = Seal::new(Some(b"secret"));
        let text = session.seal(&seal);
        let at = |millis| Timestamp(millis);
        let open = |text: &str, seal: &Seal, principal, now| {
            Session::open(text.as_bytes(), seal, principal, at(now))
        };
        let replica = Seal::new(Some(b"secret"));
        assert_eq!(open(&text, &replica, &own, 0), Some(session.clone()));
        assert_eq!(open(&text, &replica, &other, 0), None);
        assert_eq!(open(&text, &replica, &own, LATER), None);
        assert_eq!(open(&text, &Seal::new(Some(b"other")), &own, 0), None);
        assert_eq!(session.conversation().pinned.as_ref(), Some(&pinned));
        assert!(text.bytes().all(|b| (0x21..0x7f).contains(&b)), "visible characters only");
    }

    #[test]
    fn long_capabilities_keep_their_names() {
        let long = format!(r#"{{"capabilities":{{"roots":{{"x":"{}"}},"other":{{}}}}}}"#, "y".repeat(2000));
        assert_eq!(begin(&long, &Principal::local()).capabilities, r#"{"roots":{}}"#);
    }

    #[test]
    fn conversations_differ_where_sessions_must() {
        let (own, eve) = (Principal::local(), Principal::person("default", "eve"));
        let asks = r#"{"elicitation":{}}"#;
        assert!(Arc::ptr_eq(&shared_conversation(&own, "{}", None), &Conversation::plain()));
        assert_eq!(shared_conversation(&own, asks, None).key, shared_conversation(&own, asks, None).key);
        assert_ne!(shared_conversation(&own, asks, None).key, shared_conversation(&eve, asks, None).key);
        assert_ne!(begin("{}", &own).conversation().key, begin("{}", &own).conversation().key);
    }
}
