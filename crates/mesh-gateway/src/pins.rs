//! What a tool's definition was when it was seen: a fingerprint of what a model reads, and text in it that people do not see.

mod fingerprint;
mod hidden;

pub(crate) use fingerprint::Fingerprint;
pub(crate) use hidden::hidden_text;
