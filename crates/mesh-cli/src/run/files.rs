//! Room for many connections: the limit on open files that a process starts with is often 1024.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit on open files as far as this user may; says how far that is.
pub(crate) fn raise_limit() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return Some(hard);
    }
    Some(soft)
}
