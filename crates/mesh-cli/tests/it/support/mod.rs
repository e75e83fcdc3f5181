//! What the tests share.

mod run;
mod server;

pub(crate) use run::{Run, agentmesh};
pub(crate) use server::{Call, Frame, Reply, Server, error, event, frames, result, status, task, text_chunk};
