use crate::gateway::Gateway;
use crate::support::{Bench, state};
use serde_json::json;

#[tokio::test]
async fn a_worker_is_told_the_tools_it_may_use_and_its_calls_carry_task_and_trace() {
    let gateway = Gateway::start().await;
    let bench = Bench::start(gateway.settings()).await.ready().await;
    let task = bench.send(r#"call crm/get {"id": 7}"#).await;
    assert_eq!(state(&task), "TASK_STATE_COMPLETED", "{task}");
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "got 7");
    let call = gateway.calls().pop().unwrap();
    assert_eq!(call["task"], task["id"]);
    assert_eq!(call["agent"], "sales");
    assert_eq!(call["traceparent"].as_str().unwrap().len(), 55);
    let refused = bench.send("call crm/delete {}").await;
    assert_eq!(state(&refused), "TASK_STATE_FAILED");
    assert!(refused.to_string().contains("not_allowed"), "{refused}");
}

#[tokio::test]
async fn a_call_that_is_open_when_its_task_is_canceled_is_given_up() {
    let gateway = Gateway::start().await;
    let bench = Bench::start(gateway.settings()).await.ready().await;
    let id = bench.begin(r#"call crm/get {"id": "never"}"#).await;
    crate::support::until("the gateway has the call", || gateway.open() == 1).await;
    bench.cancel(&id).await;
    crate::support::until("the call is given up", || gateway.open() == 0).await;
}

#[tokio::test]
async fn a_peer_is_asked_with_the_context_of_the_task_and_asked_again_when_it_was_away() {
    let gateway = Gateway::start().await;
    let bench = Bench::start(gateway.settings()).await.ready().await;
    gateway.leave_once();
    let task = bench.send("agent marketing how are sales?").await;
    assert_eq!(state(&task), "TASK_STATE_COMPLETED", "{task}");
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "fine");
    let calls = gateway.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0]["message"], calls[1]["message"], "the same message, with the same id");
    let asked = &calls[1];
    assert_eq!(asked["message"]["contextId"], task["contextId"]);
    assert_eq!(asked["message"]["referenceTaskIds"], json!([task["id"]]));
}

#[tokio::test]
async fn a_task_that_was_given_to_a_peer_is_canceled_with_the_task_that_gave_it() {
    let gateway = Gateway::start().await;
    let bench = Bench::start(gateway.settings()).await.ready().await;
    let id = bench.begin("agent marketing never").await;
    crate::support::until("the peer is asked", || gateway.open() == 1).await;
    bench.cancel(&id).await;
    crate::support::until("the peer is told", || gateway.canceled() == [json!("given")]).await;
    let calls = gateway.calls();
    assert_eq!(calls[0]["message"], calls[1]["message"], "the same message tells which task it is");
}

#[tokio::test]
async fn a_task_that_was_given_to_a_peer_is_canceled_when_its_giver_is_lost_for_good() {
    let gateway = Gateway::start().await;
    let mut settings = gateway.settings();
    settings.agent.tasks.on_worker_loss = mesh_config::OnWorkerLoss::Fail;
    let bench = Bench::start(settings).await.ready().await;
    let id = bench.begin("agent marketing never").await;
    crate::support::until("the peer is asked", || gateway.open() == 1).await;
    bench.begin("crash").await;
    let mut events = bench.events(&id).await;
    events.until("TASK_STATE_FAILED").await;
    crate::support::until("the peer is told", || gateway.canceled() == [json!("given")]).await;
}

#[tokio::test]
async fn what_is_handed_over_goes_on_at_the_peer() {
    let gateway = Gateway::start().await;
    let bench = Bench::start(gateway.settings()).await.ready().await;
    bench.begin("agent marketing never").await;
    crate::support::until("the peer is asked", || gateway.open() == 1).await;
    bench.host.shutdown(std::time::Duration::ZERO).await;
    crate::support::until("the call is given up", || gateway.open() == 0).await;
    // Whatever the first host might have said of it has come before this.
    let next = Bench::start(gateway.settings()).await.ready().await;
    let id = next.begin("agent marketing never").await;
    crate::support::until("the peer is asked again", || gateway.open() == 1).await;
    next.cancel(&id).await;
    crate::support::until("the peer is told", || !gateway.canceled().is_empty()).await;
    assert_eq!(gateway.canceled(), [json!("given")]);
    let calls = gateway.calls();
    assert_eq!(calls.len(), 3, "nobody asked which task the first one is: {calls:?}");
}

#[tokio::test]
async fn a_worker_finds_tools_among_those_that_it_may_call() {
    let gateway = Gateway::start().await;
    let bench = Bench::start(gateway.settings()).await.ready().await;
    let task = bench.send(r#"discover {"category": "crm", "query": "one & all", "limit": 3}"#).await;
    assert_eq!(state(&task), "TASK_STATE_COMPLETED", "{task}");
    let found = &task["artifacts"][0]["parts"][1]["data"]["tools"];
    let asked = json!({ "query": "category=crm&query=one+%26+all&limit=3", "agent": "sales" });
    assert_eq!(*found, json!([{ "name": "crm/get", "category": "crm", "asked": asked }]));
    let refused = bench.send(r#"discover {"limit": "many"}"#).await;
    assert!(refused.to_string().contains("invalid"), "{refused}");
}
