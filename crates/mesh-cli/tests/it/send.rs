//! `send`.

use crate::support::{
    Frame, Reply, Run, Server, agentmesh, error, event, frames, result, status, task, text_chunk,
};
use serde_json::json;

fn story() -> Vec<serde_json::Value> {
    vec![
        json!({ "task": task("SUBMITTED") }),
        status("WORKING", "Looking up C-1042"),
        text_chunk("Dear "),
        text_chunk("Ada,\n"),
        status("COMPLETED", ""),
    ]
}

async fn send(server: &Server, more: &[&str]) -> Run {
    agentmesh(&[&["send", server.url(), "Prepare a proposal"], more].concat()).run().await
}

#[tokio::test]
async fn a_task_is_streamed_and_its_artifact_is_the_output() {
    let server = Server::start(|_| Reply::Stream(frames(1, &story()))).await;
    let run = send(&server, &["--context", "c-1", "--message-id", "m-1"]).await;
    assert_eq!(
        server.redact(&run),
        "exit: 0\n--- stdout\nDear Ada,\n--- stderr\ntask t-1\nworking  Looking up C-1042\n"
    );
    let calls = server.calls();
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((call.method.as_str(), call.path.as_str()), ("SendStreamingMessage", "/a2a"));
    assert_eq!(call.header("a2a-version"), Some("1.0"));
    assert!(call.header("traceparent").is_some_and(|value| value.starts_with("00-")));
    assert_eq!(
        call.params,
        json!({
            "tenant": "blue", "configuration": {},
            "message": {
                "messageId": "m-1", "role": "ROLE_USER", "contextId": "c-1",
                "parts": [{"text": "Prepare a proposal"}],
            },
        })
    );
}

#[tokio::test]
async fn in_json_every_event_is_a_line() {
    let server = Server::start(|_| Reply::Stream(frames(1, &story()))).await;
    let run = send(&server, &["-o", "json"]).await;
    let expected: Vec<_> =
        (1..).zip(story()).map(|(seq, value)| json!({"seq": seq, "event": value})).collect();
    assert_eq!((run.code, run.json_lines()), (Some(0), expected));
}

#[tokio::test]
async fn a_broken_stream_is_taken_up_behind_the_last_number() {
    let server = Server::start(|call| match call.header("last-event-id") {
        None => {
            let mut events = frames(1, &story()[..3]);
            events.push(Frame::Text("id: 4\ndata: {\"half".to_owned()));
            events.push(Frame::Cut);
            Reply::Stream(events)
        }
        Some("3") if call.nth == 0 => Reply::Http(503, vec![], json!(null)),
        // One that was seen already comes again.
        Some("3") => Reply::Stream(frames(3, &story()[2..])),
        other => panic!("{other:?}"),
    })
    .await;
    let run = send(&server, &["-o", "json"]).await;
    let numbers: Vec<_> = run.json_lines().iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!((run.code, numbers), (Some(0), vec![1, 2, 3, 4, 5]), "{run}");
    assert_eq!(server.methods(), ["SendStreamingMessage", "SubscribeToTask", "SubscribeToTask"]);
    assert!(run.stderr.contains("connecting again from number 4"), "{run}");
}

#[tokio::test]
async fn a_message_is_never_sent_twice() {
    let server = Server::start(|_| Reply::Stream(vec![Frame::Cut])).await;
    let run = send(&server, &[]).await;
    assert_eq!(run.code, Some(3), "{run}");
    assert!(run.stderr.contains("hint: ") && run.stderr.contains("--message-id"), "{run}");
    assert_eq!(server.methods(), ["SendStreamingMessage"]);
}

#[tokio::test]
async fn a_failed_task_is_exit_status_1() {
    for state in ["FAILED", "REJECTED", "CANCELED"] {
        let server = Server::start(move |_| {
            Reply::Stream(frames(1, &[json!({"task": task("WORKING")}), status(state, "no such customer")]))
        })
        .await;
        let run = send(&server, &[]).await;
        let expected = format!(
            "exit: 1\n--- stdout\n--- stderr\ntask t-1\nerror: task {}: no such customer\n",
            state.to_lowercase()
        );
        assert_eq!(run.to_string(), expected);
    }
}

#[tokio::test]
async fn a_question_is_exit_status_6_and_says_how_to_answer() {
    // The server leaves the stream open: somebody has to answer first.
    let server = Server::start(|_| {
        let mut events =
            frames(1, &[json!({"task": task("WORKING")}), status("INPUT_REQUIRED", "Which one?")]);
        events.push(Frame::Hang);
        Reply::Stream(events)
    })
    .await;
    let run = send(&server, &[]).await;
    assert_eq!(
        server.redact(&run),
        "exit: 6\n--- stdout\n--- stderr\ntask t-1\nerror: the task asks: Which one?\n\
         hint: answer with: agentmesh send http://SERVER --task t-1 \"…\"\n"
    );
}

#[tokio::test]
async fn an_answer_goes_on_although_the_first_snapshot_still_asks() {
    let server = Server::start(|call| {
        assert_eq!(call.params["message"]["taskId"], "t-1");
        Reply::Stream(frames(5, &[json!({"task": task("INPUT_REQUIRED")}), status("COMPLETED", "Thanks")]))
    })
    .await;
    let run = send(&server, &["--task", "t-1"]).await;
    assert_eq!(run.to_string(), "exit: 0\n--- stdout\nThanks\n--- stderr\ntask t-1\n");
}

#[tokio::test]
async fn an_agent_may_answer_without_a_task() {
    let message = json!({"message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "Hello"}]}});
    let server = Server::start(move |_| Reply::Stream(vec![event(None, message.clone())])).await;
    assert_eq!(send(&server, &[]).await.to_string(), "exit: 0\n--- stdout\nHello\n--- stderr\n");
}

#[tokio::test]
async fn a_server_without_streaming_is_waited_for() {
    let server = Server::start(|call| match call.method.as_str() {
        "SendStreamingMessage" => error(-32004, "no streaming"),
        _ => {
            let mut task = task("COMPLETED");
            task["artifacts"] = json!([
                {"artifactId": "a", "parts": [{"text": "one"}]},
                {"artifactId": "b", "name": "Data", "parts": [{"data": {"n": 1}}]},
            ]);
            result(json!({ "task": task }))
        }
    })
    .await;
    let run = send(&server, &[]).await;
    let expected =
        "exit: 0\n--- stdout\n── a ──\none\n── b (Data) ──\n{\n  \"n\": 1\n}\n--- stderr\ntask t-1\n";
    assert_eq!(run.to_string(), expected);
    let document = send(&server, &["--no-stream", "-o", "json"]).await.json();
    assert_eq!(document["task"]["artifacts"][1]["name"], "Data");
}

#[tokio::test]
async fn without_waiting_the_output_is_the_task() {
    let server = Server::start(|call| {
        assert_eq!(call.params["configuration"]["returnImmediately"], true);
        result(json!({"task": task("SUBMITTED")}))
    })
    .await;
    assert_eq!(send(&server, &["--no-wait"]).await.to_string(), "exit: 0\n--- stdout\nt-1\n--- stderr\n");
}

#[tokio::test]
async fn files_and_standard_input_are_parts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("figures.csv");
    std::fs::write(&path, "a,b\n").unwrap();
    let server = Server::start(|_| result(json!({"task": task("SUBMITTED")}))).await;
    let run = agentmesh(&["send", server.url(), "-", "--no-wait", "--file", path.to_str().unwrap()])
        .input("from a pipe\n")
        .run()
        .await;
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(
        server.calls()[0].params["message"]["parts"],
        json!([
            {"text": "from a pipe\n"},
            {"raw": "YSxiCg==", "filename": "figures.csv", "mediaType": "text/csv"},
        ])
    );
    let run = send(&server, &["--file", "/nowhere"]).await;
    assert_eq!(run.code, Some(2), "{run}");
}

#[tokio::test]
async fn protocol_errors_are_shown() {
    for (code, message, exit, hint) in [
        (-32602, "message.parts: is empty", 1, ""),
        (-32001, "no task `t-9`", 4, ""),
        (-32050, "the queue is full", 1, "hint: try again later\n"),
    ] {
        let server = Server::start(move |_| error(code, message)).await;
        let expected = format!("exit: {exit}\n--- stdout\n--- stderr\nerror: {message}\n{hint}");
        assert_eq!(send(&server, &[]).await.to_string(), expected);
    }
}

#[tokio::test]
async fn nobody_there_is_exit_status_3() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let run = agentmesh(&["send", &url, "hi"]).run().await;
    assert_eq!(run.code, Some(3), "{run}");
    assert!(run.stderr.starts_with("error: cannot reach "), "{run}");
    let run = agentmesh(&["send", "sales", "hi"]).env("AGENT_GATEWAY_URL", &url).run().await;
    assert_eq!(run.code, Some(3), "{run}");
    assert!(run.stderr.contains("hint: start a mesh with `agentmesh up`"), "{run}");
}

#[tokio::test]
async fn not_an_agent_is_said_in_words() {
    let server = Server::start(|_| Reply::Empty(500)).await;
    let url = format!("{}/elsewhere", server.url());
    let run = agentmesh(&["send", &url, "hi"]).run().await;
    assert_eq!(run.code, Some(4), "{run}");
    server.set_card(json!({"name": "old", "protocolVersion": "0.3.0", "url": server.url()}));
    let run = send(&server, &[]).await;
    assert_eq!(
        server.redact(&run),
        "exit: 3\n--- stdout\n--- stderr\n\
         error: the agent does not speak A2A 1.0 over JSON-RPC (http://SERVER/.well-known/agent-card.json)\n\
         hint: its card is of protocol version 0.3.0, before 1.0\n"
    );
}

#[tokio::test]
async fn text_of_an_agent_cannot_steer_the_terminal() {
    let server = Server::start(|_| {
        Reply::Stream(frames(
            1,
            &[json!({"task": task("WORKING")}), text_chunk("\u{1b}[2Jgone\u{7}"), status("COMPLETED", "")],
        ))
    })
    .await;
    assert_eq!(send(&server, &[]).await.stdout, "\u{fffd}[2Jgone\u{fffd}\n");
}

#[tokio::test]
async fn giving_up_says_that_the_task_goes_on() {
    let server =
        Server::start(|_| Reply::Stream(vec![event(1, json!({"task": task("WORKING")})), Frame::Hang])).await;
    let run = send(&server, &["--timeout", "500ms"]).await;
    assert_eq!(run.code, Some(3), "{run}");
    assert!(run.stderr.contains("hint: the task goes on: agentmesh tap t-1 --agent "), "{run}");
}
