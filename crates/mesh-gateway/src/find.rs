//! Finding the right tool: a need in words gives ranked tools, with scores and reasons.
//!
//! - `words`, `index`: full-text ranking over documents with fields.
//! - `catalogue`: the tools of all upstreams as such documents, indexed again when a list changes.
//! - `http`: `GET /tools`.

mod catalogue;
mod http;
mod index;
mod words;

pub(crate) use catalogue::Finder;
pub(crate) use http::routes;
pub(crate) use index::{Document, Field, Index};
