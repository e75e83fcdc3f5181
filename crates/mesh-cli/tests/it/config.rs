//! `check` and `schema`.

use crate::support::agentmesh;

#[tokio::test]
async fn a_valid_file_is_exit_status_0() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mesh.yaml"), "mesh: demo\n").unwrap();
    let run = agentmesh(&["check"]).folder(folder.path()).run().await;
    assert_eq!(run.to_string(), "exit: 0\n--- stdout\nmesh.yaml is valid\n--- stderr\n");
}

#[tokio::test]
async fn an_invalid_file_is_exit_status_5_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.yaml"), "mesh: demo\ngatway:\n  listen: 127.0.0.1:1\n").unwrap();
    let run = agentmesh(&["check", "-f", "bad.yaml"]).folder(folder.path()).run().await;
    insta::assert_snapshot!("check-invalid", run);
    let run = agentmesh(&["check", "-f", "bad.yaml", "-o", "json"]).folder(folder.path()).run().await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(5), ""));
    let report = run.json();
    assert_eq!(report["valid"], false);
    assert_eq!(report["diagnostics"][0]["position"]["line"], 2);
}

#[tokio::test]
async fn the_files_of_the_watched_directory_are_checked_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let text = "gateway: { watch: tools.d }\ntools: { crm: { command: [x] } }\n";
    std::fs::write(folder.path().join("mesh.yaml"), text).unwrap();
    let run = agentmesh(&["check"]).folder(folder.path()).run().await;
    assert_eq!(run.code, Some(0), "a directory that is not there yet is no error: {run}");
    std::fs::create_dir(folder.path().join("tools.d")).unwrap();
    std::fs::write(folder.path().join("tools.d/a.yaml"), "tools:\n  crm: { command: [y] }\n").unwrap();
    let run = agentmesh(&["check"]).folder(folder.path()).run().await;
    assert_eq!(run.code, Some(5), "{run}");
    assert!(run.stderr.contains("tools.d/a.yaml:2:3"), "{run}");
    assert!(run.stderr.contains("`crm` is already the name of an upstream or toolset of mesh.yaml"), "{run}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_exit_status_5() {
    let folder = tempfile::tempdir().unwrap();
    let run = agentmesh(&["check", "-f", "none.yaml"]).folder(folder.path()).run().await;
    assert_eq!(run.code, Some(5));
    assert!(run.stderr.contains("none.yaml"), "{run}");
}

#[tokio::test]
async fn the_schema_is_json() {
    assert!(agentmesh(&["schema"]).run().await.json()["properties"]["agents"].is_object());
}
