//! Running a mesh in this process: every part wired to the others, started, watched and ended.
//!
//! [`signals`] are what the operating system tells it. [`store`] opens what is kept, [`listen`] opens every port before anything starts, [`mesh`] is the parts together.

mod files;
mod listen;
mod mesh;
mod shelf;
mod signals;
mod store;

pub(crate) use files::raise_limit;
pub(crate) use mesh::{Parts, RunningMesh, Start};
pub(crate) use signals::Signals;
pub(crate) use store::{LOG_FILE, jetstream_options};
