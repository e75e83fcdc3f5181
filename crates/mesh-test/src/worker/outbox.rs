//! Standard output: one buffer for all tasks, so that a batch of lines costs one write.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where lines go.
pub(super) struct Outbox(Mutex<BufWriter<File>>);

impl Outbox {
    /// Takes the file descriptor itself: `std::io::Stdout` would flush at each line.
    pub(super) fn stdout() -> io::Result<Self> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self(Mutex::new(BufWriter::with_capacity(1 << 16, File::from(descriptor)))))
    }

    /// Adds a line. Errors are those of a host that is gone, which the end of input tells better.
    pub(super) fn line(&self, line: &[u8]) {
        let mut buffer = self.lock();
        let _ = buffer.write_all(line).and_then(|()| buffer.write_all(b"\n"));
    }

    /// Adds several complete lines.
    pub(super) fn lines(&self, lines: &[u8]) {
        let _ = self.lock().write_all(lines);
    }

    /// Hands everything to the host.
    pub(super) fn flush(&self) {
        let _ = self.lock().flush();
    }

    fn lock(&self) -> MutexGuard<'_, BufWriter<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
