//! Agreeing on a revision with a server over HTTP.

use super::exchange::{Exchange, Reply};
use crate::upstream::outgoing::notification;
use crate::upstream::revision::{Verdict, initialize_params, initialized, judge};
use crate::upstream::{Outgoing, Revision, UpstreamError};
use crate::wire::object::RawObject;
use http::HeaderValue;

/// What was agreed, for every later request.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) revision: Revision,
    /// The session of a legacy server that has sessions.
    pub(super) id: Option<HeaderValue>,
}

/// `server/discover`; `initialize` where the answer is not modern.
pub(super) async fn open(exchange: &Exchange, id: u64) -> Result<Session, UpstreamError> {
    let modern = Session { revision: Revision::Modern, id: None };
    let request = Outgoing::own("server/discover", RawObject::default());
    let body = request.encode(id, &Revision::Modern);
    match exchange.probe(&modern, &request, id, body).await? {
        Some(Reply::Answer(answer)) => match judge(&answer) {
            Verdict::Modern => {
                tracing::info!(upstream = &*exchange.upstream, revision = modern.revision.version(), "up");
                return Ok(modern);
            }
            Verdict::Foreign(versions) => {
                return Err(UpstreamError::bad_answer(format!(
                    "it speaks only protocol versions {versions}"
                )));
            }
            Verdict::Legacy => {}
        },
        Some(Reply::Forgotten) | None => {}
    }
    initialize(exchange, id).await
}

async fn initialize(exchange: &Exchange, id: u64) -> Result<Session, UpstreamError> {
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{}}}"#, initialize_params());
    let (answer, session_id) = exchange.initialize(id, body.into_bytes()).await?;
    let session = Session { revision: initialized(&answer)?, id: session_id };
    exchange.notify(&session, notification("notifications/initialized", "")).await?;
    tracing::info!(upstream = &*exchange.upstream, revision = session.revision.version(), "up");
    Ok(session)
}
