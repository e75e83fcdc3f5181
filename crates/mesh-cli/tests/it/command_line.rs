//! Help, parse errors, and what needs no server.

use crate::support::agentmesh;

const COMMANDS: [&[&str]; 29] = [
    &[],
    &["up"],
    &["gateway"],
    &["send"],
    &["tap"],
    &["tasks"],
    &["task"],
    &["context"],
    &["cancel"],
    &["agents"],
    &["card"],
    &["card", "show"],
    &["card", "verify"],
    &["card", "keygen"],
    &["tools"],
    &["call"],
    &["upstreams"],
    &["reload"],
    &["push"],
    &["push", "retry"],
    &["backup"],
    &["restore"],
    &["doctor"],
    &["check"],
    &["schema"],
    &["worker"],
    &["worker", "check"],
    &["version"],
    &["completions"],
];

#[tokio::test]
async fn help_of_every_command() {
    for command in COMMANDS {
        let run = agentmesh(&[command, &["--help"]].concat()).run().await;
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{command:?}");
        let name =
            format!("help-{}", if command.is_empty() { "agentmesh".into() } else { command.join("-") });
        insta::assert_snapshot!(name, run.stdout);
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_exit_status_2() {
    let wrong: [(&str, &[&str]); 10] = [
        ("nothing", &[]),
        ("unknown-command", &["sned", "sales", "hi"]),
        ("no-text", &["send", "sales"]),
        ("stream-and-no-wait", &["send", "sales", "hi", "--no-wait", "--stream"]),
        ("from-zero", &["tap", "t", "--from", "0"]),
        ("state", &["tasks", "--state", "done"]),
        ("page-without-agent", &["tasks", "--page-token", "x"]),
        ("time", &["send", "sales", "hi", "--timeout", "5"]),
        ("storage-and-file", &["doctor", "--storage", "x", "-f", "mesh.yaml"]),
        ("worker-without-command", &["worker", "check"]),
    ];
    for (name, arguments) in wrong {
        let run = agentmesh(arguments).run().await;
        assert_eq!(run.code, Some(2), "{arguments:?}");
        insta::assert_snapshot!(format!("usage-{name}"), run.stderr);
    }
}

#[tokio::test]
async fn version_says_what_is_spoken() {
    let run = agentmesh(&["version"]).run().await;
    assert!(run.stdout.starts_with(concat!("agentmesh ", env!("CARGO_PKG_VERSION"))), "{run}");
    let version = agentmesh(&["version", "-o", "json"]).run().await.json();
    assert_eq!(version["a2a"][0], "1.0");
    assert_eq!(version["mcp"][0], "2026-07-28");
    assert_eq!(version["worker"], 1);
}

#[tokio::test]
async fn completions_know_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = agentmesh(&["completions", shell]).run().await;
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.contains("page-token"), "{shell}");
    }
}
