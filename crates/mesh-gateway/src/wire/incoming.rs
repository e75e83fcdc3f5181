//! A message of a server, decoded no further than needed.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The members of a message; each value is the text it arrived in.
#[derive(Debug, Deserialize)]
pub(crate) struct Incoming<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) params: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

impl Incoming<'_> {
    /// Whether it has the id of one of our requests.
    pub(crate) fn answers(&self, id: u64) -> bool {
        self.id.is_some_and(|theirs| theirs.get().parse() == Ok(id))
    }
}

#[derive(Deserialize)]
struct Cancelled<'a> {
    #[serde(borrow, rename = "requestId")]
    request_id: &'a RawValue,
}

/// Which request `notifications/cancelled` is about, raw.
pub(crate) fn cancelled_id(params: Option<&RawValue>) -> Option<&str> {
    serde_json::from_str::<Cancelled<'_>>(params?.get()).ok().map(|cancelled| cancelled.request_id.get())
}
