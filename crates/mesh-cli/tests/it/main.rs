//! Runs of the real binary, against servers that follow a script.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod agents;
mod card;
mod command_line;
mod config;
mod gateway;
mod send;
mod stores;
mod support;
mod tap;
mod tools;
mod worker_check;
