//! A client of A2A 1.0 over JSON-RPC, for any server that speaks it.
//!
//! A tolerant reader: events and tasks stay JSON values, looked at through [`Event`] and [`view`]; what a server
//! leaves out or adds is no error, and `-o json` shows what was received.

mod artifacts;
mod card;
mod client;
mod event;
mod follow;
pub(crate) mod view;

pub(crate) use artifacts::Artifacts;
pub(crate) use card::Card;
pub(crate) use client::{Client, Error, Send, Stream};
pub(crate) use event::{Event, Kind};
pub(crate) use follow::Follower;
