use crate::support::{Bench, message, settings, state};
use serde_json::json;

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_and_misses_nothing() {
    let bench = Bench::start(settings()).await.ready().await;
    let params = json!({ "message": message("chunks 3000 200") });
    let mut slow = bench.stream("SendStreamingMessage", params.clone(), &[]).await;
    let (first, event) = slow.next().await.unwrap();
    assert_eq!(
        (first, event["result"]["task"]["status"]["state"].as_str()),
        (Some(1), Some("TASK_STATE_SUBMITTED"))
    );
    let done = bench.rpc("SendMessage", params).await;
    assert_eq!(state(&done["result"]["task"]), "TASK_STATE_COMPLETED");
    assert_eq!(slow.rest_after(1).await.len(), 3002);
}

#[tokio::test]
async fn a_snapshot_and_what_follows_it_fit_together() {
    let bench = Bench::start(settings()).await.ready().await;
    let id = bench.begin("slow 40 5").await;
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(bench.stream("SubscribeToTask", json!({ "id": id }), &[]).await);
    }
    for mut events in open {
        let (at, first) = events.next().await.unwrap();
        let mut parts = first["result"]["task"]["artifacts"][0]["parts"].as_array().map_or(0, Vec::len);
        for event in events.rest_after(at.unwrap()).await {
            parts += event["result"]["artifactUpdate"]["artifact"]["parts"].as_array().map_or(0, Vec::len);
        }
        assert_eq!(parts, 40);
    }
}

#[tokio::test]
async fn a_task_has_no_more_subscribers_than_the_limit_says() {
    let mut settings = settings();
    settings.limits.streams_per_task = 2;
    let bench = Bench::start(settings).await.ready().await;
    let id = bench.begin("hang").await;
    let one = bench.events(&id).await;
    let _two = bench.events(&id).await;
    let (_, refused) = bench.events(&id).await.next().await.unwrap();
    assert_eq!(refused["error"]["code"], -32050);
    drop(one);
    assert_eq!(bench.events(&id).await.next().await.unwrap().0, Some(1));
}

#[tokio::test]
async fn the_number_to_resume_from_must_be_one_of_the_task() {
    let bench = Bench::start(settings()).await;
    let id = bench.send("echo done").await["id"].as_str().unwrap().to_owned();
    for bad in ["-1", "+1", "99", "18446744073709551616", "1.5", "x", ""] {
        let params = json!({ "id": id });
        let (_, refused) =
            bench.stream("SubscribeToTask", params, &[("last-event-id", bad)]).await.next().await.unwrap();
        assert_eq!(refused["error"]["code"], -32602, "{bad:?}");
    }
    let last = bench.events(&id).await.rest_after(0).await.len().to_string();
    let params = json!({ "id": id });
    let mut at_the_end = bench.stream("SubscribeToTask", params, &[("last-event-id", &last)]).await;
    assert!(at_the_end.next().await.is_none());
}

#[tokio::test]
async fn the_stream_of_a_message_ends_at_the_question_even_when_read_after_the_answer() {
    let bench = Bench::start(settings()).await.ready().await;
    let params = json!({ "message": message("ask who?") });
    let mut late = bench.stream("SendStreamingMessage", params.clone(), &[]).await;
    let asked = bench.rpc("SendMessage", params).await["result"]["task"].clone();
    bench.answer(asked["id"].as_str().unwrap(), "Ada").await;
    let events = late.rest_after(0).await;
    assert_eq!(
        events.last().unwrap()["result"]["statusUpdate"]["status"]["state"],
        "TASK_STATE_INPUT_REQUIRED"
    );
}

#[tokio::test]
async fn shutdown_lets_a_running_task_finish_and_its_stream_say_so() {
    let bench = Bench::start(settings()).await.ready().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("go");
    let params = json!({ "message": message(&format!("wait-file {}", file.display())) });
    let mut events = bench.stream("SendStreamingMessage", params, &[]).await;
    events.until("waiting").await;
    let host = std::sync::Arc::clone(&bench.host);
    let end = tokio::spawn(async move { host.shutdown(std::time::Duration::from_secs(30)).await });
    crate::support::until("no longer ready", || bench.host.not_ready().is_some()).await;
    let refused = bench.rpc("SendMessage", json!({ "message": message("echo late") })).await;
    assert_eq!(refused["error"]["code"], -32050);
    std::fs::write(&file, "").unwrap();
    events.until("TASK_STATE_COMPLETED").await;
    end.await.unwrap();
}
