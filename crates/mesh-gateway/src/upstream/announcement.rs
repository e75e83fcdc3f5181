//! What a server says without being asked.

use bytes::Bytes;

/// What a listener wants to hear. A server with sessions says what it likes; the rest is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
    /// Resources whose changes are wanted, by the upstream's own URIs.
    pub(crate) updated: Vec<String>,
}

impl Wanted {
    /// The changes of all lists.
    pub(crate) fn lists() -> Self {
        Self { tools: true, prompts: true, resources: true, updated: Vec::new() }
    }
}

/// One thing that was said.
#[derive(Clone, Debug)]
pub(crate) enum Announcement {
    /// Nothing was heard for a while, or the server was started again: every list may have changed.
    Resumed,
    /// `notifications/tools/list_changed`
    Tools,
    /// `notifications/prompts/list_changed`
    Prompts,
    /// `notifications/resources/list_changed`
    Resources,
    /// `notifications/resources/updated`: the URI, and the raw notification.
    Updated { uri: String, message: Bytes },
    /// Any other notification, raw: `notifications/message`, `notifications/tasks/status` and what is yet to come.
    Other { method: String, message: Bytes },
}
