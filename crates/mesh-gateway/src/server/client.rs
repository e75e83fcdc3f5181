//! Who is at the other end, as far as the protocol goes.

use super::Edge;
use crate::gateway::Gateway;
use crate::identity;
use crate::plan::Plan;
use crate::rejection::Rejection;
use crate::session::{self, Remembered, Session};
use crate::upstream::{ClientFacts, Conversation, Logs};
use crate::wire::header;
use crate::wire::meta::RequestMeta;
use mesh_core::Principal;
use std::sync::Arc;

/// A client of either generation.
pub(crate) enum Client {
    /// Describes itself in each request.
    Modern,
    /// Described itself in the handshake; `None` if it brings no session.
    Legacy(Option<Box<Opened>>),
}

/// A session that a request belongs to.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) principal: Principal,
    pub(crate) remembered: Arc<Remembered>,
    conversation: Arc<Conversation>,
    log_level: Option<Box<str>>,
}

impl Client {
    /// A client with a handshake. A session id that cannot be opened is an error, none is not.
    pub(super) fn legacy(gateway: &Gateway, plan: &Plan, edge: &Edge) -> Result<Self, Rejection> {
        let Some(id) = edge.headers.get(header::SESSION_ID) else { return Ok(Self::Legacy(None)) };
        let caller = identity::authenticate(&plan.settings, &edge.headers)?;
        let now = gateway.wiring.clock.now();
        let session = Session::open(id.as_bytes(), &gateway.seal, &caller.principal, now);
        let session = session.ok_or(Rejection::UnknownSession)?;
        let remembered = gateway.sessions.of(session.nonce).ok_or(Rejection::UnknownSession)?;
        let conversation = session.conversation();
        let log_level = remembered.log_level();
        Ok(Self::Legacy(Some(Box::new(Opened {
            principal: caller.principal,
            session,
            remembered,
            conversation,
            log_level,
        }))))
    }

    pub(crate) fn is_modern(&self) -> bool {
        matches!(self, Self::Modern)
    }

    pub(crate) fn session(&self) -> Option<&Opened> {
        match self {
            Self::Modern => None,
            Self::Legacy(opened) => opened.as_deref(),
        }
    }

    /// What a modern upstream is told about it.
    pub(super) fn facts<'a>(&'a self, meta: &'a RequestMeta<'_>) -> ClientFacts<'a> {
        match self {
            Self::Modern => ClientFacts {
                capabilities: meta.client_capabilities.as_deref(),
                info: meta.client_info.as_deref(),
                log_level: meta.log_level.as_deref(),
            },
            Self::Legacy(Some(opened)) => ClientFacts {
                capabilities: Some(&opened.session.capabilities),
                info: opened.session.info(),
                log_level: opened.log_level.as_deref(),
            },
            Self::Legacy(None) => ClientFacts::default(),
        }
    }

    /// The log messages it wants.
    pub(super) fn logs(&self, meta: &RequestMeta<'_>) -> Logs {
        match self {
            Self::Modern => meta.log_level.as_deref().and_then(Logs::from_level).unwrap_or(Logs::None),
            Self::Legacy(opened) => {
                let level = opened.as_ref().and_then(|opened| opened.log_level.as_deref());
                level.and_then(Logs::from_level).unwrap_or(Logs::All)
            }
        }
    }

    /// In whose name an upstream with sessions is asked.
    pub(super) fn conversation(&self, principal: &Principal, meta: &RequestMeta<'_>) -> Arc<Conversation> {
        match self {
            Self::Modern => session::shared_conversation(
                principal,
                meta.client_capabilities.as_deref().unwrap_or("{}"),
                meta.client_info.as_deref(),
            ),
            Self::Legacy(Some(opened)) => Arc::clone(&opened.conversation),
            Self::Legacy(None) => Conversation::plain(),
        }
    }
}

impl Opened {
    pub(crate) fn conversation(&self) -> &Arc<Conversation> {
        &self.conversation
    }
}
