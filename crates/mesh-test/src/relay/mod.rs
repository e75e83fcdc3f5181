//! A proxy for HTTP/1.1 that can be broken: between a client and its servers, one after the other in turn.
//!
//! It looks for the ends of requests (`content-length`, as every client of a bench or test sends it) and at nothing else.
//! What is broken, and how, is said by [`Relay::set`], or over a control port that takes the name of a [`Mode`] in a line.

mod connection;
mod control;
mod mode;
mod request;
mod server;

pub use control::serve_control;
pub use mode::Mode;
pub use server::{Relay, RelayHandle};
