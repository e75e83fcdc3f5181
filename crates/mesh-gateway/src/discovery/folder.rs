//! A directory of files as a source: each `*.yaml` and `*.yml` in it is a set.

use super::look::Look;
use super::{Discovery, Found, Problem, UpstreamSet, Variables};
use async_trait::async_trait;
use mesh_config::LoadOptions;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Most files that are read; further ones are reported.
const MOST_FILES: usize = 1000;

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
            let mut files = files(&folder).unwrap_or_default();
            files.push(folder.clone());
            files
        });
        Self { path, variables, look }
    }
}

/// The files that count, by name.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if yaml && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(folder: &Path, taken: &BTreeMap<String, String>, variables: &Variables) -> Result<Found, Problem> {
    let name = folder.display().to_string();
    let mut files = files(folder).map_err(|error| Problem {
        source: name.clone(),
        message: format!("the directory of `gateway.watch` cannot be read: {error}"),
    })?;
    let mut found = Found::default();
    if files.len() > MOST_FILES {
        let message = format!("it has {} files, and only the first {MOST_FILES} are read", files.len());
        found.sets.push((name, Err(message)));
        files.truncate(MOST_FILES);
    }
    let env = |name: &str| variables(name);
    let mut taken = taken.clone();
    for file in files {
        let name = file.display().to_string();
        let set = mesh_config::load_fragment(&file, &taken, &LoadOptions::new(&env))
            .map(|fragment| UpstreamSet { upstreams: fragment.tools, toolsets: fragment.toolsets })
            .map_err(|report| report.to_string());
        if let Ok(set) = &set {
            taken.extend(set.names().map(|id| (id.clone(), name.clone())));
        }
        found.sets.push((name, set));
    }
    Ok(found)
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
