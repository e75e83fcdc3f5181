//! The agent card (A2A 1.0, section 4.4).
//!
//! - `build`: what the configuration says, completed by what the worker declares.
//! - `published`: the card as it is served: signed, in the forms for each version, and the extended one.

mod build;
mod published;

pub(crate) use build::declared_extensions;
#[cfg(feature = "fuzzing")]
pub use build::fuzz;
pub use build::{CONTEXT_EXTENSION, EVENT_LOG_EXTENSION, PUSH_STATE_EXTENSION};
pub use published::CardKeyError;
pub(crate) use published::{Document, Published, Publisher};
