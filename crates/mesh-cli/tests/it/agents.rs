//! `agents`, `tasks`, `task` and `cancel`.

use crate::support::{Server, agentmesh, error, result, task};
use serde_json::json;

#[tokio::test]
async fn agents_of_the_directory() {
    let server = Server::start(|_| error(-32601, "no")).await;
    let run = agentmesh(&["agents", "--gateway", server.url()]).run().await;
    assert_eq!(
        server.redact(&run),
        "exit: 0\n--- stdout\n\
         AGENT  URL                                SKILLS    DESCRIPTION\n\
         sales  http://SERVER/agents/sales  proposal  Writes proposals\n--- stderr\n"
            .replace(
                "URL                                ",
                &format!("URL{}", " ".repeat(server.url().len() + 12))
            )
    );
    let document =
        agentmesh(&["agents", "-o", "json"]).env("AGENT_GATEWAY_URL", server.url()).run().await.json();
    assert_eq!(document["agents"][0]["name"], "sales");
}

#[tokio::test]
async fn the_mesh_file_says_where_the_gateway_is() {
    let server = Server::start(|_| error(-32601, "no")).await;
    let folder = tempfile::tempdir().unwrap();
    let listen = server.url().strip_prefix("http://").unwrap();
    std::fs::write(
        folder.path().join("mesh.yaml"),
        format!("mesh: x\ngateway: {{ listen: \"{listen}\" }}\n"),
    )
    .unwrap();
    let run = agentmesh(&["agents"]).folder(folder.path()).run().await;
    assert_eq!(run.code, Some(0), "{run}");
    let path = folder.path().join("mesh.yaml");
    let run = agentmesh(&["agents", "-f", path.to_str().unwrap()]).run().await;
    assert_eq!(run.code, Some(0), "{run}");
    let run = agentmesh(&["agents", "-f", "/nowhere.yaml"]).run().await;
    assert_eq!(run.code, Some(5), "{run}");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_exit_status_4() {
    let server = Server::start(|_| error(-32601, "no")).await;
    let run = agentmesh(&["tasks", "slaes", "--gateway", server.url()]).run().await;
    assert_eq!(
        server.redact(&run),
        "exit: 4\n--- stdout\n--- stderr\nerror: no agent `slaes` at http://SERVER\nhint: did you mean `sales`?\n"
    );
}

#[tokio::test]
async fn tasks_are_filtered_and_paged_by_the_server() {
    let server = Server::start(|call| {
        assert_eq!(call.method, "ListTasks");
        result(json!({"tasks": [task("WORKING")], "nextPageToken": "p2", "totalSize": 2, "pageSize": 1}))
    })
    .await;
    let arguments =
        ["tasks", "sales", "--state", "working", "--context", "c-1", "--limit", "1", "--page-token", "p1"];
    let run = agentmesh(&arguments).env("AGENT_GATEWAY_URL", server.url()).run().await;
    assert_eq!(
        run.to_string(),
        "exit: 0\n--- stdout\n\
         TASK  AGENT  STATE    SINCE                CONTEXT  SAYS\n\
         t-1   sales  working  2026-11-22 14:02:11  c-1\n\
         --- stderr\nmore: agentmesh tasks sales --page-token p2\n"
    );
    let expected = json!({
        "pageSize": 1, "status": "TASK_STATE_WORKING", "contextId": "c-1", "pageToken": "p1", "tenant": "blue",
    });
    assert_eq!(server.calls()[0].params, expected);
    let document = agentmesh(&["tasks", "--gateway", server.url(), "-o", "json"]).run().await.json();
    assert_eq!(document["tasks"][0]["agent"], "sales");
    assert_eq!(document["tasks"][0]["task"]["id"], "t-1");
}

#[tokio::test]
async fn a_task_with_its_artifacts_and_history() {
    let server = Server::start(|call| {
        assert_eq!(call.params["historyLength"], 5);
        let mut task = task("COMPLETED");
        task["status"]["message"] = json!({"parts": [{"text": "Done"}]});
        task["history"] = json!([{"role": "ROLE_USER", "parts": [{"text": "Please"}]}]);
        task["artifacts"] = json!([{"artifactId": "response", "parts": [{"text": "Dear Ada\n"}]}]);
        result(task)
    })
    .await;
    let run = agentmesh(&["task", "t-1", "--gateway", server.url(), "--history", "5"]).run().await;
    insta::assert_snapshot!("task", run);
}

#[tokio::test]
async fn canceling() {
    let server = Server::start(|call| match call.method.as_str() {
        "GetTask" => result(task("WORKING")),
        "CancelTask" if call.params["id"] == "t-1" => result(task("CANCELED")),
        _ => error(-32002, "the task has ended"),
    })
    .await;
    let run = agentmesh(&["cancel", "t-1", "--gateway", server.url()]).run().await;
    assert_eq!(run.to_string(), "exit: 0\n--- stdout\nt-1  canceled\n--- stderr\n");
    let run = agentmesh(&["cancel", "t-2", "--agent", server.url()]).run().await;
    assert_eq!(run.to_string(), "exit: 1\n--- stdout\n--- stderr\nerror: the task has ended\n");
}

/// A task whose push notifications were given up, as a host tells of it.
fn given_up() -> serde_json::Value {
    let mut task = task("COMPLETED");
    task["metadata"] = json!({ "urn:agentmesh:a2a-extension:push-state:v1": { "givenUp": [
        { "id": "hook", "since": "2026-11-22T15:02:11.120Z", "failingSince": "2026-11-22T14:02:11.120Z", "event": 4,
          "tries": 63, "error": "it answered 503 Service Unavailable\u{1b}[2J" }
    ] } });
    task
}

#[tokio::test]
async fn push_notifications_that_were_given_up_are_shown() {
    let server = Server::start(|call| {
        assert_eq!(call.header("a2a-extensions"), Some("urn:agentmesh:a2a-extension:push-state:v1"));
        match call.method.as_str() {
            "ListTasks" => result(json!({ "tasks": [given_up(), task("WORKING")] })),
            _ => result(given_up()),
        }
    })
    .await;
    let run = agentmesh(&["tasks", "--gateway", server.url()]).run().await;
    insta::assert_snapshot!("tasks-given-up", run);
    let run = agentmesh(&["task", "t-1", "--gateway", server.url()]).run().await;
    insta::assert_snapshot!("task-given-up", run);
}

#[tokio::test]
async fn trying_push_notifications_again() {
    let server = Server::start(|call| match call.method.as_str() {
        "GetTask" => result(task("COMPLETED")),
        "RetryTaskPushNotificationConfig" if call.params["id"] == "" => {
            result(json!({ "retried": ["hook", "b"] }))
        }
        "RetryTaskPushNotificationConfig" if call.params["id"] == "hook" => result(json!({ "retried": [] })),
        "RetryTaskPushNotificationConfig" => error(-32001, "task `t-1` not found"),
        _ => error(-32601, "no"),
    })
    .await;
    let run = agentmesh(&["push", "retry", "t-1", "--gateway", server.url()]).run().await;
    assert_eq!(
        run.to_string(),
        "exit: 0\n--- stdout\nt-1  hook  is tried again\nt-1  b  is tried again\n--- stderr\n"
    );
    assert_eq!(server.calls()[1].params, json!({ "taskId": "t-1", "id": "", "tenant": "blue" }));
    let run = agentmesh(&["push", "retry", "t-1", "hook", "--agent", server.url(), "-o", "json"]).run().await;
    assert_eq!(run.json(), json!({ "task": "t-1", "retried": [] }));
    let run = agentmesh(&["push", "retry", "t-1", "other", "--agent", server.url()]).run().await;
    assert_eq!(run.code, Some(4), "{run}");
}
