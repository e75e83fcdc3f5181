use crate::support::{Served, events, message, read, request, text};
use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

fn reason(error: &Value) -> &str {
    error["error"]["details"][0]["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_message_is_sent_its_task_read_listed_and_not_cancelable() {
    let served = Served::start().await;
    let response = served.call(request("POST", "/message:send", &message("hello").to_string())).await;
    assert_eq!(response.headers()["content-type"], "application/a2a+json");
    let (_, answer) = read(response).await;
    let task = &answer["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
    let id = task["id"].as_str().unwrap();
    assert_eq!(served.get(&format!("/tasks/{id}")).await, (StatusCode::OK, task.clone()));
    let (_, short) = served.get(&format!("/tasks/{id}?historyLength=0")).await;
    assert_eq!(short.get("history"), None);
    served.send("again").await;
    let (_, page) = served.get("/tasks?pageSize=1&status=TASK_STATE_COMPLETED&includeArtifacts=true").await;
    assert_eq!((&page["totalSize"], &page["pageSize"]), (&json!(2), &json!(1)));
    let next = page["nextPageToken"].as_str().unwrap();
    let (_, page) = served.get(&format!("/tasks?pageSize=1&pageToken={next}")).await;
    assert_eq!(page["tasks"][0]["id"], id);
    assert_eq!(page["nextPageToken"], "");
    let (status, error) = served.post(&format!("/tasks/{id}:cancel"), &json!({ "id": id })).await;
    assert_eq!((status, reason(&error)), (StatusCode::BAD_REQUEST, "TASK_NOT_CANCELABLE"));
    served.stop().await;
}

#[tokio::test]
async fn a_stream_has_bare_events_with_their_numbers_and_goes_on_from_any_of_them() {
    let served = Served::start().await;
    let response = served.call(request("POST", "/message:stream", &message("hello").to_string())).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let all = events(&text(response).await);
    let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    assert_eq!(all.last().unwrap().1["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED");
    let id = all[0].1["task"]["id"].as_str().unwrap();
    for verb in ["GET", "POST"] {
        let mut resume = request(verb, &format!("/tasks/{id}:subscribe"), "");
        resume.headers_mut().insert("last-event-id", "2".parse().unwrap());
        assert_eq!(events(&text(served.call(resume).await).await), all[2..]);
        let (status, error) =
            read(served.call(request(verb, &format!("/tasks/{id}:subscribe"), "")).await).await;
        assert_eq!((status, reason(&error)), (StatusCode::BAD_REQUEST, "UNSUPPORTED_OPERATION"));
    }
    served.stop().await;
}

#[tokio::test]
async fn a_task_that_waits_can_be_tapped_and_canceled() {
    let served = Served::start().await;
    let id = served.begin("wait").await;
    let tap = served.call(request("GET", &format!("/tasks/{id}:subscribe"), "")).await;
    let (status, task) = read(served.call(request("POST", &format!("/tasks/{id}:cancel"), "")).await).await;
    assert_eq!((status, &task["status"]["state"]), (StatusCode::OK, &json!("TASK_STATE_CANCELED")));
    let seen = events(&text(tap).await);
    assert_eq!(seen[0].1["task"]["id"], id.as_str());
    assert_eq!(seen.last().unwrap().1["statusUpdate"]["status"]["state"], "TASK_STATE_CANCELED");
    served.stop().await;
}

#[tokio::test]
async fn a_tenant_in_the_path_is_the_tenant() {
    let served = Served::start().await;
    let (status, answer) = served.post("/default/message:send", &message("hello")).await;
    assert_eq!(status, StatusCode::OK);
    let id = answer["task"]["id"].as_str().unwrap();
    assert_eq!(served.get(&format!("/default/tasks/{id}")).await.0, StatusCode::OK);
    let (status, error) = served.get(&format!("/other/tasks/{id}")).await;
    assert_eq!((status, reason(&error)), (StatusCode::NOT_FOUND, "TASK_NOT_FOUND"));
    assert_eq!(served.get(&format!("/other/tasks/{id}?tenant=default")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(served.get("/other/tasks").await.1["totalSize"], 0);
    served.stop().await;
}

#[tokio::test]
async fn push_configurations_have_their_paths() {
    let served = Served::start().await;
    let id = served.begin("ask").await;
    let (list, one) =
        (format!("/tasks/{id}/pushNotificationConfigs"), format!("/tasks/{id}/pushNotificationConfigs/a"));
    let config = json!({ "id": "a", "url": "http://127.0.0.1:1/" });
    let (status, created) = served.post(&list, &config).await;
    assert_eq!((status, &created["taskId"], &created["id"]), (StatusCode::OK, &json!(id), &json!("a")));
    assert_eq!(served.get(&format!("/default{one}")).await.1, created);
    assert_eq!(served.get(&list).await.1, json!({ "configs": [created] }));
    let other = json!({ "taskId": "other", "url": "http://127.0.0.1:1/" });
    assert_eq!(served.post(&list, &other).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(served.get(&format!("/other{one}")).await.0, StatusCode::NOT_FOUND, "another tenant");
    let (status, gone) = read(served.call(request("DELETE", &one, "")).await).await;
    assert_eq!((status, gone), (StatusCode::OK, json!({})));
    let (status, error) = served.get(&one).await;
    assert_eq!((status, reason(&error)), (StatusCode::NOT_FOUND, "TASK_NOT_FOUND"));
    served.stop().await;
}

#[tokio::test]
async fn what_this_agent_does_not_do_has_the_specified_errors() {
    let served = Served::start().await;
    let (status, error) = served.get("/extendedAgentCard").await;
    assert_eq!((status, reason(&error)), (StatusCode::BAD_REQUEST, "UNSUPPORTED_OPERATION"));
    served.stop().await;
}

#[tokio::test]
async fn bad_input_is_answered_with_its_reason_and_changes_nothing() {
    let served = Served::start().await;
    let mut deep = message("x");
    deep["metadata"] = (0..80).fold(json!(1), |inner, _| json!([inner]));
    for (verb, path, body, status) in [
        ("GET", "/nowhere", String::new(), 404),
        ("GET", "/tasks/%ff", String::new(), 404),
        ("PUT", "/tasks", String::new(), 405),
        ("GET", "/message:send", String::new(), 405),
        ("GET", "/tasks/nobody", String::new(), 404),
        ("GET", "/tasks?pageSize=0.5", String::new(), 400),
        ("GET", "/tasks?pageSize=101", String::new(), 400),
        ("GET", "/tasks?pageToken=x", String::new(), 400),
        ("GET", "/tasks/1?historyLength=-1", String::new(), 400),
        ("POST", "/message:send", "{".to_owned(), 400),
        ("POST", "/message:send", "[]".to_owned(), 400),
        ("POST", "/message:send", "{}".to_owned(), 400),
        ("POST", "/message:send", deep.to_string(), 400),
        ("POST", "/message:send", "x".repeat(5 << 20), 413),
        ("POST", "/message:send", String::new(), 415),
        (
            "POST",
            "/message:stream",
            r#"{"message":{"messageId":"","role":"ROLE_USER","parts":[]}}"#.to_owned(),
            400,
        ),
        ("POST", "/tasks/1:cancel", r#"{"id":"2"}"#.to_owned(), 400),
        ("POST", "/tasks/1:cancel", "7".to_owned(), 400),
    ] {
        let (answered, error) = read(served.call(request(verb, path, &body)).await).await;
        assert_eq!(answered.as_u16(), status, "{verb} {path}: {error}");
        assert_eq!(error["error"]["code"], status);
        let message = error["error"]["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains("params"), "{message}");
    }
    assert_eq!(served.get("/tasks").await.1["totalSize"], 0);
    served.stop().await;
}

#[tokio::test]
async fn one_point_zero_is_spoken_and_nothing_else() {
    let served = Served::start().await;
    let ask = |path: &str, version: Option<&str>| {
        let mut request = Request::builder().uri(path.to_owned());
        if let Some(version) = version {
            request = request.header("A2A-Version", version);
        }
        served.call(request.body(Body::empty()).unwrap())
    };
    for (path, version, status) in [
        ("/tasks", None, 400),
        ("/tasks", Some("1.0.1"), 200),
        ("/tasks?A2A-Version=1.0", None, 200),
        ("/v1/tasks", Some("1.0"), 200),
        ("/v1/tasks", None, 400),
        ("/tasks", Some("0.3"), 400),
        ("/tasks?A2A-Version=99.0", None, 400),
    ] {
        let (answered, error) = read(ask(path, version).await).await;
        assert_eq!(answered.as_u16(), status, "{path} {version:?}");
        if status == 400 {
            assert_eq!(reason(&error), "VERSION_NOT_SUPPORTED");
        }
    }
    served.stop().await;
}
