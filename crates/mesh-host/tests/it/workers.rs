use crate::support::{Bench, lives, script, state, until};

/// A worker with a child that keeps the pipes open, and whose number is in the file.
fn with_a_child(file: &std::path::Path, on_task: &str) -> String {
    format!(
        r#"sleep 1000 &
        echo $! > {}
        echo '{{"type":"ready"}}'
        while read -r line; do case "$line" in *'"task"'*) {on_task} ;; esac; done"#,
        file.display()
    )
}

#[tokio::test]
async fn what_a_worker_started_neither_hides_its_death_nor_outlives_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let bench = Bench::start(script(&with_a_child(&file, "exit 7"))).await.ready().await;
    let child = std::fs::read_to_string(&file).unwrap();
    assert!(lives(&child));
    let task = bench.send("anything").await;
    assert_eq!(state(&task), "TASK_STATE_FAILED");
    assert!(task.to_string().contains("exit status: 7"), "{task}");
    until("the child is gone", || !lives(&child)).await;
}

#[tokio::test]
async fn shutdown_leaves_no_process_behind() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let bench = Bench::start(script(&with_a_child(&file, ":"))).await.ready().await;
    let child = std::fs::read_to_string(&file).unwrap();
    bench.host.shutdown(std::time::Duration::ZERO).await;
    until("the child is gone", || !lives(&child)).await;
}

#[tokio::test]
async fn shutdown_while_the_worker_starts_leaves_no_process_behind() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let text = format!("sleep 1000 &\necho $! > {}.new; mv {0}.new {0}; wait", file.display());
    let bench = Bench::start(script(&text)).await;
    until("the worker has begun", || file.exists()).await;
    let child = std::fs::read_to_string(&file).unwrap();
    bench.host.shutdown(std::time::Duration::ZERO).await;
    until("the child is gone", || !lives(&child)).await;
}

#[tokio::test]
async fn a_worker_that_asks_and_asks_and_reads_no_answer_is_replaced() {
    let bench = Bench::start(script(
        r#"echo '{"type":"ready"}'
        read -r line
        id=$(printf '%s' "$line" | sed 's/.*"task":"\([^"]*\)".*/\1/')
        yes "{\"type\":\"call\",\"id\":1,\"task\":\"$id\",\"attempt\":9,\"tool\":\"crm/get\"}""#,
    ))
    .await
    .ready()
    .await;
    let task = bench.send("anything").await;
    assert_eq!(state(&task), "TASK_STATE_FAILED");
    assert!(task.to_string().contains("does not read"), "{task}");
}
