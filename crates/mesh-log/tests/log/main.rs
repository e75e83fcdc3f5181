//! Every provider against the contract, and the SQLite provider against crashes, full disks and damage.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, also outside of test functions")]

mod build;
mod contract;
mod crash;
mod jetstream;
mod model;
mod sqlite;
