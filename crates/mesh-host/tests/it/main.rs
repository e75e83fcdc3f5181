//! A host with real worker processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod card;
mod context;
mod faults;
mod gateway;
mod push;
mod restart;
mod several;
mod streams;
mod support;
mod tasks;
mod workers;
