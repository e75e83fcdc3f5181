//! A directory of files as a source: each `*.yaml` and `*.yml` in it is a set.

use super::look::Look;
use super::{Discovery, Found, Problem, UpstreamSet, Variables};
use async_trait::async_trait;
use mesh_config::{Fragment, LoadOptions, Report};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A watched directory. Files are taken in the order of their names; a name that two files use belongs to the first.
pub struct WatchedFolder {
    path: PathBuf,
    variables: Variables,
    look: Look,
}

impl WatchedFolder {
    /// The directory at `path`. It need not exist yet.
    pub fn new(path: PathBuf, variables: Variables) -> Self {
        let folder = path.clone();
        // The directory itself, too: a file that is added changes it.
        let look = Look::at(move || {
            let mut files = mesh_config::folder_files(&folder).unwrap_or_default();
            files.push(folder.clone());
            files
        });
        Self { path, variables, look }
    }
}

fn read(folder: &Path, taken: &BTreeMap<String, String>, variables: &Variables) -> Result<Found, Problem> {
    let env = |name: &str| variables(name);
    let loaded = mesh_config::load_folder(folder, taken, &LoadOptions::new(&env));
    let loaded = loaded.map_err(|error| Problem {
        source: folder.display().to_string(),
        message: format!("the directory of `gateway.watch` cannot be read: {error}"),
    })?;
    let set = |(file, fragment): (PathBuf, Result<Fragment, Report>)| {
        let set = fragment
            .map(|fragment| UpstreamSet { upstreams: fragment.tools, toolsets: fragment.toolsets })
            .map_err(|report| report.to_string());
        (file.display().to_string(), set)
    };
    Ok(Found { sets: loaded.into_iter().map(set).collect(), restart: Vec::new() })
}

#[async_trait]
impl Discovery for WatchedFolder {
    async fn read(&self, taken: &BTreeMap<String, String>) -> Result<Found, Problem> {
        self.look.note().await;
        let (path, taken, variables) = (self.path.clone(), taken.clone(), self.variables.clone());
        let read = tokio::task::spawn_blocking(move || read(&path, &taken, &variables)).await;
        read.unwrap_or_else(|error| {
            let source = self.path.display().to_string();
            Err(Problem { source, message: format!("it cannot be read: {error}") })
        })
    }

    async fn changed(&self) {
        self.look.changed().await;
    }
}
