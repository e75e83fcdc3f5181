//! Running a mesh in this process: every part wired to the others, started, watched and ended.
//!
//! [`store`] opens what is kept, [`listen`] opens every port before anything starts, [`mesh`] is the parts together.

mod files;
mod listen;
mod mesh;
mod shelf;
mod store;

pub(crate) use files::raise_limit;
pub(crate) use mesh::RunningMesh;
pub(crate) use store::{LOG_FILE, jetstream_options};
