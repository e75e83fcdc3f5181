//! What SQLite says, in the words of the contract.

use crate::contract::LogError;
use rusqlite::ErrorCode;
use std::io;
use std::path::Path;

/// Translates an error of the store at `path`.
///
/// To be called on the thread that the error occurred on, and before anything else is done there: whether a failed
/// write failed for want of space is read from the operating system's last error.
pub(super) fn translate(path: &Path, error: &rusqlite::Error) -> LogError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LogError::Full(format!(
            "{}: no space is left on the disk, or the configured size is reached; make room, or raise the limit",
            path.display()
        )),
        Some(ErrorCode::SystemIoFailure) if out_of_space(&io::Error::last_os_error()) => LogError::Full(
            format!("{}: no space is left on the disk or in the quota; make room", path.display()),
        ),
        Some(ErrorCode::DatabaseCorrupt) => {
            refused(path, &format!("the file is damaged ({error}); {RESTORE}"))
        }
        Some(ErrorCode::NotADatabase) => {
            refused(path, "is not a database; move the file away, or choose another directory")
        }
        _ => LogError::Failed(format!("{}: {error}", path.display())),
    }
}

/// What to do about a damaged file.
pub(super) const RESTORE: &str = "stop the mesh, keep a copy of the file for inspection, then restore a backup or start with another directory";

/// Why a store is not opened.
pub(super) fn refused(path: &Path, reason: &str) -> LogError {
    LogError::Refused { path: path.display().to_string(), reason: reason.to_owned() }
}

/// What is wrong with a row of our own making: somebody else wrote it, or the disk did.
pub(super) fn bad_row(what: &str, value: &dyn std::fmt::Display) -> rusqlite::Error {
    let damaged = rusqlite::ffi::Error { code: ErrorCode::DatabaseCorrupt, extended_code: 11 };
    rusqlite::Error::SqliteFailure(damaged, Some(format!("{what}: {value}")))
}

fn out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
