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
         AGENT  HEALTH  LAST SEEN  SOURCE  URL                                SKILLS    DESCRIPTION\n\
         sales  -       -          -       http://SERVER/agents/sales  proposal  Writes proposals\n--- stderr\n"
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

fn server_of_a_context(call: &crate::support::Call) -> crate::support::Reply {
    let page = call.params["pageToken"].as_str();
    match call.method.as_str() {
        "ListTasks" => {
            assert_eq!(call.params["contextId"], "c-1");
            let mut one = task("COMPLETED");
            one["history"] = json!([{"role": "ROLE_USER", "parts": [{"text": "campaign\nfigures"}]}]);
            one["artifacts"] = json!([{"artifactId": "response", "parts": [{"text": "41"}]}]);
            result(json!({"tasks": [one], "nextPageToken": ""}))
        }
        "agentmesh.GetContext" => {
            assert_eq!((&call.params["contextId"], &call.params["tenant"]), (&json!("c-1"), &json!("blue")));
            let entry = |key: &str, version: u64| {
                json!({"key": key, "value": {"n": version}, "version": version, "agent": "sales",
                    "task": "t-1", "updated": "2026-11-22T14:02:11.120Z"})
            };
            match page {
                None => {
                    result(json!({"contextId": "c-1", "entries": [entry("a", 7)], "nextPageToken": "p2"}))
                }
                Some(_) => {
                    result(json!({"contextId": "c-1", "entries": [entry("b", 9)], "nextPageToken": ""}))
                }
            }
        }
        other => error(-32601, other),
    }
}

fn card_with_context(server: &Server) -> serde_json::Value {
    let interface = json!({
        "url": format!("{}/a2a", server.url()), "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "blue",
    });
    let extensions = json!([{"uri": "urn:agentmesh:a2a-extension:context:v1"}]);
    json!({"name": "Sales", "supportedInterfaces": [interface], "capabilities": {"extensions": extensions}})
}

#[tokio::test]
async fn a_context_is_shown_with_its_tasks_what_was_said_and_its_memory() {
    let server = Server::start(server_of_a_context).await;
    server.set_card(card_with_context(&server));
    let run = agentmesh(&["context", "c-1", "--gateway", server.url()]).run().await;
    insta::assert_snapshot!("context", run);
    let document = agentmesh(&["context", "c-1", "-o", "json", "--agent", server.url()]).run().await.json();
    assert_eq!(document["tasks"][0]["task"]["id"], "t-1");
    assert_eq!(document["memory"].as_array().unwrap().len(), 2);
    assert_eq!(document["memory"][1]["value"], json!({"n": 9}));
}

#[tokio::test]
async fn a_context_that_nobody_knows_is_exit_status_4() {
    let server = Server::start(|call| match call.method.as_str() {
        "ListTasks" => result(json!({"tasks": [], "nextPageToken": ""})),
        other => error(-32601, other),
    })
    .await;
    let run = agentmesh(&["context", "c-9", "--gateway", server.url()]).run().await;
    assert_eq!(
        run.to_string(),
        "exit: 4\n--- stdout\n--- stderr\nerror: nothing is known of a context `c-9`\n\
         hint: `agentmesh tasks` shows the contexts of tasks; an agent outside the directory is named with --agent URL\n"
    );
    // An agent without the extension is not asked for what it does not have.
    assert_eq!(server.methods(), ["ListTasks"]);
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
        "agentmesh.RetryTaskPushNotificationConfig" if call.params["id"] == "" => {
            result(json!({ "retried": ["hook", "b"] }))
        }
        "agentmesh.RetryTaskPushNotificationConfig" if call.params["id"] == "hook" => {
            result(json!({ "retried": [] }))
        }
        "agentmesh.RetryTaskPushNotificationConfig" => error(-32001, "task `t-1` not found"),
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
