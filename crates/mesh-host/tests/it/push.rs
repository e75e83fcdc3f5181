//! Push notifications, with a receiver that listens.

use crate::support::{Bench, body, message, settings, state, until};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, Request, StatusCode};
use mesh_host::{HostSettings, PUSH_STATE_EXTENSION};
use mesh_log::{EventLog, Expect, MemoryLog, Space};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Somebody who is posted to.
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    /// How many more posts are refused.
    refuse: Arc<Mutex<usize>>,
}

impl Receiver {
    async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let take = |State(this): State<Self>, headers: HeaderMap, body: Bytes| async move {
            let mut refuse = this.refuse.lock().unwrap();
            if *refuse > 0 {
                *refuse -= 1;
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            this.got.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
            StatusCode::OK
        };
        let moved = || async { (StatusCode::TEMPORARY_REDIRECT, [("location", "/")]) };
        let router =
            Router::new().route("/", post(take)).route("/moved", post(moved)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    }

    fn refuse(&self, times: usize) {
        *self.refuse.lock().unwrap() = times;
    }

    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// What came, without what came twice; the numbers must be in order.
    fn events(&self) -> Vec<Value> {
        let mut last = 0;
        let mut events = Vec::new();
        for (headers, event) in self.got.lock().unwrap().iter() {
            let id = headers["webhook-id"].to_str().unwrap();
            let number: u64 = id.rsplit('.').next().unwrap().parse().unwrap();
            assert!(number <= last + 1, "{id} after {last}");
            if number == last + 1 {
                events.push(event.clone());
            }
            last = last.max(number);
        }
        events
    }

    fn has_ended(&self) -> bool {
        self.got
            .lock()
            .unwrap()
            .last()
            .is_some_and(|(_, event)| event.to_string().contains("TASK_STATE_COMPLETED"))
    }
}

fn allowing() -> HostSettings {
    let mut settings = settings();
    settings.push.allow = vec!["127.0.0.0/8".to_owned()];
    settings
}

fn sent(program: &str, config: &Value) -> Value {
    json!({
        "message": message(program),
        "configuration": { "returnImmediately": true, "taskPushNotificationConfig": config },
    })
}

async fn begin(bench: &Bench, program: &str, config: &Value) -> String {
    let answer = bench.rpc("SendMessage", sent(program, config)).await;
    answer["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_task_is_posted_in_order_with_what_the_client_asked_for() {
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    let bench = Bench::start(allowing()).await.ready().await;
    receiver.refuse(3);
    let config = json!({
        "id": "c", "url": url, "token": "tok", "authentication": { "scheme": "Bearer", "credentials": "secret" }
    });
    let id = begin(&bench, "chunks 5 10 && echo done", &config).await;
    until("the last event is posted", || receiver.has_ended()).await;
    let logged = bench.events(&id).await.rest_after(0).await;
    let logged: Vec<Value> = logged.into_iter().map(|event| event["result"].clone()).collect();
    assert_eq!(receiver.events(), logged);
    let (headers, _) = receiver.got.lock().unwrap()[0].clone();
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(headers["x-a2a-notification-token"], "tok");
    assert_eq!(headers["content-type"], "application/a2a+json");
    assert!(!headers.contains_key("webhook-signature"), "there is no key");
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_are_created_read_listed_and_deleted() {
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    let mut settings = allowing();
    settings.push.per_task = 2;
    let bench = Bench::start(settings).await.ready().await;
    let id = bench.begin("hang").await;
    let rpc = |method: &'static str, params: Value| bench.rpc(method, params);
    let created =
        rpc("CreateTaskPushNotificationConfig", json!({ "taskId": id, "id": "a", "url": url })).await;
    assert_eq!(created["result"], json!({ "taskId": id, "id": "a", "url": url }));
    let named = rpc("CreateTaskPushNotificationConfig", json!({ "taskId": id, "url": url })).await;
    let name = named["result"]["id"].as_str().unwrap();
    assert!(!name.is_empty(), "a name was made");
    let third = rpc("CreateTaskPushNotificationConfig", json!({ "taskId": id, "id": "b", "url": url })).await;
    assert!(third["error"]["message"].as_str().unwrap().contains("push.per_task"), "{third}");
    let again =
        rpc("CreateTaskPushNotificationConfig", json!({ "taskId": id, "id": "a", "url": url, "token": "t" }))
            .await;
    assert_eq!(again["result"]["token"], "t");
    let got = rpc("GetTaskPushNotificationConfig", json!({ "taskId": id, "id": "a" })).await;
    assert_eq!(got["result"], again["result"]);
    let list = rpc("ListTaskPushNotificationConfigs", json!({ "taskId": id })).await;
    assert_eq!(list["result"]["configs"].as_array().unwrap().len(), 2);
    for _ in 0..2 {
        let gone = rpc("DeleteTaskPushNotificationConfig", json!({ "taskId": id, "id": "a" })).await;
        assert_eq!(gone["result"], json!({}));
    }
    let got = rpc("GetTaskPushNotificationConfig", json!({ "taskId": id, "id": "a" })).await;
    assert_eq!(got["error"]["code"], -32001, "{got}");
    let unknown = rpc("ListTaskPushNotificationConfigs", json!({ "taskId": "nobody" })).await;
    assert_eq!(unknown["error"]["code"], -32001, "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_for_a_running_task_gets_what_comes_after_it_and_one_that_is_deleted_nothing() {
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    let bench = Bench::start(allowing()).await.ready().await;
    let id = bench.begin("hang").await;
    bench.events(&id).await.until("hanging").await;
    for name in ["kept", "gone"] {
        bench.rpc("CreateTaskPushNotificationConfig", json!({ "taskId": id, "id": name, "url": url })).await;
    }
    bench.rpc("DeleteTaskPushNotificationConfig", json!({ "taskId": id, "id": "gone" })).await;
    bench.cancel(&id).await;
    until("the end is posted", || receiver.count() > 0).await;
    let got = receiver.got.lock().unwrap().clone();
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!(got[0].1["statusUpdate"]["status"]["state"], "TASK_STATE_CANCELED");
    assert!(got[0].0["webhook-id"].to_str().unwrap().contains(".kept."));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_posted_before_a_restart_is_posted_after_it() {
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    receiver.refuse(usize::MAX);
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let first = Bench::on(allowing(), Arc::clone(&log)).await.ready().await;
    let id = begin(&first, "echo a && echo b", &json!({ "url": url })).await;
    first.events(&id).await.until("COMPLETED").await;
    first.host.shutdown(Duration::ZERO).await;
    assert_eq!(receiver.count(), 0);
    receiver.refuse(0);
    let second = Bench::on(allowing(), log).await;
    until("the last event is posted", || receiver.has_ended()).await;
    assert_eq!(receiver.events().len(), second.events(&id).await.rest_after(0).await.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_takes_anything_is_given_up_and_a_redirect_is_not_followed() {
    let receiver = Receiver::default();
    let url = receiver.listen().await + "/moved";
    let mut settings = allowing();
    settings.push.retry_for = Duration::from_millis(1);
    let bench = Bench::start(settings).await.ready().await;
    let id = begin(&bench, "echo a", &json!({ "url": url })).await;
    bench.events(&id).await.until("COMPLETED").await;
    let given_up =
        || bench.metrics().contains("a2a_push_notifications_total{agent=\"sales\",outcome=\"given_up\"} 1");
    until("it is given up", given_up).await;
    assert_eq!(receiver.count(), 0);
    assert_eq!(state(&bench.get(&id).await), "TASK_STATE_COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_to_be_called_is_refused_before_anything_happens() {
    let bench = Bench::start(settings()).await.ready().await;
    for url in [
        "http://127.0.0.1:1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "file:///etc",
    ] {
        let answer = bench.rpc("SendMessage", sent("echo x", &json!({ "url": url }))).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        let why = answer["error"]["message"].as_str().unwrap();
        assert!(why.contains("taskPushNotificationConfig.url"), "{why}");
    }
    let list = bench.rpc("ListTasks", json!({})).await;
    assert_eq!(list["result"]["totalSize"], 0, "no task was made");
    let mut settings = settings();
    settings.push.per_task = 0;
    let off = Bench::start(settings).await.ready().await;
    let answer = off.rpc("SendMessage", sent("echo x", &json!({ "url": "https://a.example/" }))).await;
    assert_eq!(answer["error"]["code"], -32003, "{answer}");
    for method in ["Create", "Get", "List", "Delete"] {
        let plural = if method == "List" { "s" } else { "" };
        let method = format!("{method}TaskPushNotificationConfig{plural}");
        assert_eq!(off.rpc(&method, json!({})).await["error"]["code"], -32003, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_gone_leaves_its_notifications_to_another() {
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    receiver.refuse(usize::MAX);
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new().for_several_hosts());
    let mut settings = allowing();
    settings.agent.tasks.lease = Duration::from_millis(300);
    let one = Bench::on(settings.clone(), Arc::clone(&log)).await.ready().await;
    let id = begin(&one, "echo a", &json!({ "url": url })).await;
    one.events(&id).await.until("COMPLETED").await;
    let other = Bench::on(settings, log).await;
    one.host.shutdown(Duration::ZERO).await;
    receiver.refuse(0);
    until("the last event is posted", || receiver.has_ended()).await;
    assert_eq!(receiver.events().len(), other.events(&id).await.rest_after(0).await.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_created_anew_goes_on_from_there() {
    let (old, new) = (Receiver::default(), Receiver::default());
    let (dead, url) = (old.listen().await + "/moved", new.listen().await);
    let bench = Bench::start(allowing()).await.ready().await;
    let id = bench.begin("hang").await;
    bench.events(&id).await.until("hanging").await;
    for url in [dead, url] {
        let config = json!({ "taskId": id, "id": "a", "url": url });
        assert!(bench.rpc("CreateTaskPushNotificationConfig", config).await["result"].is_object());
    }
    bench.cancel(&id).await;
    until("the end is posted to the new address", || new.count() == 1).await;
    assert_eq!(old.count(), 0);
}

/// Trims a task as retention would, a long time later.
async fn trim(log: &dyn EventLog, id: &str) -> u64 {
    let key = mesh_core::TaskKey::new("default".into(), id.into());
    let head = log.head(&key).await.unwrap().unwrap();
    let snapshot =
        json!({ "task": { "id": id, "contextId": head.context_id, "status": { "state": head.state } } });
    let task = mesh_log::Trim { key, seq: head.seq, snapshot: Some(snapshot.to_string().into()) };
    assert_eq!(log.trim(vec![task]).await.unwrap().len(), 1);
    head.seq
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_lacks_events_that_were_trimmed_gets_the_task_as_it_is() {
    let receiver = Receiver::default();
    let url = receiver.listen().await;
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let bench = Bench::on(allowing(), Arc::clone(&log)).await.ready().await;
    let id = begin(&bench, "chunks 5 10", &json!({ "id": "c", "url": url })).await;
    until("the last event is posted", || receiver.has_ended()).await;
    bench.host.shutdown(Duration::ZERO).await;
    let last = trim(&*log, &id).await;
    // As if the receiver had been away all the time.
    let records = log.records();
    let found = records.list(Space::Push, None, "", None, 10).await.unwrap().remove(0);
    let mut record: Value = serde_json::from_slice(&found.value).unwrap();
    (record["delivered"], record["state"]) = (json!(2), json!("active"));
    records.put(&found.key, record.to_string().into(), Expect::Anything).await.unwrap();
    receiver.got.lock().unwrap().clear();

    let _next = Bench::on(allowing(), Arc::clone(&log)).await;
    until("the snapshot is posted", || receiver.has_ended()).await;
    let got = receiver.got.lock().unwrap().clone();
    let [(headers, body)] = &got[..] else { panic!("{} posts", got.len()) };
    assert!(headers["webhook-id"].to_str().unwrap().ends_with(&format!(".{last}")), "{headers:?}");
    assert_eq!(body["task"]["id"], id.as_str());
}

const ASKING: &[(&str, &str)] = &[("a2a-extensions", "urn:other, urn:agentmesh:a2a-extension:push-state:v1")];

/// What the extension says of a task, asked for by GetTask and by ListTasks.
async fn given_up(bench: &Bench, id: &str) -> Value {
    let get = bench.rpc_with("GetTask", json!({ "id": id }), ASKING).await;
    let list = bench.rpc_with("ListTasks", json!({}), ASKING).await;
    let tasks = list["result"]["tasks"].as_array().unwrap();
    let listed = tasks.iter().find(|task| task["id"] == id).unwrap();
    let state = &get["result"]["metadata"][PUSH_STATE_EXTENSION]["givenUp"];
    assert_eq!(state, &listed["metadata"][PUSH_STATE_EXTENSION]["givenUp"]);
    state.clone()
}

/// A host with a task whose notifications were given up, from the first on.
async fn with_one_given_up(receiver: &Receiver, log: Arc<dyn EventLog>) -> (Bench, String) {
    let url = receiver.listen().await;
    receiver.refuse(usize::MAX);
    let mut settings = allowing();
    settings.push.retry_for = Duration::from_millis(1);
    let bench = Bench::on(settings, log).await.ready().await;
    let config = json!({ "id": "hook", "url": url, "token": "a-secret-token" });
    let id = begin(&bench, "echo a && echo b", &config).await;
    bench.events(&id).await.until("COMPLETED").await;
    until("it is given up", || bench.gauge("a2a_push_given_up") == 1).await;
    (bench, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_shown_to_who_asks_and_delivered_when_it_is_tried_again() {
    let receiver = Receiver::default();
    let (bench, id) = with_one_given_up(&receiver, Arc::new(MemoryLog::new())).await;
    let other = begin(&bench, "echo b", &json!({ "url": receiver.listen().await })).await;
    bench.events(&other).await.until("COMPLETED").await;
    until("that one, too", || bench.gauge("a2a_push_given_up") == 2).await;

    let state = given_up(&bench, &id).await;
    assert_eq!(state.as_array().unwrap().len(), 1, "{state}");
    assert_eq!((state[0]["id"].as_str(), state[0]["event"].as_u64()), (Some("hook"), Some(1)), "{state}");
    assert_eq!(state[0]["error"], "it answered 503 Service Unavailable");
    assert!(state[0]["since"].as_str().unwrap() >= state[0]["failingSince"].as_str().unwrap(), "{state}");
    assert!(!state.to_string().contains("secret") && !state.to_string().contains("127.0.0.1"), "{state}");
    let plain = bench.get(&id).await;
    assert!(plain["metadata"].is_null(), "who does not ask notices nothing: {plain}");

    receiver.refuse(0);
    let retried =
        bench.rpc("agentmesh.RetryTaskPushNotificationConfig", json!({ "taskId": id, "id": "hook" })).await;
    assert_eq!(retried["result"], json!({ "retried": ["hook"] }));
    until("the last event is posted", || receiver.has_ended()).await;
    assert_eq!(receiver.events().len(), bench.events(&id).await.rest_after(0).await.len());
    assert!(given_up(&bench, &id).await.is_null());
    assert_eq!(bench.gauge("a2a_push_given_up"), 1);
    let again = bench.rpc("agentmesh.RetryTaskPushNotificationConfig", json!({ "taskId": id })).await;
    assert_eq!(again["result"], json!({ "retried": [] }));
    for (task, config) in [(id.as_str(), "other"), ("nobody", "hook")] {
        let params = json!({ "taskId": task, "id": config });
        let refused = bench.rpc("agentmesh.RetryTaskPushNotificationConfig", params).await;
        assert_eq!(refused["error"]["code"], -32001, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_known_after_a_restart_and_tried_again_over_http_json() {
    let receiver = Receiver::default();
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let (first, id) = with_one_given_up(&receiver, Arc::clone(&log)).await;
    first.host.shutdown(Duration::ZERO).await;
    let second = Bench::on(allowing(), log).await.ready().await;
    assert_eq!(second.gauge("a2a_push_given_up"), 1);
    assert_eq!(given_up(&second, &id).await[0]["id"], "hook");
    receiver.refuse(0);
    let post = |path: String| Request::post(path).header("a2a-version", "1.0").body(Body::empty()).unwrap();
    let path = format!("/tasks/{id}/pushNotificationConfigs/hook");
    assert_eq!(second.request(post(path.clone())).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    let answer = second.request(post(path + ":retry")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(body(answer).await.1, br#"{"retried":["hook"]}"#);
    until("the last event is posted", || receiver.has_ended()).await;
    assert_eq!(second.gauge("a2a_push_given_up"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_deleted_or_created_anew_is_not_given_up_any_more() {
    let receiver = Receiver::default();
    let (bench, id) = with_one_given_up(&receiver, Arc::new(MemoryLog::new())).await;
    let anew = json!({ "taskId": id, "id": "hook", "url": receiver.listen().await });
    bench.rpc("CreateTaskPushNotificationConfig", anew).await;
    assert!(given_up(&bench, &id).await.is_null());
    assert_eq!(bench.gauge("a2a_push_given_up"), 0);
    let (bench, id) = with_one_given_up(&receiver, Arc::new(MemoryLog::new())).await;
    bench.rpc("DeleteTaskPushNotificationConfig", json!({ "taskId": id, "id": "hook" })).await;
    assert!(given_up(&bench, &id).await.is_null());
    assert_eq!(bench.gauge("a2a_push_given_up"), 0);
}
