//! The mesh file: YAML in, checked configuration out.
//!
//! * [`load`] and [`parse`] turn `mesh.yaml` into a [`Mesh`], or into a [`Report`] of **all** that is wrong
//!   with it, each with its line, column, and the nearest valid name. [`check()`] gives warnings as well.
//! * [`schema()`] describes the same file for editors. Field names, defaults and descriptions are written once
//!   (`section!`); decoder, suggestions, rendering and schema come from that one list.
//! * Serializing a [`Mesh`] gives a mesh file again, with [`Secret`] values hidden (and `$` written as `$$`).
//!
//! This crate never reads the process environment: what `${VAR}` means is passed in by the caller.

mod check;
mod context;
mod diagnostic;
mod expand;
mod kinds;
mod load;
mod model;
mod render;
mod schema;
mod secret;
mod section;
mod source;
mod suggest;
mod tree;

pub use diagnostic::{Diagnostic, Position, Report, Severity};
pub use load::{Checked, LoadOptions, MAX_FILE_BYTES, check, load, parse};
pub use model::{
    Access, Admin, Agent, Auth, Card, Directory, Durability, Endpoint, ExtendedCard, Extension, Gateway,
    Launch, Level, Limits, LogFormat, Mesh, Model, OnWorkerLoss, OutsideAgent, Provider, Push, Retention,
    Signing, Skill, Storage, Tasks, Telemetry, ToolPattern, Upstream, Worker,
};
pub use schema::schema;
pub use secret::Secret;
