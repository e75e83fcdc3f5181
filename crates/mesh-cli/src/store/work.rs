//! Work on a file, on a thread of its own, with its progress shown.

use super::size;
use crate::exit::{Failure, Outcome};
use crate::output::Printer;
use mesh_log::{Attendant, LogError, Progress};
use std::fs;
use std::path::PathBuf;
use tokio::sync::watch;

/// Runs something long. `copying` is what its copying is called; `partial` is taken away if it is given up halfway.
pub(crate) async fn work<T: Send + 'static>(
    printer: &Printer,
    copying: &'static str,
    partial: Option<PathBuf>,
    job: impl FnOnce(&mut Attendant<'_>) -> Result<T, LogError> + Send + 'static,
) -> Outcome<T> {
    let (say, mut said) = watch::channel(None);
    // Dropped by Ctrl-C, while the thread may still write: it ends with the process.
    let leftover = Leftover(partial);
    let thread = tokio::task::spawn_blocking(move || {
        let mut progress = |now| {
            say.send_replace(Some(now));
        };
        job(&mut Attendant { progress: &mut progress, record: &mesh_host::check_record })
    });
    while said.changed().await.is_ok() {
        if let Some(now) = *said.borrow_and_update() {
            printer.progress(&line(copying, now));
        }
    }
    printer.progress("");
    let outcome = thread.await.map_err(|error| Failure::failed(format!("it did not finish: {error}")))?;
    drop(leftover);
    outcome.map_err(|error| Failure::failed(error.to_string()))
}

fn line(copying: &str, now: Progress) -> String {
    match now {
        Progress::Copied(done, all) => format!("{copying}: {} of {}", size(done), size(all)),
        Progress::Pages(bytes) => format!("checking the file ({})", size(bytes)),
        Progress::Tasks(done, all) => format!("checking tasks: {done} of {all}"),
    }
}

struct Leftover(Option<PathBuf>);

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Usually it has got its name by now.
            let _ = fs::remove_file(path);
        }
    }
}
