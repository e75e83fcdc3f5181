//! Another configuration while the gateway runs.

use crate::support::{TestGateway, at, echo, eventually};
use async_trait::async_trait;
use mesh_config::Upstream;
use mesh_gateway::{
    Discovery, Found, Hosts, MeshFile, Problem, ReloadHandle, ReloadOutcome, Reloader, UpstreamSet,
    WatchedFolder,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A source that says what it is told to.
#[derive(Default)]
struct Told(Mutex<Found>);

impl Told {
    fn tell(&self, upstreams: &[(&str, Upstream)]) {
        let upstreams = upstreams.iter().map(|(id, upstream)| ((*id).to_owned(), upstream.clone())).collect();
        let set = UpstreamSet { upstreams, ..UpstreamSet::default() };
        self.0.lock().unwrap().sets = vec![("told".to_owned(), Ok(set))];
    }

    fn break_it(&self) {
        self.0.lock().unwrap().sets = vec![("told".to_owned(), Err("a typing error".to_owned()))];
    }
}

#[async_trait]
impl Discovery for Told {
    async fn read(&self, _taken: &BTreeMap<String, String>) -> Result<Found, Problem> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn changed(&self) {
        std::future::pending().await
    }
}

async fn follow(gateway: &TestGateway, source: Arc<dyn Discovery>) -> ReloadHandle {
    let handle = Reloader::start(&gateway.gateway, vec![source], true);
    handle.begun().await;
    handle
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_calls_fail_none_of_them() {
    const RELOADS: u64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("kept").to_str().unwrap().to_owned();
    let kept = echo(&["--record", &record]);
    let changing = |n: u64| Upstream { timeout: Duration::from_secs(60 + n), ..echo(&[]) };
    let source = Arc::new(Told::default());
    source.tell(&[("kept", kept.clone()), ("changing", changing(0))]);
    let gateway = Arc::new(TestGateway::start(&[]).await);
    let handle = follow(&gateway, Arc::clone(&source) as Arc<dyn Discovery>).await;

    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|n| {
            let (gateway, stop, made) = (Arc::clone(&gateway), Arc::clone(&stop), Arc::clone(&made));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let (path, tool) =
                        [("/mcp", "changing_echo"), ("/mcp", "kept_echo"), ("/mcp/changing", "echo")][n % 3];
                    let answer = gateway.call(path, tool, json!({"n": n})).await;
                    assert_eq!(answer["result"]["structuredContent"]["n"], n, "{answer}");
                    made.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for n in 1..=RELOADS {
        source.tell(&[("kept", kept.clone()), ("changing", changing(n))]);
        let reloaded = handle.reload().await.unwrap();
        assert_eq!((reloaded.kept, &*reloaded.replaced), (1, &["changing".to_owned()][..]), "{reloaded:?}");
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(made.load(Ordering::Relaxed) > 100);
    let read = std::fs::read_to_string(record).unwrap();
    let started = read.lines().filter(|line| line.contains("server/discover")).count();
    assert_eq!(started, 1, "the upstream that did not change was never started again");
}

/// A server with one tool, which answers when it is released.
async fn slow(
    body: bytes::Bytes,
    entered: Arc<AtomicUsize>,
    mut released: tokio::sync::watch::Receiver<bool>,
) -> ([(&'static str, &'static str); 1], String) {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" => {
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}})
        }
        "tools/list" => json!({"resultType": "complete", "tools": [{"name": "slow", "inputSchema": {}}]}),
        _ => {
            entered.fetch_add(1, Ordering::Relaxed);
            let _ = released.wait_for(|released| *released).await;
            json!({"resultType": "complete", "content": []})
        }
    };
    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
    ([("content-type", "application/json")], answer.to_string())
}

#[tokio::test]
async fn a_call_that_is_open_when_its_upstream_goes_still_gets_its_answer() {
    let (release, released) = tokio::sync::watch::channel(false);
    let entered = Arc::new(AtomicUsize::new(0));
    let answer = {
        let entered = Arc::clone(&entered);
        move |body: bytes::Bytes| slow(body, Arc::clone(&entered), released.clone())
    };
    let router = axum::Router::new().route("/mcp", axum::routing::post(answer));
    let url = crate::support::serve(router).await;
    let source = Arc::new(Told::default());
    source.tell(&[("slow", at(&format!("{url}/mcp"), &[]))]);
    let gateway = Arc::new(TestGateway::start(&[]).await);
    let handle = follow(&gateway, Arc::clone(&source) as Arc<dyn Discovery>).await;
    let call = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.call("/mcp", "slow_slow", json!({})).await }
    });
    eventually(|| entered.load(Ordering::Relaxed) == 1).await;
    source.tell(&[]);
    assert_eq!(handle.reload().await.unwrap().removed, ["slow"]);
    assert_eq!(gateway.call("/mcp", "slow_slow", json!({})).await["error"]["code"], -32602);
    release.send(true).unwrap();
    let answer = call.await.unwrap();
    assert!(answer["result"].is_object(), "{answer}");
}

#[tokio::test]
async fn what_is_broken_changes_nothing_and_is_told() {
    let source = Arc::new(Told::default());
    source.tell(&[("crm", echo(&[]))]);
    let gateway = TestGateway::start(&[]).await;
    let handle = follow(&gateway, Arc::clone(&source) as Arc<dyn Discovery>).await;
    assert_eq!(handle.last().added, ["crm"]);
    source.break_it();
    let reloaded = handle.reload().await.unwrap();
    assert_eq!((reloaded.outcome, reloaded.kept), (ReloadOutcome::Unchanged, 1));
    assert_eq!(reloaded.problems, [Problem { source: "told".into(), message: "a typing error".into() }]);
    assert!(gateway.metrics().contains("agentmesh_config_problems 1"));
    assert!(gateway.call("/mcp", "crm_echo", json!({})).await["result"].is_object());

    let admin = gateway.gateway.admin_router(handle, Hosts::LoopbackAnd(Vec::new()));
    let url = crate::support::serve(admin).await;
    let last: Value =
        gateway.client.get(format!("{url}/api/reload")).send().await.unwrap().json().await.unwrap();
    assert_eq!(last["problems"][0]["message"], "a typing error");
    let upstreams: Value =
        gateway.client.get(format!("{url}/api/upstreams")).send().await.unwrap().json().await.unwrap();
    let crm = &upstreams["upstreams"][0];
    assert_eq!((&crm["id"], &crm["source"], &crm["tools"]), (&json!("crm"), &json!("told"), &json!(12)));
    let request = gateway.client.post(format!("{url}/api/reload")).header("origin", "https://evil.example");
    assert_eq!(request.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_mesh_file_that_is_broken_from_the_beginning_leaves_what_the_gateway_was_started_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    let text = "tools: { crm: { url: \"http://127.0.0.1:1/mcp\" } }";
    std::fs::write(&file, text).unwrap();
    let started = mesh_config::load(&file, &mesh_config::LoadOptions::new(&|_| None)).unwrap();
    std::fs::write(&file, "tools: [").unwrap();
    let gateway = TestGateway::start(&[("crm", started.tools["crm"].clone())]).await;
    let source = MeshFile::new(file.clone(), started, false, Arc::new(|_: &str| None));
    let handle = follow(&gateway, Arc::new(source)).await;
    assert_eq!((handle.last().kept, handle.last().problems.len()), (1, 1));
    std::fs::write(&file, format!("limits: {{ depth: 20 }}\n{text}")).unwrap();
    let reloaded = handle.reload().await.unwrap();
    assert_eq!((reloaded.kept, reloaded.needs_restart), (1, vec!["limits".to_owned()]));
    assert_eq!(gateway.gateway.health()[0].id, "crm");
}

#[tokio::test]
async fn what_cannot_be_set_up_leaves_everything_as_it_was() {
    let source = Arc::new(Told::default());
    source.tell(&[("crm", echo(&[]))]);
    let gateway = TestGateway::start(&[]).await;
    let handle = follow(&gateway, Arc::clone(&source) as Arc<dyn Discovery>).await;
    source.tell(&[("erp", at("http://127.0.0.1:1/mcp", &[("not a header", "x")]))]);
    let reloaded = handle.reload().await.unwrap();
    assert_eq!((reloaded.outcome, reloaded.kept), (ReloadOutcome::Failed, 1));
    assert!(reloaded.problems[0].message.contains("upstream `erp`"), "{reloaded:?}");
    assert!(gateway.call("/mcp", "crm_echo", json!({})).await["result"].is_object());
    assert_eq!(handle.places().keys().collect::<Vec<_>>(), ["crm"]);
}

#[tokio::test]
async fn a_new_upstream_that_is_down_is_taken_over_and_named() {
    let source = Arc::new(Told::default());
    let gateway = TestGateway::start(&[]).await;
    let handle = follow(&gateway, Arc::clone(&source) as Arc<dyn Discovery>).await;
    source.tell(&[("crm", echo(&[])), ("away", at("http://127.0.0.1:1/mcp", &[]))]);
    let reloaded = handle.reload().await.unwrap();
    assert_eq!(
        (&*reloaded.added, &*reloaded.unavailable),
        (&["away".into(), "crm".into()][..], &["away".into()][..])
    );
    assert_eq!(gateway.tools("/mcp").await.len(), 12, "the other one is not held up");
    assert_eq!(gateway.call("/mcp/away", "x", json!({})).await["error"]["code"], -31503);
}

fn write(folder: &Path, file: &str, text: &str) {
    // As editors and deployments do it: never half a file.
    let (draft, file) = (folder.join(".draft"), folder.join(file));
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(draft, file).unwrap();
}

#[tokio::test]
async fn the_files_of_a_watched_directory_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let mesh_config::Endpoint::Process { command, .. } = echo(&[]).endpoint else { panic!() };
    let upstream = |id: &str| format!("tools: {{ {id}: {{ command: [{:?}] }} }}\n", command[0]);
    let source = WatchedFolder::new(folder.path().to_owned(), Arc::new(|_: &str| None));
    let gateway = TestGateway::start(&[]).await;
    let handle = follow(&gateway, Arc::new(source)).await;
    let ids = || gateway.gateway.health().iter().map(|health| health.id.clone()).collect::<Vec<_>>();

    write(folder.path(), "a.yaml", &upstream("one"));
    write(
        folder.path(),
        "b.yml",
        &(upstream("two") + "toolsets: { kit: { tools: [one/echo, two/echo] } }\n"),
    );
    write(folder.path(), "notes.txt", "not for the gateway");
    eventually(|| ids() == ["one", "two"]).await;
    assert_eq!(gateway.tools("/mcp/kit").await, ["one_echo", "two_echo"]);

    // A broken file and one with a name that is taken: what was in force stays, and each is told.
    write(folder.path(), "a.yaml", "tools: { one: { kommand: [x] } }");
    write(folder.path(), "c.yaml", &upstream("two"));
    eventually(|| handle.last().problems.len() == 2).await;
    assert_eq!(ids(), ["one", "two"]);
    let told =
        handle.last().problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("\n");
    assert!(told.contains("a.yaml:1:17") && told.contains("did you mean `command`?"), "{told}");
    assert!(
        told.contains("`two` is already the name of an upstream or toolset of") && told.contains("c.yaml:1"),
        "{told}"
    );

    std::fs::remove_file(folder.path().join("a.yaml")).unwrap();
    std::fs::remove_file(folder.path().join("c.yaml")).unwrap();
    eventually(|| ids() == ["two"]).await;
    assert_eq!(gateway.tools("/mcp/kit").await, ["two_echo"]);
    let problem = "toolsets.kit names the upstream `one`, which nobody has";
    assert_eq!(handle.last().problems[0].message, problem);

    // A directory that cannot be read keeps everything as it was.
    let gone = folder.path().to_owned();
    folder.close().unwrap();
    eventually(|| handle.last().problems.iter().any(|problem| problem.message.contains("cannot be read")))
        .await;
    assert_eq!(ids(), ["two"], "{}", gone.display());
}
