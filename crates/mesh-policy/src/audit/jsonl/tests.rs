use super::*;
use crate::{Action, AuditEntry, Outcome};
use mesh_core::{SystemClock, TraceContext};

fn call(sink: &JsonlAudit, outcome: Outcome) {
    let entry =
        AuditEntry::open(sink, Arc::new(SystemClock), Action::CallTool, &TraceContext::root()).unwrap();
    entry.close(outcome, None);
}

fn read(path: &Path) -> Vec<Result<AuditRecord, serde_json::Error>> {
    std::fs::read_to_string(path).unwrap().lines().map(serde_json::from_str).collect()
}

#[tokio::test]
async fn records_survive_a_restart_and_a_line_cut_short_spoils_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JsonlSettings::new(dir.path().join("audit.jsonl"));
    let sink = JsonlAudit::open(&settings).unwrap();
    call(&sink, Outcome::Ok);
    sink.close().await.unwrap();
    assert!(matches!(sink.reserve(), Err(AuditError::Closed)));
    drop(sink);
    File::options().append(true).open(&settings.path).unwrap().write_all(b"{\"time\":\"20").unwrap();

    let sink = JsonlAudit::open(&settings).unwrap();
    call(&sink, Outcome::Timeout);
    sink.flush().await.unwrap();
    let records = read(&settings.path);
    assert_eq!(records.len(), 3);
    assert_eq!(records[0].as_ref().unwrap().outcome, Outcome::Ok);
    assert!(records[1].is_err());
    assert_eq!(records[2].as_ref().unwrap().outcome, Outcome::Timeout);
}

#[tokio::test]
async fn the_file_is_private_and_has_one_writer() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let settings = JsonlSettings::new(dir.path().join("audit.jsonl"));
    let _sink = JsonlAudit::open(&settings).unwrap();
    let mode = std::fs::metadata(&settings.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(JsonlAudit::open(&settings), Err(AuditError::Open { .. })));
}

#[tokio::test]
async fn open_calls_take_room_in_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let settings = JsonlSettings { queue: 2, ..JsonlSettings::new(dir.path().join("audit.jsonl")) };
    let sink = JsonlAudit::open(&settings).unwrap();
    let held = (sink.reserve().unwrap(), sink.reserve().unwrap());
    assert!(matches!(sink.reserve(), Err(AuditError::Full)));
    drop(held);
    assert!(sink.reserve().is_ok());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_refuses_calls() {
    // `/dev/full` fails every write with ENOSPC.
    let settings = JsonlSettings { retry: Duration::from_millis(1), ..JsonlSettings::new("/dev/full") };
    let Ok(file) = OpenOptions::new().append(true).open(&settings.path) else { return };
    let failing = Arc::new(Mutex::new(None));
    let closing = Arc::new(AtomicBool::new(false));
    let mut writer = Writer {
        file,
        failing: Arc::clone(&failing),
        closing: Arc::clone(&closing),
        retry: settings.retry,
        buffer: b"{}\n".to_vec(),
    };
    assert!(writer.write().is_err());
    let (queue, _receiver) = mpsc::channel(1);
    let sink = JsonlAudit { queue, failing, closing, writer: Mutex::new(None) };
    assert!(matches!(sink.reserve(), Err(AuditError::Failing(_))));
}
