//! The mesh file: YAML in, checked configuration out.
//!
//! * [`load`] and [`parse`] turn `mesh.yaml` into a [`Mesh`], or into a [`Report`] of **all** that is wrong
//!   with it, each with its line, column, and the nearest valid name. [`check()`] gives warnings as well.
//! * [`load_folder`] reads the files of the watched directory, each of them a [`Fragment`] of a mesh file.
//! * [`schema()`] describes the same file for editors. Field names, defaults and descriptions are written once
//!   (`section!`); decoder, suggestions, rendering and schema come from that one list.
//! * Serializing a [`Mesh`] gives a mesh file again, with [`Secret`] values hidden (and `$` written as `$$`).
//!
//! This crate never reads the process environment: what `${VAR}` means is passed in by the caller.

mod check;
mod context;
mod diagnostic;
mod expand;
mod folder;
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
pub use folder::{MAX_FOLDER_FILES, folder_files, load_folder};
pub use load::{Checked, LoadOptions, MAX_FILE_BYTES, check, load, load_fragment, parse, parse_fragment};
pub use model::{
    Access, Admin, Agent, Argument, Auth, Card, Choice, Durability, Endpoint, ExtendedCard, Extension, Fill,
    Fragment, Gateway, Glob, Launch, Level, Limits, LogFormat, Mesh, Model, OnWorkerLoss, Provider, Push,
    Reload, Retention, Selection, Shadow, Signing, Skill, Split, SplitBy, Storage, Tasks, Telemetry,
    ToolPattern, ToolRef, ToolRule, Toolset, Upstream, Worker,
};
pub use schema::schema;
pub use secret::Secret;
