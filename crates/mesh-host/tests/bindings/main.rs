//! The bindings of a running host, asked in process: one scripted agent, its log in memory.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "helpers of tests, which the exception for tests does not cover"
)]

mod card;
mod compression;
mod extensions;
mod grpc;
mod rest;
mod support;
mod v03;
