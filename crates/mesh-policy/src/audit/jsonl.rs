//! Records as lines of JSON in a file that is only ever appended to.

use super::{AuditError, AuditRecord, AuditSink, AuditSlot};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How many records one write takes at most.
const BATCH: usize = 256;
/// How long the writer leaves the queue alone after a write, so that busy moments cost one wake-up and one write for many
/// records instead of one each.
const GATHER: Duration = Duration::from_millis(1);

/// Where records go, and how many may wait.
#[derive(Clone, Debug)]
pub struct JsonlSettings {
    /// The file; made with mode 0600 if it is missing.
    pub path: PathBuf,
    /// Calls that may be open plus records that may wait to be written (`audit_queue`).
    pub queue: usize,
    /// How long to wait before a failed write is tried again.
    pub retry: Duration,
}

impl JsonlSettings {
    /// The usual bounds for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), queue: 4096, retry: Duration::from_millis(500) }
    }
}

/// Appends each record as one line. One thread writes; one process has the file at a time.
///
/// A record is with the operating system shortly after its call was answered, and on disk after
/// [`JsonlAudit::close`]. A write that fails is undone and tried again, and until it succeeds no call gets a slot.
/// A line that a crash cut short is closed with a newline at the next start, so it spoils no record but itself.
pub struct JsonlAudit {
    queue: mpsc::Sender<Entry>,
    failing: Arc<Mutex<Option<String>>>,
    closing: Arc<AtomicBool>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

enum Entry {
    Record(Box<AuditRecord>),
    Flush(oneshot::Sender<bool>),
    Close(oneshot::Sender<bool>),
}

impl JsonlAudit {
    /// Opens the file and starts its writer.
    pub fn open(settings: &JsonlSettings) -> Result<Self, AuditError> {
        let file = open_file(&settings.path)
            .map_err(|source| AuditError::Open { path: settings.path.display().to_string(), source })?;
        let (queue, receiver) = mpsc::channel(settings.queue.max(1));
        let failing = Arc::new(Mutex::new(None));
        let closing = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            file,
            failing: Arc::clone(&failing),
            closing: Arc::clone(&closing),
            retry: settings.retry,
            buffer: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(receiver))
            .map_err(|source| AuditError::Open { path: settings.path.display().to_string(), source })?;
        Ok(Self { queue, failing, closing, writer: Mutex::new(Some(thread)) })
    }

    /// Writes and syncs what waits, and ends the writer. Calls after this are refused; calls that are still open
    /// lose their record, so drain first.
    pub async fn close(&self) -> Result<(), AuditError> {
        self.closing.store(true, Ordering::Relaxed);
        let result = self.ask(Entry::Close).await;
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // The writer has answered; it ends without waiting for anything.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        result
    }

    async fn ask(&self, entry: impl FnOnce(oneshot::Sender<bool>) -> Entry) -> Result<(), AuditError> {
        let (done, written) = oneshot::channel();
        self.queue.send(entry(done)).await.map_err(|_| AuditError::Closed)?;
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AuditError::Failing("see the log".to_owned())),
            Err(_) => Err(AuditError::Closed),
        }
    }
}

#[async_trait::async_trait]
impl AuditSink for JsonlAudit {
    fn reserve(&self) -> Result<Box<dyn AuditSlot>, AuditError> {
        if let Some(reason) = &*self.failing.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(AuditError::Failing(reason.clone()));
        }
        match self.queue.clone().try_reserve_owned() {
            Ok(permit) => Ok(Box::new(Slot(permit))),
            Err(mpsc::error::TrySendError::Full(_)) => Err(AuditError::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(AuditError::Closed),
        }
    }

    async fn flush(&self) -> Result<(), AuditError> {
        if let Some(reason) = &*self.failing.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(AuditError::Failing(reason.clone()));
        }
        self.ask(Entry::Flush).await
    }
}

struct Slot(mpsc::OwnedPermit<Entry>);

impl AuditSlot for Slot {
    fn commit(self: Box<Self>, record: AuditRecord) {
        self.0.send(Entry::Record(Box::new(record)));
    }
}

fn open_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => {
            std::io::Error::new(std::io::ErrorKind::ResourceBusy, "another process writes to it")
        }
        std::fs::TryLockError::Error(error) => error,
    })?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

struct Writer {
    file: File,
    failing: Arc<Mutex<Option<String>>>,
    closing: Arc<AtomicBool>,
    retry: Duration,
    buffer: Vec<u8>,
}

impl Writer {
    fn run(&mut self, mut queue: mpsc::Receiver<Entry>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut batch, BATCH) > 0 {
            for entry in batch.drain(..) {
                match entry {
                    Entry::Record(record) => self.encode(&record),
                    Entry::Flush(done) => {
                        // An error here means that the asker has gone; nobody else waits.
                        let _ = done.send(self.write().is_ok());
                    }
                    Entry::Close(done) => {
                        queue.close();
                        while let Ok(Entry::Record(record)) = queue.try_recv() {
                            self.encode(&record);
                        }
                        let written = self.write().and_then(|()| self.file.sync_data());
                        if let Err(error) = &written {
                            tracing::error!(%error, bytes = self.buffer.len(), "audit records are lost");
                        }
                        // As above.
                        let _ = done.send(written.is_ok());
                        return;
                    }
                }
            }
            while self.write().is_err() {
                if queue.is_closed() || self.closing.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(self.retry);
            }
            std::thread::sleep(GATHER);
        }
        if let Err(error) = self.write().and_then(|()| self.file.sync_data()) {
            tracing::error!(%error, bytes = self.buffer.len(), "audit records are lost");
        }
    }

    fn encode(&mut self, record: &AuditRecord) {
        match serde_json::to_writer(&mut self.buffer, record) {
            Ok(()) => self.buffer.push(b'\n'),
            Err(error) => tracing::error!(%error, "an audit record cannot be encoded"),
        }
    }

    /// Appends the buffer, whole or not at all.
    fn write(&mut self) -> std::io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let before = self.file.metadata()?.len();
        let result = self.file.write_all(&self.buffer);
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(()) => {
                self.buffer.clear();
                if failing.take().is_some() {
                    tracing::info!("audit records are written again");
                }
            }
            Err(error) => {
                if let Err(undo) = self.file.set_len(before) {
                    tracing::error!(error = %undo, "a half-written audit record stays in the file");
                }
                if failing.is_none() {
                    tracing::error!(%error, "audit records cannot be written; calls are refused until they can");
                }
                *failing = Some(error.to_string());
            }
        }
        result
    }
}

#[cfg(test)]
mod tests;
