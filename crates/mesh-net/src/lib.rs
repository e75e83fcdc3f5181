//! The HTTP listener that every part serves on: HTTP/1.1 and HTTP/2 on one port, no Nagle delay, a bound on open
//! connections, a time limit on request headers, and a drain that ends.
//!
//! At the bound the listener stops accepting: what is beyond it waits in the operating system's backlog, and costs this
//! process nothing.
//!
//! And the other way round: which addresses may be called on a client's word ([`Allowed`]).

mod reach;
mod serve;
mod version;

pub use reach::{Allowed, Checked, is_public};
pub use serve::{BindError, ConnectionGauge, Limits, bind, serve};
