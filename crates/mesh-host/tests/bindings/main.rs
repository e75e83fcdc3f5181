//! The bindings of a running host, asked in process: one scripted agent, its log in memory.
#![allow(missing_docs)]

mod rest;
mod support;
