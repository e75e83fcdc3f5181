//! `backup`, `restore` and `doctor`.

use crate::support::{Run, agentmesh};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory with a store that has no tasks yet.
fn store() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(mesh_log::SqliteLog::open(&path.join("events.db"), mesh_log::SqliteOptions::default()).unwrap());
    (folder, path)
}

async fn run(folder: &TempDir, arguments: &[&str]) -> Run {
    agentmesh(arguments).folder(folder.path()).run().await
}

fn mesh_file(folder: &TempDir, storage: &str) {
    let text = format!("mesh: demo\nstorage: {storage}\n");
    std::fs::write(folder.path().join("mesh.yaml"), text).unwrap();
}

/// What differs from run to run, replaced.
fn redact(run: &Run) -> String {
    let text = run.to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if let Some(at) = line.find(", in ") {
            line.truncate(at);
            line.push_str(", in TIME");
        }
        if line.starts_with("  disk ") {
            *line = "  disk     ROOM left".to_owned();
        }
    }
    lines.retain(|line| !line.starts_with("warning little-room"));
    lines.join("\n")
}

#[tokio::test]
async fn a_store_is_backed_up_checked_and_restored() {
    let (folder, _) = store();
    mesh_file(&folder, "store");
    let backup = run(&folder, &["backup", "copy.db"]).await;
    insta::assert_snapshot!("backup", redact(&backup));
    let doctor = run(&folder, &["doctor"]).await;
    insta::assert_snapshot!(
        "doctor",
        redact(&doctor).replace(&folder.path().display().to_string(), "FOLDER")
    );
    let of_copy = run(&folder, &["doctor", "--storage", "copy.db", "-o", "json"]).await;
    assert_eq!((of_copy.code, &of_copy.json()["sound"]), (Some(0), &true.into()), "{of_copy}");
    assert_eq!(of_copy.json()["facts"]["format"], 4);
    let restored = run(&folder, &["restore", "copy.db", "--storage", "other", "-o", "json"]).await;
    assert_eq!((restored.code, &restored.json()["tasks"]), (Some(0), &0.into()), "{restored}");
    assert!(folder.path().join("other").join("events.db").exists());
    let json = run(&folder, &["backup", "--force", "copy.db", "-o", "json"]).await.json();
    assert_eq!((json["tasks"].as_u64(), json["events"].as_u64()), (Some(0), Some(0)));
    assert!(json["bytes"].as_u64().unwrap() > 4096 && json["seconds"].is_number(), "{json}");
}

#[tokio::test]
async fn a_damaged_store_is_exit_status_1_and_its_damage_is_named() {
    let (folder, path) = store();
    let file = path.join("events.db");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let doctor = run(&folder, &["doctor", "--storage", "store"]).await;
    assert_eq!(doctor.code, Some(1), "{doctor}");
    assert!(
        doctor.stdout.contains("error cut-off: ") && doctor.stdout.contains("agentmesh restore"),
        "{doctor}"
    );
    assert!(doctor.stdout.contains("store/events.db: not sound"), "{doctor}");
    let json = run(&folder, &["doctor", "--storage", "store", "-o", "json"]).await.json();
    assert_eq!((&json["sound"], &json["findings"][0]["severity"]), (&false.into(), &"error".into()));
    let backup = run(&folder, &["backup", "--storage", "store", "copy.db"]).await;
    assert_eq!(backup.code, Some(1), "{backup}");
    assert!(!folder.path().join("copy.db").exists());
}

#[tokio::test]
async fn what_cannot_be_done_has_its_exit_status_and_a_hint() {
    let (folder, _) = store();
    std::fs::write(folder.path().join("there.db"), "mine").unwrap();
    for (arguments, code, says) in [
        (&["backup", "--storage", "store", "there.db"][..], 2, "--force"),
        (&["backup", "--storage", "store", "."], 2, "is a directory"),
        (&["backup", "--storage", "store", "--force", "store/events.db"], 1, "belongs to the store"),
        (&["backup", "--storage", "nowhere", "x.db"], 4, "no store at nowhere"),
        (&["backup", "--storage", "nats://host:4222", "x.db"], 2, "-f FILE"),
        (&["backup", "x.db"], 5, "--storage DIR"),
        (&["restore", "--storage", "store", "nowhere.db"], 4, "no backup at nowhere.db"),
        (&["restore", "--storage", "store", "there.db"], 1, "not a database"),
        (&["doctor", "--storage", "nowhere"], 4, "no store at nowhere"),
    ] {
        let run = run(&folder, arguments).await;
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{arguments:?}: {run}");
        assert!(run.stderr.contains(says), "{arguments:?}: {run}");
    }
    assert_eq!(std::fs::read(folder.path().join("there.db")).unwrap(), b"mine");
}

#[tokio::test]
async fn for_a_store_in_nats_the_right_tool_is_named() {
    let folder = tempfile::tempdir().unwrap();
    mesh_file(&folder, "nats://127.0.0.1:1");
    for (arguments, tool) in [
        (&["backup", "x.db"][..], "nats stream backup demo-log"),
        (&["restore", "mesh.yaml"], "nats stream restore"),
    ] {
        let run = run(&folder, arguments).await;
        assert_eq!(run.code, Some(2), "{run}");
        assert!(run.stderr.contains(tool), "{run}");
    }
    let doctor = run(&folder, &["doctor"]).await;
    assert_eq!(doctor.code, Some(3), "nobody is there: {doctor}");
}

#[tokio::test]
async fn a_store_that_somebody_has_is_backed_up_and_not_replaced() {
    let (folder, path) = store();
    let log = mesh_log::SqliteLog::open(&path.join("events.db"), mesh_log::SqliteOptions::default()).unwrap();
    let backup = run(&folder, &["backup", "--storage", "store", "copy.db"]).await;
    assert_eq!(backup.code, Some(0), "{backup}");
    let restore = run(&folder, &["restore", "--storage", "store", "--force", "copy.db"]).await;
    assert_eq!(restore.code, Some(1), "{restore}");
    assert!(restore.stderr.contains("in use by process"), "{restore}");
    drop(log);
    assert!(Path::new(&path).join("events.db").exists());
}
