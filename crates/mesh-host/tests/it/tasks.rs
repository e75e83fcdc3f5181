use crate::support::{Bench, message, settings, state, until};
use serde_json::json;

#[tokio::test]
async fn a_canceled_task_frees_its_place_and_its_worker_stops() {
    let mut settings = settings();
    (settings.agent.tasks.concurrency, settings.agent.tasks.queue) = (1, 1);
    let bench = Bench::start(settings).await.ready().await;
    let id = bench.begin("hang").await;
    let mut events = bench.events(&id).await;
    events.until("hanging").await;
    assert_eq!(state(&bench.cancel(&id).await), "TASK_STATE_CANCELED");
    assert_eq!(state(&bench.send("echo next").await), "TASK_STATE_COMPLETED");
    events.until("TASK_STATE_CANCELED").await;
    assert!(events.next().await.is_none(), "nothing follows the end");
}

#[tokio::test]
async fn a_task_beyond_the_queue_is_refused_and_may_come_again() {
    let mut settings = settings();
    (settings.agent.tasks.concurrency, settings.agent.tasks.queue) = (1, 0);
    let bench = Bench::start(settings).await.ready().await;
    let id = bench.begin("hang").await;
    let message = json!({ "message": message("echo later") });
    let refused = bench.rpc("SendMessage", message.clone()).await;
    assert_eq!(refused["error"]["code"], -32050);
    assert_eq!(refused["error"]["data"][0]["reason"], "AGENT_BUSY");
    bench.cancel(&id).await;
    let taken = bench.rpc("SendMessage", message).await;
    assert_eq!(state(&taken["result"]["task"]), "TASK_STATE_COMPLETED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_twice_at_the_same_time_is_one_task() {
    let bench = Bench::start(settings()).await.ready().await;
    for _ in 0..20 {
        let params = json!({ "message": message("bench") });
        let (one, other) =
            tokio::join!(bench.rpc("SendMessage", params.clone()), bench.rpc("SendMessage", params));
        assert_eq!(one["result"], other["result"]);
        assert_eq!(state(&one["result"]["task"]), "TASK_STATE_COMPLETED");
    }
    let listed = bench.rpc("ListTasks", json!({})).await;
    assert_eq!(listed["result"]["totalSize"], 20);
}

#[tokio::test]
async fn another_message_under_a_used_id_is_refused() {
    let bench = Bench::start(settings()).await;
    let mut message = message("echo one");
    bench.rpc("SendMessage", json!({ "message": message })).await;
    message["parts"] = json!([{ "text": "echo two" }]);
    let refused = bench.rpc("SendMessage", json!({ "message": message })).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}

#[tokio::test]
async fn a_listing_leaves_artifacts_out_unless_asked_and_pages_through_everything_once() {
    let bench = Bench::start(settings()).await;
    for n in 0..5 {
        bench.send(&format!("echo {n}")).await;
    }
    for include in [false, true] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let params =
                json!({ "pageSize": 2, "pageToken": token, "includeArtifacts": include, "historyLength": 0 });
            let page = bench.rpc("ListTasks", params).await["result"].clone();
            for task in page["tasks"].as_array().unwrap() {
                assert_eq!(task.get("artifacts").is_some(), include, "{task}");
                assert!(task.get("history").is_none());
                seen.push(task["id"].as_str().unwrap().to_owned());
            }
            token = page["nextPageToken"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 5);
    }
}

#[tokio::test]
async fn a_page_of_large_tasks_ends_early_and_the_next_one_goes_on() {
    let bench = Bench::start(settings()).await;
    for _ in 0..3 {
        assert_eq!(state(&bench.send("chunks 12 900000").await), "TASK_STATE_COMPLETED");
    }
    let params = json!({ "includeArtifacts": true });
    let page = bench.rpc("ListTasks", params).await["result"].clone();
    assert_eq!(page["tasks"].as_array().unwrap().len(), 1);
    let params = json!({ "includeArtifacts": false, "pageToken": page["nextPageToken"] });
    let rest = bench.rpc("ListTasks", params).await["result"].clone();
    assert_eq!(rest["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(rest["nextPageToken"], "");
}

#[tokio::test]
async fn bad_parameters_are_refused_precisely_and_change_nothing() {
    let bench = Bench::start(settings()).await;
    let with = |field: &str, value: serde_json::Value| {
        let mut message = message("echo");
        message[field] = value;
        json!({ "message": message })
    };
    let negative = json!({ "message": message("echo"), "configuration": { "historyLength": -1 } });
    for (method, params, code) in [
        ("SendMessage", with("role", "ROLE_AGENT".into()), -32602),
        ("SendMessage", with("parts", json!([])), -32602),
        ("SendMessage", with("messageId", "".into()), -32602),
        ("SendMessage", with("taskId", "nobody's".into()), -32001),
        ("SendMessage", negative.clone(), -32602),
        ("SendStreamingMessage", negative, -32602),
        ("GetTask", json!({ "id": "" }), -32001),
        ("ListTasks", json!({ "pageSize": 101 }), -32602),
        ("ListTasks", json!({ "pageToken": "99999999999999999999.x" }), -32602),
        ("GetExtendedAgentCard", json!({}), -32004),
        ("CreateTaskPushNotificationConfig", json!({ "taskId": "nobody's", "url": "no URL" }), -32602),
        (
            "CreateTaskPushNotificationConfig",
            json!({ "taskId": "nobody's", "url": "https://a.example" }),
            -32001,
        ),
    ] {
        let answer = bench.rpc(method, params).await;
        assert_eq!(answer["error"]["code"], code, "{method}: {answer}");
    }
    assert_eq!(bench.rpc("ListTasks", json!({})).await["result"]["totalSize"], 0);
}

#[tokio::test]
async fn a_task_that_has_ended_takes_no_message_no_cancel_and_no_subscriber() {
    let bench = Bench::start(settings()).await;
    let id = bench.send("echo done").await["id"].as_str().unwrap().to_owned();
    let mut late = message("more");
    late["taskId"] = id.as_str().into();
    for (method, params, code) in [
        ("SendMessage", json!({ "message": late }), -32004),
        ("CancelTask", json!({ "id": id }), -32002),
        ("SubscribeToTask", json!({ "id": id }), -32004),
    ] {
        assert_eq!(bench.rpc(method, params).await["error"]["code"], code, "{method}");
    }
}

#[tokio::test]
async fn a_task_of_another_tenant_looks_like_one_that_is_not_there() {
    let bench = Bench::start(settings()).await;
    let id = bench.send("echo mine").await["id"].clone();
    for method in ["GetTask", "CancelTask", "SubscribeToTask"] {
        let answer = bench.rpc(method, json!({ "id": id, "tenant": "other" })).await;
        assert_eq!(answer["error"]["code"], -32001, "{method}");
    }
}

#[tokio::test]
async fn the_gauges_show_what_there_is_and_nothing_when_all_is_over() {
    let mut settings = settings();
    settings.agent.tasks.concurrency = 1;
    let bench = Bench::start(settings).await.ready().await;
    let running = bench.begin("hang").await;
    let mut events = bench.events(&running).await;
    events.until("hanging").await;
    let queued = [bench.begin("crash-once").await, bench.begin("ask who?").await, bench.begin("bench").await];
    until("all are counted", || bench.gauge("a2a_queue_depth") == 3).await;
    assert_eq!((bench.gauge("a2a_active_tasks"), bench.gauge("a2a_subscribers")), (4, 1));
    bench.cancel(&queued[2]).await;
    assert_eq!((bench.gauge("a2a_queue_depth"), bench.gauge("a2a_active_tasks")), (2, 3));
    bench.cancel(&running).await;
    drop(events);
    bench.events(&queued[0]).await.until("TASK_STATE_COMPLETED").await;
    bench.events(&queued[1]).await.until("TASK_STATE_INPUT_REQUIRED").await;
    bench.cancel(&queued[1]).await;
    for gauge in ["a2a_queue_depth", "a2a_active_tasks", "a2a_subscribers"] {
        until(gauge, || bench.gauge(gauge) == 0).await;
    }
}
