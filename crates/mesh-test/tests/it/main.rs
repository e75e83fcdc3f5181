//! The binaries and servers of this crate, from the outside.

mod model;
mod relay;
mod servers;
mod worker;
