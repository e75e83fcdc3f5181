use crate::support::{Bench, failing, script, settings, state};
use std::time::Duration;

#[tokio::test]
async fn a_crash_in_mid_task_is_retried_and_the_stream_has_no_gap() {
    let bench = Bench::start(settings()).await.ready().await;
    let id = bench.begin("crash-once && echo again").await;
    let events = bench.events(&id).await.rest_after(0).await;
    let text = serde_json::to_string(&events).unwrap();
    assert!(text.contains("agentmesh/attemptLost"), "{text}");
    let task = bench.get(&id).await;
    assert_eq!(state(&task), "TASK_STATE_COMPLETED");
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "again", "nothing of the lost attempt is left");
}

#[tokio::test]
async fn a_crash_fails_the_task_where_the_policy_says_so() {
    let bench = Bench::start(failing()).await.ready().await;
    let task = bench.send("crash").await;
    assert_eq!(state(&task), "TASK_STATE_FAILED");
    assert_eq!(state(&bench.send("echo next").await), "TASK_STATE_COMPLETED");
}

#[tokio::test]
async fn a_question_survives_the_crash_of_its_worker() {
    let bench = Bench::start(failing()).await.ready().await;
    let asked = bench.send("ask who?").await;
    assert_eq!(state(&asked), "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(state(&bench.send("crash").await), "TASK_STATE_FAILED");
    let answered = bench.answer(asked["id"].as_str().unwrap(), "Ada").await;
    assert_eq!(state(&answered), "TASK_STATE_COMPLETED");
    assert_eq!(answered["artifacts"][0]["parts"][0]["text"], "Ada");
}

#[tokio::test]
async fn a_frozen_worker_is_replaced() {
    let mut settings = failing();
    settings.agent.worker.health_interval = Duration::from_millis(100);
    settings.agent.worker.health_timeout = Duration::from_secs(1);
    let bench = Bench::start(settings).await.ready().await;
    let task = bench.send("freeze && hang").await;
    assert_eq!(state(&task), "TASK_STATE_FAILED");
    assert!(task.to_string().contains("did not answer"), "{task}");
    assert_eq!(state(&bench.send("echo next").await), "TASK_STATE_COMPLETED");
}

#[tokio::test]
async fn a_worker_that_ignores_a_cancel_is_replaced_and_the_others_finish_in_it() {
    let bench = Bench::start(failing()).await.ready().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("go");
    let other = bench.begin(&format!("wait-file {}", file.display())).await;
    bench.events(&other).await.until("waiting").await;
    let hog = bench.begin("hog").await;
    bench.events(&hog).await.until("hogging").await;
    bench.cancel(&hog).await;
    // Ends the run of the worker it lands in: once it has, the replacement answers.
    crate::support::until("the hog's worker is given up", || bench.host.not_ready().is_some()).await;
    assert_eq!(state(&bench.send("echo in the new one").await), "TASK_STATE_COMPLETED");
    std::fs::write(&file, "").unwrap();
    bench.events(&other).await.until("TASK_STATE_COMPLETED").await;
    assert_eq!(state(&bench.get(&hog).await), "TASK_STATE_CANCELED");
}

#[tokio::test]
async fn one_attempts_bad_part_costs_the_others_in_its_process_nothing() {
    let bench = Bench::start(script(
        r#"echo '{"type":"ready"}'
        while read -r line; do
          id=$(printf '%s' "$line" | sed 's/.*"task":"\([^"]*\)".*/\1/')
          case "$line" in
            *patient*) other=$id ;;
            *rash*) echo "{\"type\":\"event\",\"task\":\"$id\",\"attempt\":1,\"kind\":\"status\",\"parts\":[{\"raw\":\"?\"}]}" ;;
            *cancel*) echo "{\"type\":\"event\",\"task\":\"$id\",\"attempt\":1,\"kind\":\"state\",\"state\":\"canceled\"}"
                      echo "{\"type\":\"event\",\"task\":\"$other\",\"attempt\":1,\"kind\":\"state\",\"state\":\"completed\"}" ;;
          esac
        done"#,
    ))
    .await
    .ready()
    .await;
    let patient = bench.begin("patient").await;
    let rash = bench.send("rash").await;
    assert_eq!(state(&rash), "TASK_STATE_FAILED");
    assert!(rash.to_string().contains("base64"), "{rash}");
    bench.events(&patient).await.until("TASK_STATE_COMPLETED").await;
}

#[tokio::test]
async fn an_artifact_without_parts_reaches_no_client() {
    for event in [
        r#""kind":"artifact","artifact":{"artifactId":"a","parts":[]},"lastChunk":true"#,
        r#""kind":"token","artifactId":"a""#,
    ] {
        let event = event.replace('"', "\\\"");
        let bench = Bench::start(script(&format!(
            r#"echo '{{"type":"ready"}}'
            read -r line
            id=$(printf '%s' "$line" | sed 's/.*"task":"\([^"]*\)".*/\1/')
            echo "{{\"type\":\"event\",\"task\":\"$id\",\"attempt\":1,{event}}}"
            cat > /dev/null"#
        )))
        .await
        .ready()
        .await;
        let task = bench.send("anything").await;
        assert_eq!(state(&task), "TASK_STATE_FAILED");
        assert!(task.to_string().contains("artifact `a`: has no parts"), "{task}");
        assert_eq!(task.get("artifacts"), None);
    }
}
