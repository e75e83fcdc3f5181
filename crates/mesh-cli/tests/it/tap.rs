//! `tap`.

use crate::support::{
    Frame, Reply, Run, Server, agentmesh, error, event, frames, result, status, task, text_chunk,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

fn story() -> Vec<Value> {
    vec![
        json!({ "task": task("SUBMITTED") }),
        status("WORKING", "Looking up\nC-1042"),
        text_chunk("Dear \"Ada\"\n"),
        status("COMPLETED", ""),
    ]
}

/// A host of Agent Mesh: it replays what is asked for, and ends with the task.
async fn host() -> Server {
    Server::start(|call| match call.method.as_str() {
        "GetTask" => result(task("COMPLETED")),
        "SubscribeToTask" => match call.header("last-event-id").map(|id| id.parse::<u64>().unwrap()) {
            None => error(-32004, "the task has ended"),
            Some(after) => {
                let rest: Vec<Value> = story().into_iter().skip(usize::try_from(after).unwrap()).collect();
                Reply::Stream(frames(after + 1, &rest))
            }
        },
        method => panic!("{method}"),
    })
    .await
}

async fn tap(server: &Server, more: &[&str]) -> Run {
    agentmesh(&[&["tap", "t-1", "--agent", server.url()], more].concat()).run().await
}

#[tokio::test]
async fn a_finished_task_is_shown_from_its_first_event() {
    insta::assert_snapshot!("tap-finished", tap(&host().await, &[]).await);
}

#[tokio::test]
async fn from_a_number_that_event_is_the_first() {
    let run = tap(&host().await, &["--from", "3", "-o", "json"]).await;
    let expected = [json!({"seq": 3, "event": story()[2]}), json!({"seq": 4, "event": story()[3]})];
    assert_eq!((run.code, run.json_lines()), (Some(0), expected.to_vec()));
}

#[tokio::test]
async fn behind_the_end_there_is_nothing() {
    for more in [["--from", "5"].as_slice(), &["--from", "9", "--no-follow"]] {
        let run = tap(&host().await, more).await;
        assert_eq!(run.to_string(), "exit: 0\n--- stdout\n--- stderr\n");
    }
}

#[tokio::test]
async fn without_an_agent_the_directory_is_asked() {
    let server = host().await;
    let run = agentmesh(&["tap", "t-1", "--gateway", server.url(), "--from", "4", "-o", "json"]).run().await;
    assert_eq!((run.code, run.json_lines().len()), (Some(0), 1), "{run}");
    let nobody = Server::start(|_| error(-32001, "no task")).await;
    let run = agentmesh(&["tap", "t-1", "--gateway", nobody.url()]).run().await;
    assert_eq!(run.code, Some(4), "{run}");
    assert!(run.stderr.contains("no agent of the directory has a task `t-1`"), "{run}");
}

#[tokio::test]
async fn no_number_is_missed_or_repeated_across_broken_connections() {
    // The connection breaks behind every event.
    let server = Server::start(|call| match call.method.as_str() {
        "GetTask" => result(task("WORKING")),
        _ => {
            let after: usize = call.header("last-event-id").unwrap().parse().unwrap();
            let next = after as u64 + 1;
            Reply::Stream(vec![event(next, story()[after].clone()), Frame::Cut])
        }
    })
    .await;
    let run = tap(&server, &["-o", "json"]).await;
    let expected: Vec<_> =
        (1..).zip(story()).map(|(seq, value)| json!({"seq": seq, "event": value})).collect();
    assert_eq!((run.code, run.json_lines()), (Some(0), expected), "{run}");
    assert_eq!(run.stderr.matches("connecting again from number").count(), 3, "{run}");
}

#[tokio::test]
async fn a_gap_is_said() {
    let server = Server::start(|call| match call.method.as_str() {
        "GetTask" => result(task("WORKING")),
        _ => Reply::Stream(vec![event(1, story()[0].clone()), event(4, story()[3].clone())]),
    })
    .await;
    let run = tap(&server, &[]).await;
    assert_eq!(run.code, Some(0), "{run}");
    assert!(run.stderr.contains("warning: events 2 to 3 did not come"), "{run}");
}

#[tokio::test]
async fn what_has_happened_so_far_ends_at_the_present_number() {
    let server = Server::start(|call| match (call.method.as_str(), call.header("last-event-id")) {
        ("GetTask", _) => result(task("WORKING")),
        (_, None) => Reply::Stream(vec![event(2, json!({"task": task("WORKING")})), Frame::Hang]),
        (_, Some(_)) => {
            let mut events = frames(1, &story()[..2]);
            events.push(Frame::Hang);
            Reply::Stream(events)
        }
    })
    .await;
    let run = tap(&server, &["--no-follow", "-o", "json"]).await;
    assert_eq!((run.code, run.json_lines().len()), (Some(0), 2), "{run}");
}

#[tokio::test]
async fn a_server_that_does_not_number_is_followed_from_its_snapshot() {
    let server = Server::start(|call| match call.method.as_str() {
        "GetTask" if call.nth == 0 => result(task("WORKING")),
        "GetTask" => result(task("COMPLETED")),
        // It goes away, and when it is asked again the task has ended.
        _ if call.nth == 0 => Reply::Stream(vec![
            event(None, json!({"task": task("WORKING")})),
            event(None, status("WORKING", "still at it")),
            Frame::Cut,
        ]),
        _ => {
            assert_eq!(call.header("last-event-id"), None);
            error(-32004, "the task has ended")
        }
    })
    .await;
    let run = tap(&server, &["-o", "json"]).await;
    let lines = run.json_lines();
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["seq"].is_null()));
    assert_eq!(lines[2]["event"]["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(run.stderr.matches("does not number its events").count(), 1, "{run}");
}

#[tokio::test]
async fn ctrl_c_is_exit_status_130_and_says_how_to_go_on() {
    let server = Server::start(|call| match call.method.as_str() {
        "GetTask" => result(task("WORKING")),
        _ => {
            let mut events = frames(1, &story()[..2]);
            events.push(Frame::Hang);
            Reply::Stream(events)
        }
    })
    .await;
    let mut child = agentmesh(&["tap", "t-1", "--agent", server.url(), "-o", "json"]).start();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        lines.next_line().await.unwrap().unwrap();
    }
    kill(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()), Signal::SIGINT).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).await.unwrap();
    let status = child.wait().await.unwrap();
    assert_eq!(status.code(), Some(130), "{status}, {stderr}");
    assert!(stderr.starts_with("hint: the task goes on: agentmesh tap t-1 --agent http"), "{stderr}");
}

#[tokio::test]
async fn events_that_are_no_longer_kept_are_not_skipped_in_silence() {
    let gone = "the task's events up to number 9 are no longer kept one by one";
    let expected = format!(
        "exit: 4\n--- stdout\n--- stderr\nerror: {gone}\nhint: agentmesh task ID shows the task as it is\n"
    );
    for more in [[].as_slice(), &["--from", "3"], &["--no-follow"]] {
        let server = Server::start(move |call| match call.method.as_str() {
            "GetTask" => result(task("COMPLETED")),
            _ if call.header("last-event-id").is_none() => error(-32004, "the task has ended"),
            _ => error(-32051, gone),
        })
        .await;
        let run = tap(&server, more).await;
        assert_eq!(run.to_string(), expected, "{more:?}");
    }
    // Also in the middle of a stream.
    let server = Server::start(move |call| match call.method.as_str() {
        "GetTask" => result(task("WORKING")),
        _ => {
            let broken =
                json!({ "jsonrpc": "2.0", "id": "ID", "error": { "code": -32051, "message": gone } });
            Reply::Stream(vec![event(1, story()[0].clone()), Frame::Text(format!("data: {broken}\n\n"))])
        }
    })
    .await;
    let run = tap(&server, &[]).await;
    assert!(run.code == Some(4) && run.stderr.contains(gone), "{run}");
}
