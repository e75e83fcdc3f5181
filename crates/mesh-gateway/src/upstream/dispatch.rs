//! What happens between a call and a target of its upstream.

use super::{Answered, Outgoing, RegisteredUpstream, UpstreamError};
use mesh_core::Principal;
use tokio::time::Instant;

/// The terms of one call, besides what is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    /// For whom.
    pub(crate) principal: &'a Principal,
    /// The definition of the tool, raw, if it is one and known: its annotations say what is safe.
    pub(crate) definition: Option<&'a str>,
    /// Until when there must be an answer. The caller ends the call then; this is for choosing what can still be tried.
    pub(crate) deadline: Instant,
    /// Whether an answer that was kept may be given.
    pub(crate) fresh: bool,
}

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// Too many wait already.
    Busy,
    /// The upstream has none.
    Upstream(UpstreamError),
}

impl RegisteredUpstream {
    /// Makes a call: waits for a turn, picks a target, asks it. `sent` is called when the request goes out.
    pub(crate) async fn call(
        &self,
        outgoing: Outgoing<'_>,
        _terms: &Terms<'_>,
        sent: impl FnOnce() + Send,
    ) -> Result<Answered, CallError> {
        let _permit = self.bulkhead.enter().await.map_err(|_| CallError::Busy)?;
        sent();
        self.target().request(outgoing).await.map_err(CallError::Upstream)
    }
}
