//! The scripted worker, driven as a host would.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A worker process and its streams.
struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_scripted-worker"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the worker starts");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        Self { process, input, output }
    }

    /// A worker that is ready.
    fn ready() -> Self {
        let mut worker = Self::start(&[]);
        assert_eq!(worker.line()["type"], "hello");
        worker.tell(&json!({"type": "config", "protocol": 1, "limits": {"line_bytes": 2000}}));
        assert_eq!(worker.line()["type"], "ready");
        worker
    }

    fn tell(&mut self, line: &Value) {
        let input = self.input.as_mut().expect("standard input is open");
        writeln!(input, "{line}").expect("the worker reads");
    }

    fn task(&mut self, attempt: u32, text: &str, answers: &[&str]) {
        let message = |text: &str| json!({"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]});
        let answers: Vec<_> = answers.iter().map(|text| message(text)).collect();
        self.tell(&json!({"type": "task", "task": "t", "attempt": attempt, "context": "c",
            "message": message(text), "answers": answers}));
    }

    /// The next line, or `null` at the end.
    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the worker writes UTF-8");
        if line.is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&line).unwrap_or_else(|_| json!({"malformed": line}))
    }

    /// Everything up to the end of the attempt, shortened: texts of chunks, and states.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let line = self.line();
            assert!(line.is_null() || line["task"] == "t", "{line}");
            let state = line["state"].as_str().unwrap_or_default();
            told.push(match line["kind"].as_str() {
                Some("artifact") => {
                    let mode = if line["append"] == true { "+" } else { "=" };
                    let last = if line["lastChunk"] == true { "." } else { "" };
                    format!(
                        "{mode}{}{last}",
                        line["artifact"]["parts"][0]["text"].as_str().unwrap_or_default()
                    )
                }
                Some("status") => line["text"].as_str().unwrap_or_default().to_owned(),
                Some("state") => format!("{state}:{}", line["text"].as_str().unwrap_or_default()),
                _ => format!("{line}"),
            });
            if line.is_null() || line["kind"] == "state" || line["type"] == "call" {
                return told;
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn bench_is_ten_chunks_and_completion() {
    let mut worker = Worker::ready();
    worker.task(1, "bench", &[]);
    let told = worker.told();
    assert_eq!(told.len(), 11);
    assert!(told[0].starts_with("=chunk 1 of 10"), "{told:?}");
    assert!(told[1..10].iter().all(|chunk| chunk.starts_with('+')), "{told:?}");
    assert!(told[9].ends_with('.') && told[10] == "completed:", "{told:?}");
}

#[test]
fn a_question_waits_for_its_answer_unless_it_is_recorded() {
    let mut worker = Worker::ready();
    worker.task(1, "ask who? && ask why?", &["Ada"]);
    assert_eq!(worker.told(), ["=Ada.", "input-required:why?"]);
    let answer = json!({"messageId": "a", "role": "ROLE_USER", "parts": [{"text": "because"}]});
    worker.tell(&json!({"type": "input", "task": "t", "attempt": 1, "message": answer}));
    assert_eq!(worker.told(), ["+because.", "completed:"]);
}

#[test]
fn a_call_puts_its_result_into_an_artifact_and_a_refusal_fails_the_task() {
    let mut worker = Worker::ready();
    // Attempts of their own: a worker may still be leaving one whose end it has told.
    for (attempt, reply, expected) in [
        (1, json!({"result": {"content": [{"type": "text", "text": "42"}]}}), vec!["=42.", "completed:"]),
        (2, json!({"error": {"code": "not_allowed", "message": "no"}}), vec!["failed:not_allowed: no"]),
    ] {
        worker.task(attempt, r#"call crm/add {"a": 1}"#, &[]);
        let call = worker.line();
        assert_eq!((&call["tool"], &call["arguments"]["a"]), (&json!("crm/add"), &json!(1)));
        let mut line = json!({"type": "reply", "id": call["id"]});
        line.as_object_mut().unwrap().extend(reply.as_object().unwrap().clone());
        worker.tell(&line);
        assert_eq!(worker.told(), expected);
    }
}

#[test]
fn cancel_ends_what_waits_but_not_a_hog_and_pings_are_answered_meanwhile() {
    let mut worker = Worker::ready();
    worker.task(1, "hang", &[]);
    assert_eq!(worker.line()["text"], "hanging");
    worker.tell(&json!({"type": "ping", "id": 7}));
    assert_eq!(worker.line(), json!({"type": "pong", "id": 7}));
    worker.tell(&json!({"type": "cancel", "task": "t", "attempt": 1}));
    assert_eq!(worker.told(), ["canceled:"]);
    worker.task(2, "hog", &[]);
    assert_eq!(worker.line()["text"], "hogging");
    worker.tell(&json!({"type": "cancel", "task": "t", "attempt": 2}));
    worker.tell(&json!({"type": "ping", "id": 8}));
    assert_eq!(worker.line()["type"], "pong");
}

#[test]
fn a_crash_happens_in_the_attempts_that_it_is_meant_for() {
    let mut worker = Worker::ready();
    worker.task(1, "crash-once && echo done", &[]);
    let told = worker.told();
    assert_eq!((told.len(), told.last().map(String::as_str)), (4, Some("null")));
    assert!(!worker.process.wait().unwrap().success());
    let mut again = Worker::ready();
    again.task(2, "crash-once && echo done", &[]);
    assert_eq!(again.told(), ["=done.", "completed:"]);
}

#[test]
fn wait_file_goes_on_when_the_file_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("go");
    let mut worker = Worker::ready();
    worker.task(1, &format!("wait-file {}", path.display()), &[]);
    assert_eq!(worker.line()["kind"], "artifact");
    std::fs::write(&path, "").unwrap();
    assert_eq!(worker.told(), ["completed:"]);
}

#[test]
fn broken_lines_are_as_broken_as_they_are_meant_to_be() {
    let mut worker = Worker::ready();
    for text in ["garbage", "stdout-noise"] {
        worker.task(1, text, &[]);
        assert!(worker.line()["malformed"].is_string());
        assert_eq!(worker.told(), ["completed:"]);
    }
    worker.task(1, "huge", &[]);
    assert!(worker.line().to_string().len() > 2000);
}

#[test]
fn what_is_no_program_is_rejected() {
    let mut worker = Worker::ready();
    worker.task(1, "Prepare a proposal", &[]);
    assert!(worker.told()[0].starts_with("rejected:`Prepare a proposal`: unknown step"));
}

#[test]
fn the_start_goes_wrong_as_asked() {
    let mut worker = Worker::start(&["--exit-at-start", "7"]);
    assert_eq!(worker.process.wait().unwrap().code(), Some(7));
    let mut worker = Worker::start(&["--fatal", "no crew"]);
    assert_eq!(worker.line()["type"], "hello");
    worker.tell(&json!({"type": "config"}));
    assert_eq!(worker.line(), json!({"type": "fatal", "message": "no crew"}));
    assert_eq!(worker.process.wait().unwrap().code(), Some(1));
    let mut worker = Worker::start(&["--never-ready"]);
    assert_eq!(worker.line()["type"], "hello");
    worker.tell(&json!({"type": "config"}));
    worker.tell(&json!({"type": "ping", "id": 1}));
    assert_eq!(worker.line()["type"], "pong");
    drop(worker.input.take());
    assert_eq!(worker.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_count_begins_again_when_another_was_faster() {
    let mut worker = Worker::ready();
    worker.task(1, "count n 1 && history {\"limit\":2}", &[]);
    let mut answer = |expected: &Value, reply: &Value| {
        let call = worker.line();
        assert_eq!(call["memory"], *expected, "{call}");
        let mut reply = reply.clone();
        (reply["type"], reply["id"]) = (json!("reply"), call["id"].clone());
        worker.tell(&reply);
    };
    let get = json!({"op": "get", "key": "n"});
    answer(&get, &json!({"error": {"code": "not_found", "message": "there is none"}}));
    let put = |value, expect| json!({"op": "put", "key": "n", "value": value, "expect": expect});
    answer(&put(1, 0), &json!({"error": {"code": "conflict", "message": "it is at 7", "actual": 7}}));
    answer(&get, &json!({"result": {"key": "n", "value": 41, "version": 7}}));
    answer(&put(42, 7), &json!({"result": {"key": "n", "version": 8}}));
    let call = worker.line();
    assert_eq!(call["history"], json!({"limit": 2}), "{call}");
    worker.tell(&json!({"type": "reply", "id": call["id"], "result": {"tasks": []}}));
    assert!(worker.told()[0].starts_with('='));
}
