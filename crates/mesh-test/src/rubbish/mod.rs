//! Malformed requests by seed, and the judge of their answers.
//!
//! The same seed makes the same requests. Each is sent on its own connection as the bytes that [`Case::wire`] holds, so
//! that everything from a strange JSON value to a broken chunk size can be tried. What is demanded:
//!
//! - no answer has a status of 500 or more, and none is missing: a connection may be closed without an answer only
//!   where HTTP itself is broken;
//! - a JSON-RPC endpoint that is sent JSON answers with a JSON-RPC response, and with an error where the request is
//!   wrong whatever the server thinks of it;
//! - after everything, the server still answers.

mod cases;
mod exchange;
mod http;
mod judge;
mod mutate;
mod requests;
mod run;

pub use cases::{Case, Cases, Demand, Kind, Site};
pub use exchange::{Answer, exchange};
pub use judge::judge;
pub use run::{Report, Violation, run};
