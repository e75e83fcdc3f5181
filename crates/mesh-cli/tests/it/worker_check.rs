//! `worker check`, with a worker that can be told to break a rule.

use crate::support::{Run, agentmesh};
use futures_util::StreamExt as _;
use std::path::PathBuf;

async fn check(rule: &str, more: &[&str]) -> Run {
    let worker = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/worker.py");
    let worker = worker.to_str().unwrap().to_owned();
    let arguments = [&["worker", "check"], more, &["--", "python3", &worker, rule]].concat();
    agentmesh(&arguments).run().await
}

#[tokio::test]
async fn a_worker_that_keeps_the_rules_passes() {
    let run = check("", &[]).await;
    insta::assert_snapshot!("worker-check", run);
}

#[tokio::test]
async fn each_broken_rule_is_found() {
    let rules = [
        ("print-first", "the first line is `hello`: it is: Starting up …"),
        ("protocol-2", "it says protocol 2, this is 1"),
        ("fatal", "`fatal`: module sales has no attribute crew"),
        ("no-ready", "nothing within 1 s"),
        ("dies-of-the-unknown", "unknown types and fields are ignored: no `pong` with id 2"),
        ("ping-after-task", "the answer came only after the task had ended"),
        (
            "two-ends",
            "also no other one: after it came: {\"type\":\"event\",\"kind\":\"state\",\"state\":\"failed\"",
        ),
        ("talks-on", "also no other one: after it came: "),
        ("one-at-a-time", "the second began only when the first had ended"),
        ("no-cancel", "`cancel` ends a task within the grace period: no terminal state: nothing within"),
        ("no-attempt", "every line about a task carries its id and its attempt: not so: "),
        ("prints", "standard output has only protocol lines: this is none: debugging"),
        ("stays", "the worker exits when standard input ends: it still runs after 2 s"),
    ];
    futures_util::stream::iter(rules)
        .for_each_concurrent(4, |(rule, reason)| async move {
            let run = check(rule, if rule == "no-ready" { &["--start-timeout", "1s"] } else { &[] }).await;
            assert_eq!(run.code, Some(1), "{rule}: {run}");
            assert!(run.stdout.contains(reason), "{rule}: {run}");
        })
        .await;
}

#[tokio::test]
async fn a_worker_that_is_too_fast_is_not_accused() {
    let run = check("fast", &["-o", "json"]).await;
    assert_eq!(run.code, Some(0), "{run}");
    let report = run.json();
    assert_eq!(report["conforms"], true);
    let skipped = |check: &&serde_json::Value| check["verdict"] == "skip";
    assert!(report["checks"].as_array().unwrap().iter().filter(skipped).count() >= 1, "{run}");
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_exit_status_2() {
    let run = agentmesh(&["worker", "check", "--", "/nowhere/worker"]).run().await;
    assert_eq!(run.code, Some(2), "{run}");
}
