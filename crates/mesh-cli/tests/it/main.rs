//! Runs of the real binary, against servers that follow a script.

mod agents;
mod command_line;
mod config;
mod send;
mod support;
mod tap;
mod tools;
mod worker_check;
