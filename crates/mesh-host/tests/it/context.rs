//! What the tasks of a context share: a memory and what was said before.

use crate::support::{Bench, body, message, settings, state};
use axum::body::Body;
use http::Request;
use mesh_core::lifecycle::Phase;
use mesh_core::{AgentName, HostId, Principal, TaskKey};
use mesh_host::HostSettings;
use mesh_log::{Append, EventLog, MemoryLog};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn of(agent: &str, person: &str) -> HostSettings {
    HostSettings { name: AgentName::from(agent), caller: Principal::person("default", person), ..settings() }
}

/// The task after it has settled.
async fn say(bench: &Bench, context: &str, program: &str) -> Value {
    let mut message = message(program);
    message["contextId"] = context.into();
    let answer = bench.rpc("SendMessage", json!({ "message": message })).await;
    answer["result"]["task"].clone()
}

/// What a call came to.
async fn result(bench: &Bench, context: &str, program: &str) -> Value {
    let task = say(bench, context, program).await;
    assert_eq!(state(&task), "TASK_STATE_COMPLETED", "{task}");
    task["artifacts"][0]["parts"][1]["data"].clone()
}

/// Why a task failed.
async fn failure(bench: &Bench, context: &str, program: &str) -> String {
    let task = say(bench, context, program).await;
    assert_eq!(state(&task), "TASK_STATE_FAILED", "{task}");
    task["status"]["message"]["parts"][0]["text"].as_str().unwrap().to_owned()
}

async fn shown(bench: &Bench, path: &str) -> Value {
    let response =
        bench.request(Request::get(path).header("a2a-version", "1.0").body(Body::empty()).unwrap()).await;
    serde_json::from_slice(&body(response).await.1).unwrap()
}

#[tokio::test]
async fn an_entry_is_read_changed_by_version_listed_and_deleted() {
    let bench = Bench::start(settings()).await.ready().await;
    let missing = failure(&bench, "c", r#"memory {"op":"get","key":"k"}"#).await;
    assert!(missing.starts_with("not_found"), "{missing}");
    let put = result(&bench, "c", r#"memory {"op":"put","key":"k","value":{"a":null},"expect":0}"#).await;
    let version = put["version"].as_u64().unwrap();
    let entry = result(&bench, "c", r#"memory {"op":"get","key":"k"}"#).await;
    assert_eq!((&entry["value"], &entry["version"]), (&json!({ "a": null }), &json!(version)));
    assert_eq!((&entry["key"], &entry["agent"]), (&json!("k"), &json!("sales")));
    let conflict = failure(&bench, "c", r#"memory {"op":"put","key":"k","value":2,"expect":0}"#).await;
    assert_eq!(conflict, format!("conflict: the entry is at version {version}"));
    let program = format!(r#"memory {{"op":"put","key":"k","value":null,"expect":{version}}}"#);
    let newer = result(&bench, "c", &program).await["version"].as_u64().unwrap();
    assert!(newer > version);
    result(&bench, "c", r#"memory {"op":"put","key":"a/b \u0000","value":[1]}"#).await;
    let listed = result(&bench, "c", r#"memory {"op":"list"}"#).await;
    let keys: Vec<&Value> = listed["entries"].as_array().unwrap().iter().map(|entry| &entry["key"]).collect();
    assert_eq!(keys, ["a/b \u{0}", "k"]);
    let page = result(&bench, "c", r#"memory {"op":"list","limit":1}"#).await;
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["next"]), (1, &json!("a/b \u{0}")));
    let rest = result(&bench, "c", r#"memory {"op":"list","after":"a/b \u0000"}"#).await;
    assert_eq!((&rest["entries"][0]["key"], rest.get("next")), (&json!("k"), None));
    let stale =
        failure(&bench, "c", &format!(r#"memory {{"op":"delete","key":"k","expect":{version}}}"#)).await;
    assert!(stale.starts_with("conflict"), "{stale}");
    for _ in 0..2 {
        result(&bench, "c", r#"memory {"op":"delete","key":"k"}"#).await;
    }
    assert!(failure(&bench, "c", r#"memory {"op":"get","key":"k"}"#).await.starts_with("not_found"));
}

#[tokio::test]
async fn what_is_too_large_or_no_entry_is_refused_and_changes_nothing() {
    let mut small = settings();
    (small.limits.context_entry, small.limits.context_key, small.limits.context_entries) = (1024, 8, 2);
    small.limits.depth = 8;
    let bench = Bench::start(small).await.ready().await;
    let put = |key: &str, value: String| format!(r#"memory {{"op":"put","key":"{key}","value":{value}}}"#);
    let long = format!("\"{}\"", "x".repeat(1023));
    let deep = format!("{}{}", "[".repeat(9), "]".repeat(9));
    for (program, code, name) in [
        (put("k", long), "too_large", "limits.context_entry"),
        (put("123456789", "1".to_owned()), "too_large", "limits.context_key"),
        (put("", "1".to_owned()), "invalid", "the key is empty"),
        (put("k", deep), "invalid", "limits.depth"),
        (r#"memory {"op":"take"}"#.to_owned(), "invalid", "`op`"),
        (r#"memory {"op":"put","key":"k"}"#.to_owned(), "invalid", "`value`"),
        ("memory 7".to_owned(), "invalid", "memory: "),
        (r#"history {"before":"none"}"#.to_owned(), "not_found", "before"),
    ] {
        let why = failure(&bench, "c", &program).await;
        assert!(why.starts_with(code) && why.contains(name), "{program}: {why}");
    }
    assert_eq!(shown(&bench, "/extensions/context/c").await["entries"], json!([]));
    for key in ["a", "b", "a"] {
        result(&bench, "c", &put(key, "1".to_owned())).await;
    }
    let full = failure(&bench, "c", &put("c", "1".to_owned())).await;
    assert!(full.starts_with("too_large") && full.contains("limits.context_entries"), "{full}");
    result(&bench, "other", &put("c", "1".to_owned())).await;
}

#[tokio::test]
async fn those_who_fill_a_memory_at_the_same_moment_do_not_overfill_it() {
    let mut small = settings();
    small.limits.context_entries = 3;
    let bench = Arc::new(Bench::start(small).await.ready().await);
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..12 {
        let bench = Arc::clone(&bench);
        writers.spawn(async move {
            let program = format!(r#"memory {{"op":"put","key":"k{n}","value":{n}}}"#);
            state(&say(&bench, "c", &program).await) == "TASK_STATE_COMPLETED"
        });
    }
    let written = writers.join_all().await.into_iter().filter(|written| *written).count();
    let entries = shown(&bench, "/extensions/context/c").await["entries"].as_array().unwrap().len();
    assert_eq!(entries, written);
    assert!(entries <= 3, "{entries}");
}

#[tokio::test]
async fn agents_share_the_context_of_one_person_and_nobody_else_does() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let sales = Bench::on(of("sales", "ada"), Arc::clone(&log)).await.ready().await;
    let marketing = Bench::on(of("marketing", "ada"), Arc::clone(&log)).await.ready().await;
    let other = Bench::on(of("sales", "bob"), Arc::clone(&log)).await.ready().await;
    result(&sales, "c", r#"memory {"op":"put","key":"k","value":"ada's"}"#).await;
    result(&other, "c", r#"memory {"op":"put","key":"k","value":"bob's","expect":0}"#).await;
    let seen = result(&marketing, "c", r#"memory {"op":"get","key":"k"}"#).await;
    assert_eq!((&seen["value"], &seen["agent"]), (&json!("ada's"), &json!("sales")));
    assert!(failure(&marketing, "d", r#"memory {"op":"get","key":"k"}"#).await.starts_with("not_found"));
    let told = result(&marketing, "c", r#"history {"artifacts":true}"#).await.to_string();
    assert!(told.contains("ada's") && !told.contains("bob's"), "{told}");
    for (bench, value) in [(&sales, "ada's"), (&marketing, "ada's"), (&other, "bob's")] {
        let entries = shown(bench, "/extensions/context/c").await["entries"].clone();
        assert_eq!(entries.as_array().unwrap().iter().map(|e| &e["value"]).collect::<Vec<_>>(), [value]);
    }
    assert_eq!(shown(&sales, "/elsewhere/extensions/context/c").await["entries"], json!([]));
}

#[tokio::test]
async fn a_worker_reads_what_was_said_before_in_order_and_in_pages() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let sales = Bench::on(of("sales", "ada"), Arc::clone(&log)).await.ready().await;
    let marketing = Bench::on(of("marketing", "ada"), Arc::clone(&log)).await.ready().await;
    say(&sales, "c", "echo one").await;
    say(&marketing, "c", "echo two").await;
    say(&sales, "elsewhere", "echo three").await;
    say(&sales, "c", "fail four").await;
    let told = result(&marketing, "c", r#"history {"artifacts":true}"#).await;
    let tasks: Vec<(&str, &str, &str)> = told["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| {
            let text = |of: &'static str| task.pointer(of).and_then(Value::as_str).unwrap_or_default();
            (text("/agent"), text("/messages/0/parts/0/text"), text("/artifacts/0/parts/0/text"))
        })
        .collect();
    assert_eq!(
        tasks,
        [("sales", "echo one", "one"), ("marketing", "echo two", "two"), ("sales", "fail four", "")]
    );
    assert_eq!(
        told["tasks"][2]["messages"][1]["parts"][0]["text"], "four",
        "the last word is one of the messages"
    );
    assert_eq!(told["tasks"][2]["state"], "TASK_STATE_FAILED");
    let last = result(&sales, "c", r#"history {"limit":2}"#).await;
    let texts = |page: &Value| -> Vec<String> {
        let tasks = page["tasks"].as_array().unwrap();
        tasks
            .iter()
            .map(|task| task["messages"][0]["parts"][0]["text"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(texts(&last)[0], "fail four");
    assert_eq!(last["tasks"][0].get("artifacts"), None);
    let earlier = format!(r#"history {{"limit":2,"before":{}}}"#, last["before"]);
    let earlier = result(&sales, "c", &earlier).await;
    assert_eq!(texts(&earlier), ["echo one", "echo two"]);
    assert_eq!(earlier.get("before"), None);
}

#[tokio::test]
async fn a_long_history_is_told_once_and_in_order() {
    let bench = Bench::start(settings()).await.ready().await;
    for n in 0..120 {
        say(&bench, "c", &format!("echo {n}")).await;
    }
    let mut texts: Vec<String> = Vec::new();
    let mut before = Value::Null;
    loop {
        let page = result(&bench, "c", &format!(r#"history {{"limit":50,"before":{before}}}"#)).await;
        let tasks = page["tasks"].as_array().unwrap();
        let text = |task: &Value| task["messages"][0]["parts"][0]["text"].as_str().unwrap().to_owned();
        texts.splice(0..0, tasks.iter().map(text).filter(|text| text.starts_with("echo")));
        before = page["before"].clone();
        if before.is_null() {
            break;
        }
    }
    assert_eq!(texts, (0..120).map(|n| format!("echo {n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_task_that_is_too_large_for_a_page_is_told_without_what_it_produced() {
    let bench = Bench::start(settings()).await.ready().await;
    say(&bench, "c", "chunks 30 60000").await;
    let told = result(&bench, "c", r#"history {"artifacts":true}"#).await;
    assert_eq!((&told["tasks"][0]["truncated"], told["tasks"][0].get("artifacts")), (&json!(true), None));
}

#[tokio::test]
async fn clients_read_the_memory_by_either_binding_page_by_page() {
    let bench = Bench::start(settings()).await.ready().await;
    for key in ["a", "b", "c"] {
        result(&bench, "c/1", &format!(r#"memory {{"op":"put","key":"{key}","value":1}}"#)).await;
    }
    let first = shown(&bench, "/extensions/context/c%2F1?pageSize=2").await;
    assert_eq!((&first["contextId"], &first["entries"][0]["agent"]), (&json!("c/1"), &json!("sales")));
    assert_eq!(first["entries"].as_array().unwrap().len(), 2);
    let params = json!({ "contextId": "c/1", "pageToken": first["nextPageToken"] });
    let rest = bench.rpc("agentmesh.GetContext", params).await;
    assert_eq!(rest["result"]["entries"][0]["key"], "c");
    assert_eq!(rest["result"]["nextPageToken"], "");
    for query in ["pageSize=101", "pageSize=-1", "pageToken=%C3%A4", "page_size=1"] {
        let refused = shown(&bench, &format!("/extensions/context/c?{query}")).await;
        assert_eq!(refused["error"]["code"], 400, "{refused}");
    }
    let card = shown(&bench, "/.well-known/agent-card.json").await;
    assert!(card["capabilities"]["extensions"].to_string().contains(mesh_host::CONTEXT_EXTENSION), "{card}");
}

/// As if another host had taken the task over while this one was frozen and has noticed nothing yet.
async fn take_over(log: &dyn EventLog, id: &str, attempt: u32) {
    let mut head = log.head(&TaskKey::new("default".into(), id.into())).await.unwrap().unwrap();
    head.control.phase = Phase::Running(attempt);
    head.control.attempts = attempt;
    head.control.holder = Some(HostId::generate());
    log.append(Append { expected_seq: head.seq, events: Vec::new(), head, creates: None }).await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_is_not_the_tasks_any_more_writes_nothing() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let bench = Bench::on(settings(), Arc::clone(&log)).await.ready().await;
    result(&bench, "c", r#"memory {"op":"put","key":"k","value":"old"}"#).await;
    let folder = tempfile::tempdir().unwrap();
    for (n, call) in [
        (1, r#"{"op":"put","key":"k","value":"new"}"#),
        (2, r#"{"op":"put","key":"more","value":"new"}"#),
        (2, r#"{"op":"delete","key":"k"}"#),
    ] {
        let go = folder.path().join(call.len().to_string());
        let mut message = message(&format!("wait-file {} && memory {call}", go.display()));
        message["contextId"] = "c".into();
        let params = json!({ "message": message, "configuration": { "returnImmediately": true } });
        let task = bench.rpc("SendMessage", params).await["result"]["task"]["id"].clone();
        let id = task.as_str().unwrap();
        let mut events = bench.events(id).await;
        events.until("waiting").await;
        take_over(&*log, id, n).await;
        std::fs::write(&go, "").unwrap();
        events.until("the attempt is over").await;
        let entries = shown(&bench, "/extensions/context/c").await["entries"].clone();
        assert_eq!((entries.as_array().unwrap().len(), &entries[0]["value"]), (1, &json!("old")), "{call}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
    /// Two hosts, several attempts at a time: whoever adds from what it has read, at the version that it has read, loses
    /// nothing.
    #[test]
    fn no_count_is_lost_between_attempts_and_hosts(counts in prop::collection::vec(1..8_u32, 1..6)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let total = runtime.block_on(async {
            let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new().for_several_hosts());
            let hosts = [
                Arc::new(Bench::on(settings(), Arc::clone(&log)).await.ready().await),
                Arc::new(Bench::on(of("other", "local"), Arc::clone(&log)).await.ready().await),
            ];
            let mut running = tokio::task::JoinSet::new();
            for (n, times) in counts.iter().enumerate() {
                let (bench, program) = (Arc::clone(&hosts[n % 2]), format!("count n {times}"));
                running.spawn(async move { say(&bench, "c", &program).await });
            }
            running.join_all().await;
            let total = result(&hosts[0], "c", r#"memory {"op":"get","key":"n"}"#).await["value"].clone();
            for bench in hosts {
                bench.host.shutdown(std::time::Duration::ZERO).await;
            }
            total
        });
        prop_assert_eq!(total, json!(counts.iter().sum::<u32>()));
    }
}
