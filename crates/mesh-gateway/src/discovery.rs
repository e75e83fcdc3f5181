//! Where upstreams and toolsets come from, and how what several sources say becomes one configuration.
//!
//! - [`Discovery`]: a source. It gives sets by name, each whole or broken, and tells when it may say something else.
//! - [`MeshFile`], [`WatchedFolder`]: the sources of a machine. A cluster's resources are another.
//! - `join`: what several sources say, as one; pure.
//! - [`Reloader`]: asks the sources, and makes the gateway follow them.

mod folder;
mod join;
mod look;
mod mesh_file;
mod metrics;
mod reloader;

pub use folder::WatchedFolder;
pub use mesh_file::MeshFile;
pub(crate) use metrics::ReloadMetrics;
pub use reloader::{ReloadHandle, Reloader};

use async_trait::async_trait;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What `${NAME}` means in files that are read while the gateway runs.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Upstreams and toolsets that belong together: those of a file, say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpstreamSet {
    /// MCP servers by id.
    pub upstreams: BTreeMap<String, mesh_config::Upstream>,
    /// Toolsets by id.
    pub toolsets: BTreeMap<String, mesh_config::Toolset>,
}

impl UpstreamSet {
    /// All ids in it: upstreams and toolsets share one namespace.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.upstreams.keys().chain(self.toolsets.keys())
    }
}

/// What a source says at one moment.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Its sets by name, in the order of their precedence. For a broken one: what is wrong with it.
    pub sets: Vec<(String, Result<UpstreamSet, String>)>,
    /// Sections that changed and are only taken over by a restart.
    pub restart: Vec<String>,
}

/// Something that is wrong, and does not keep the rest from being taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or what else the source calls its set.
    pub source: String,
    /// What is wrong. May have several lines.
    pub message: String,
}

/// A source of upstreams and toolsets.
///
/// Contract: `read` says all that there is now. A set that is no longer given is gone; one that is broken is given as an error, and its
/// last good version stays in force; when nothing can be said at all, the error keeps everything of this source as it was. `taken` has the
/// names that sources before this one use, each with its set: a source may say where in its text such a name stands, but need not; it is
/// found out in any case. `changed` returns when `read` may say something else than the last time, or never.
#[async_trait]
pub trait Discovery: Send + Sync + 'static {
    /// What is in force before it is read for the first time, by name.
    fn begins_with(&self) -> Vec<(String, UpstreamSet)> {
        Vec::new()
    }

    /// What it says now.
    async fn read(&self, taken: &BTreeMap<String, String>) -> Result<Found, Problem>;

    /// Waits until that may be something else. May be dropped and called again at any time.
    async fn changed(&self);
}

/// What came of following the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadOutcome {
    /// Something was taken over.
    Changed,
    /// There was nothing to take over.
    #[default]
    Unchanged,
    /// What the sources say cannot be set up; everything stays as it was.
    Failed,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reloaded {
    /// What came of it.
    pub outcome: ReloadOutcome,
    /// Upstreams that went on as they were.
    pub kept: usize,
    /// Upstreams that are new.
    pub added: Vec<String>,
    /// Upstreams that were started anew because their configuration changed.
    pub replaced: Vec<String>,
    /// Upstreams that are gone.
    pub removed: Vec<String>,
    /// New upstreams that have not listed their tools yet.
    pub unavailable: Vec<String>,
    /// What changed in the mesh file and needs a restart.
    pub needs_restart: Vec<String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}
