//! What a mesh keeps: the event log and the audit trail, in one directory, or nowhere.

use crate::exit::{ExitStatus, Failure};
use mesh_config::Mesh;
use mesh_log::{EventLog, JetStreamLog, JetStreamOptions, LogError, MemoryLog, SqliteLog, SqliteOptions};
use mesh_policy::{AuditError, AuditRecord, AuditSink, AuditSlot, JsonlAudit, JsonlSettings};
use std::path::Path;
use std::sync::Arc;

/// File of the event log inside the storage directory.
pub(crate) const LOG_FILE: &str = "events.db";

/// The open stores.
pub(crate) struct Store {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) audit: Arc<dyn AuditSink>,
    /// The file behind the audit, to be closed at the end.
    file: Option<Arc<JsonlAudit>>,
}

impl Store {
    /// Opens the stores of a mesh; `ephemeral` keeps everything in memory.
    pub(crate) async fn open(mesh: &Mesh, ephemeral: bool) -> Result<Self, Failure> {
        if ephemeral {
            let audit: Arc<dyn AuditSink> = Arc::new(LoggedAudit);
            return Ok(Self { log: Arc::new(MemoryLog::new()), audit, file: None });
        }
        let directory = &mesh.storage.path;
        make_private(directory).map_err(|error| {
            Failure::failed(format!("the storage directory {} cannot be made: {error}", directory.display()))
                .hint("set `storage:` in the mesh file to a directory that this user may write to, or use --ephemeral")
        })?;
        let log =
            open_log(mesh).await.map_err(|error| Failure::new(ExitStatus::Failed, error.to_string()))?;
        let audit = JsonlAudit::open(&JsonlSettings::new(&mesh.gateway.audit))
            .map_err(|error| Failure::failed(chain(&error)))?;
        let file = Arc::new(audit);
        Ok(Self { log, audit: Arc::clone(&file) as Arc<dyn AuditSink>, file: Some(file) })
    }

    /// Writes what is left and closes.
    pub(crate) async fn close(&self) {
        self.log.close().await;
        if let Some(file) = &self.file
            && let Err(error) = file.close().await
        {
            tracing::error!(%error, "audit records may be missing");
        }
    }
}

/// The log in the storage directory, or in NATS.
async fn open_log(mesh: &Mesh) -> Result<Arc<dyn EventLog>, LogError> {
    let storage = &mesh.storage;
    if storage.nats.is_some() {
        return Ok(Arc::new(JetStreamLog::open(jetstream_options(mesh)).await?));
    }
    let options = SqliteOptions {
        durability: match storage.durability {
            mesh_config::Durability::Full => mesh_log::Durability::Full,
            mesh_config::Durability::Relaxed => mesh_log::Durability::Relaxed,
        },
        ..SqliteOptions::default()
    };
    Ok(Arc::new(SqliteLog::open(&storage.path.join(LOG_FILE), options)?))
}

/// The stream of a mesh whose tasks are in NATS.
pub(crate) fn jetstream_options(mesh: &Mesh) -> JetStreamOptions {
    let servers = mesh.storage.nats.as_deref().unwrap_or_default();
    JetStreamOptions {
        name: mesh.mesh.clone(),
        replicas: mesh.storage.replicas,
        ..JetStreamOptions::new(servers)
    }
}

/// The audit trail of a mesh that keeps nothing: lines of the log, with target `audit`.
struct LoggedAudit;

#[async_trait::async_trait]
impl AuditSink for LoggedAudit {
    fn reserve(&self) -> Result<Box<dyn AuditSlot>, AuditError> {
        Ok(Box::new(Self))
    }

    async fn flush(&self) -> Result<(), AuditError> {
        Ok(())
    }
}

impl AuditSlot for LoggedAudit {
    fn commit(self: Box<Self>, record: AuditRecord) {
        let record = serde_json::to_string(&record).unwrap_or_default();
        tracing::info!(target: "audit", "{record}");
    }
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// An error with everything that caused it, for the log and the person at the terminal.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
