//! The mesh file as a source.

use super::look::Look;
use super::{Discovery, Found, Problem, UpstreamSet, Variables};
use async_trait::async_trait;
use mesh_config::{LoadOptions, Mesh};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The mesh file. Of what it says, only upstreams and toolsets are taken over while the gateway runs.
pub struct MeshFile {
    path: PathBuf,
    started: Box<Mesh>,
    insecure: bool,
    variables: Variables,
    look: Look,
}

impl MeshFile {
    /// The file that the process was started with, and what it said then.
    pub fn new(path: PathBuf, started: Mesh, insecure: bool, variables: Variables) -> Self {
        let file = path.clone();
        let look = Look::at(move || vec![file.clone()]);
        Self { path, started: Box::new(started), insecure, variables, look }
    }
}

#[async_trait]
impl Discovery for MeshFile {
    fn begins_with(&self) -> Vec<(String, UpstreamSet)> {
        let (upstreams, toolsets) = (self.started.tools.clone(), self.started.toolsets.clone());
        vec![(self.path.display().to_string(), UpstreamSet { upstreams, toolsets })]
    }

    async fn read(&self, _taken: &BTreeMap<String, String>) -> Result<Found, Problem> {
        self.look.note().await;
        let name = self.path.display().to_string();
        let (path, variables, insecure) = (self.path.clone(), self.variables.clone(), self.insecure);
        let loaded = tokio::task::spawn_blocking(move || {
            let env = |name: &str| variables(name);
            mesh_config::load(&path, &LoadOptions::new(&env).insecure(insecure))
        });
        match loaded.await {
            Err(error) => Err(Problem { source: name, message: format!("it cannot be read: {error}") }),
            Ok(Err(report)) => Ok(Found { sets: vec![(name, Err(report.to_string()))], restart: Vec::new() }),
            Ok(Ok(mesh)) => {
                let restart = self.started.needs_restart(&mesh);
                let set = UpstreamSet { upstreams: mesh.tools, toolsets: mesh.toolsets };
                Ok(Found { sets: vec![(name, Ok(set))], restart })
            }
        }
    }

    async fn changed(&self) {
        self.look.changed().await;
    }
}
