//! Commands for a store: backup, restore, doctor.

use clap::Args;
use std::path::PathBuf;

/// Where a store is.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    /// Mesh file that names the store
    #[arg(short, long, value_name = "FILE", default_value = "mesh.yaml", conflicts_with = "storage")]
    pub(crate) file: PathBuf,

    /// Directory of the store, or its file, where there is no mesh file
    #[arg(long, value_name = "PATH")]
    pub(crate) storage: Option<PathBuf>,
}

/// Copy the store of a mesh, also while it runs
///
/// The copy holds every task, event and record as of the moment at which it began, in one file that is checked before it
/// gets its name. The mesh goes on meanwhile. The audit trail is not in it: it is a file of lines that any tool can copy.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh backup /var/backups/mesh-$(date +%F).db
  agentmesh backup --storage .agentmesh --force latest.db")]
pub(crate) struct BackupArgs {
    /// File to write
    pub(crate) target: PathBuf,

    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Put a backup in the place of the store of a mesh that does not run
///
/// The backup is checked first. Tasks that were at work when it was made are taken up at the next start, as after a crash.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh restore /var/backups/mesh-2026-11-26.db
  agentmesh restore --force latest.db       replace a store that has tasks; it is kept under another name")]
pub(crate) struct RestoreArgs {
    /// File that `agentmesh backup` wrote
    pub(crate) backup: PathBuf,

    /// Replace a store that has tasks; it stays beside the new one under another name
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Check a store, also while a mesh uses it
///
/// Reads everything and changes nothing: the file and its tables, every task with its events, every record, and the room on
/// the disk. Exit status 1 if something is wrong; a warning is not.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh doctor
  agentmesh doctor --storage /var/backups/mesh-2026-11-26.db       a backup")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
