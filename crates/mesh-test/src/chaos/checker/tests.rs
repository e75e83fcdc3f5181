use super::*;

fn event(json: &str) -> Bytes {
    Bytes::from(json.to_owned())
}

fn status(state: &str, metadata: &str) -> Bytes {
    let state = format!(r#"{{"state":"TASK_STATE_{state}"}}"#);
    event(&format!(r#"{{"statusUpdate":{{"taskId":"t","status":{state},"metadata":{{{metadata}}}}}}}"#))
}

fn begins(attempt: u64) -> Bytes {
    status("WORKING", &format!(r#""agentmesh/attempt":{attempt}"#))
}

fn lost(attempt: u64) -> Bytes {
    status("SUBMITTED", &format!(r#""agentmesh/attempt":{attempt},"agentmesh/attemptLost":"gone""#))
}

fn tells(attempt: u64, piece: u64) -> Bytes {
    let text = format!("attempt {attempt} piece {piece}; ");
    event(&format!(
        r#"{{"artifactUpdate":{{"taskId":"t","artifact":{{"artifactId":"out","parts":[{{"text":"{text}"}}]}}}}}}"#
    ))
}

fn ends() -> Bytes {
    status("COMPLETED", "")
}

fn created() -> Bytes {
    event(r#"{"task":{"id":"t"}}"#)
}

fn numbered(events: impl IntoIterator<Item = Bytes>) -> Events {
    (1..).zip(events).collect()
}

/// A task that was lost once, and tells two pieces.
fn log() -> Vec<Bytes> {
    vec![created(), begins(1), tells(1, 1), lost(1), begins(2), tells(2, 1), tells(2, 2), ends()]
}

fn job(seen: Events) -> Job {
    Job {
        message: "m".to_owned(),
        pieces: 2,
        tasks: BTreeSet::from(["t".to_owned()]),
        transcripts: vec![("sender".to_owned(), seen)],
        done: true,
    }
}

fn telling(log: Vec<Bytes>) -> Telling {
    Telling {
        logs: BTreeMap::from([("t".to_owned(), numbered(log))]),
        listed: BTreeSet::from(["t".to_owned()]),
    }
}

#[track_caller]
fn refused(jobs: &[Job], tellings: &[Telling], why: &str) {
    let (wrong, _) = check(jobs, tellings);
    assert!(wrong.iter().any(|what| what.contains(why)), "{wrong:?} has no `{why}`");
}

#[test]
fn what_is_right_is_taken_and_counted() {
    let whole = check(&[job(numbered(log()))], &[telling(log()), telling(log())]);
    assert_eq!(whole.0, Vec::<String>::new());
    assert_eq!((whole.1.events, whole.1.attempts, whole.1.losses["gone"]), (8, 2, 1));
    let (wrong, _) = check(&[job(numbered(log()[..3].to_vec()))], &[telling(log())]);
    assert!(wrong.is_empty(), "a client may have left early: {wrong:?}");
}

#[test]
fn a_transcript_with_a_gap_a_repeat_or_another_order_is_refused() {
    let doctored = |change: fn(&mut Events)| {
        let mut seen = numbered(log());
        change(&mut seen);
        vec![job(seen)]
    };
    let logs = [telling(log())];
    refused(&doctored(|seen| drop(seen.remove(2))), &logs, "saw event 4 where 3 was due");
    refused(&doctored(|seen| seen.insert(2, seen[1].clone())), &logs, "saw event 2 where 3 was due");
    refused(&doctored(|seen| seen.swap(1, 2)), &logs, "saw event 3 where 2 was due");
    refused(&doctored(|seen| drop(seen.remove(0))), &logs, "saw event 2 where 1 was due");
    refused(&doctored(|seen| seen[2].1 = tells(1, 9)), &logs, "saw event 3 as");
}

#[test]
fn an_event_that_was_seen_and_is_not_in_the_log_is_refused() {
    let mut short = log();
    short.truncate(5);
    short.push(ends());
    refused(&[job(numbered(log()))], &[telling(short)], "saw event 6 as");
    let mut shorter = log();
    shorter.truncate(7);
    refused(&[job(numbered(log()))], &[telling(shorter)], "and the log ends with 7");
}

#[test]
fn a_task_that_was_answered_and_is_not_there_is_refused() {
    refused(&[job(Vec::new())], &[Telling::default()], "task t is not in the log");
    refused(&[job(Vec::new())], &[Telling::default()], "task t, in no list");
    let mut more = telling(log());
    more.listed.insert("u".to_owned());
    refused(&[job(Vec::new())], &[more], "task u, which nobody was answered");
}

#[test]
fn a_message_that_made_two_tasks_or_none_is_refused() {
    let mut twice = job(Vec::new());
    twice.tasks.insert("u".to_owned());
    refused(&[twice], &[telling(log())], "it made 2 tasks");
    let mut never = job(Vec::new());
    never.tasks.clear();
    refused(&[never], &[telling(log())], "it made 0 tasks");
    let other = Job { message: "n".to_owned(), ..job(Vec::new()) };
    refused(&[job(Vec::new()), other], &[telling(log())], "is also that of message m");
}

#[test]
fn two_attempts_at_once_are_refused() {
    let with = |at: usize, event: Bytes| {
        let mut log = log();
        log.insert(at, event);
        [telling(log)]
    };
    let jobs = [job(Vec::new())];
    refused(&jobs, &with(4, tells(1, 2)), "a word of attempt 1, which is over");
    refused(&jobs, &with(6, tells(1, 2)), "a word of attempt 1 in attempt 2");
    refused(&jobs, &with(6, tells(2, 1)), "piece 1 after piece 1");
    refused(&jobs, &with(6, begins(1)), "attempt 1 begins after attempt 2");
    refused(&jobs, &with(6, begins(2)), "attempt 2 begins after attempt 2");
    refused(&jobs, &with(6, lost(1)), "attempt 1 is lost, and the last was 2");
}

#[test]
fn a_task_that_ends_too_early_goes_on_or_never_ends_is_refused() {
    let jobs = [job(Vec::new())];
    let mut log = log();
    log.remove(6);
    refused(&jobs, &[telling(log.clone())], "completed after 1 of 2 pieces");
    log.pop();
    refused(&jobs, &[telling(log.clone())], "it stays working");
    log.extend([status("FAILED", ""), tells(2, 2)]);
    refused(&jobs, &[telling(log)], "something happens to a task that is failed");
    refused(&[Job { done: false, ..job(Vec::new()) }], &[telling(self::log())], "did not come to an end");
}

#[test]
fn a_log_with_a_gap_and_hosts_that_disagree_are_refused() {
    let mut gap = telling(log());
    gap.logs.get_mut("t").unwrap().remove(3);
    refused(&[job(Vec::new())], &[gap.clone()], "event 5 is where 4 is due");
    refused(&[job(Vec::new())], &[telling(log()), gap], "host 1 tells another log");
}
