//! Whether files changed: by what the file system says of them, looked at once a second. That also works for files that are mounted, linked
//! or replaced, where events are lost.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How often files are looked at. A change is taken up when two looks in a row see the same, so that no half-written file is read.
const EVERY: Duration = Duration::from_secs(1);

/// What the file system says of some files.
pub(super) type Stamp = Vec<(OsString, Option<(SystemTime, u64, u64)>)>;

/// The files that a source looks at.
pub(super) struct Look {
    files: Arc<dyn Fn() -> Vec<PathBuf> + Send + Sync>,
    seen: Mutex<Stamp>,
}

impl Look {
    pub(super) fn at(files: impl Fn() -> Vec<PathBuf> + Send + Sync + 'static) -> Self {
        Self { files: Arc::new(files), seen: Mutex::default() }
    }

    /// Notes how the files are; called before they are read.
    pub(super) async fn note(&self) {
        let stamp = self.stamp().await;
        *self.lock() = stamp;
    }

    /// Waits until they are otherwise than noted, and stay so for a moment.
    pub(super) async fn changed(&self) {
        let mut before = None;
        loop {
            tokio::time::sleep(EVERY).await;
            let now = self.stamp().await;
            if now == *self.lock() {
                before = None;
            } else if before.as_ref() == Some(&now) {
                *self.lock() = now;
                return;
            } else {
                before = Some(now);
            }
        }
    }

    async fn stamp(&self) -> Stamp {
        let files = Arc::clone(&self.files);
        // It only fails when the runtime ends.
        tokio::task::spawn_blocking(move || files().iter().map(|file| stamp(file)).collect())
            .await
            .unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stamp> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(file: &Path) -> (OsString, Option<(SystemTime, u64, u64)>) {
    let stat = std::fs::metadata(file).ok();
    let stat = stat.and_then(|stat| Some((stat.modified().ok()?, stat.len(), stat.ino())));
    (file.as_os_str().to_owned(), stat)
}
