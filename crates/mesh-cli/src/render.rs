//! Events and tasks for people.

use crate::a2a::{Artifacts, Event, Kind, view};
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Ink, Printer, clean, one_line, shorten};
use mesh_core::model::TaskState;
use serde_json::{Value, json};

/// How much of a chunk a numbered line shows.
const CHUNK: usize = 400;

/// The colour of a state.
fn state_ink(state: Option<TaskState>) -> Ink {
    match state {
        Some(TaskState::Completed) => Ink::Green,
        Some(TaskState::Failed | TaskState::Rejected | TaskState::Canceled) => Ink::Red,
        Some(TaskState::InputRequired | TaskState::AuthRequired) => Ink::Yellow,
        _ => Ink::Cyan,
    }
}

/// An event as one numbered line: number, time (UTC), state or artifact, text.
pub(crate) fn numbered_line(printer: &Printer, event: &Event) -> String {
    let number = event.seq.map_or_else(|| "-".to_owned(), |seq| seq.to_string());
    let number = printer.ink(Ink::Bold, &format!("{number:>5}"));
    let (clock, what) = match event.kind() {
        Kind::Task(of) => (view::status_clock(of), snapshot(printer, of)),
        Kind::Status(of) => (view::status_clock(of), state_and_text(printer, of, &view::status_text(of))),
        Kind::Artifact(update) => (String::new(), chunk(printer, update)),
        Kind::Message(message) => {
            (String::new(), format!("message  {}", indented(&view::for_people(message))))
        }
        Kind::Unknown => (String::new(), printer.ink(Ink::Dim, "event of an unknown kind")),
    };
    let clock = printer.ink(Ink::Dim, &format!("{clock:<12}"));
    format!("{number}  {clock}  {what}").trim_end().to_owned()
}

/// A whole task: its state, what it was asked if it has only just begun, and the artifacts it has.
fn snapshot(printer: &Printer, task: &Value) -> String {
    let text = match (view::status_text(task), task["history"].as_array().and_then(|all| all.last())) {
        (text, Some(asked)) if text.is_empty() && view::state(task) == Some(TaskState::Submitted) => {
            view::text(asked)
        }
        (text, _) => text,
    };
    let mut shown = state_and_text(printer, task, &text).trim_end().to_owned();
    for artifact in task["artifacts"].as_array().into_iter().flatten() {
        shown.push_str(&format!("\n{:21}{}", "", chunk(printer, &json!({ "artifact": artifact }))));
    }
    shown
}

fn state_and_text(printer: &Printer, of: &Value, text: &str) -> String {
    let state = printer.ink(state_ink(view::state(of)), &clean(view::state_name(of)));
    format!("{state}  {}", indented(text))
}

fn chunk(printer: &Printer, update: &Value) -> String {
    let artifact = &update["artifact"];
    let name = artifact["artifactId"].as_str().unwrap_or("?");
    let sign = if update["append"].as_bool() == Some(true) { '+' } else { '=' };
    let texts = view::parts(artifact).iter().all(|part| part["text"].is_string());
    let content = if texts {
        // Quoted, so that spaces and line ends of the chunk show.
        format!("{:?}", shorten(&view::text(artifact), CHUNK))
    } else {
        shorten(&one_line(&view::for_people(artifact)), CHUNK)
    };
    let last = if update["lastChunk"].as_bool() == Some(true) {
        printer.ink(Ink::Dim, " (last)")
    } else {
        String::new()
    };
    format!("{} {} {sign} {}{last}", printer.ink(Ink::Bold, "artifact"), one_line(name), clean(&content))
}

/// Further lines stand below the first, behind the number and the time.
fn indented(text: &str) -> String {
    clean(text.trim_end()).replace('\n', &format!("\n{:21}", ""))
}

/// A change of state as a line of progress on standard error.
pub(crate) fn progress(printer: &Printer, of: &Value) {
    let state = printer.err_ink(state_ink(view::state(of)), &clean(view::state_name(of)));
    printer.note(format!("{state}  {}", clean(view::status_text(of).trim_end())).trim_end());
}

/// Artifacts in full, with headings where there are several.
pub(crate) fn artifacts<'a>(printer: &Printer, all: impl ExactSizeIterator<Item = &'a Value>) -> Outcome<()> {
    let several = all.len() > 1;
    for artifact in all {
        if several {
            printer.line(&artifact_heading(printer, artifact))?;
        }
        printer.line(clean(&view::for_people(artifact)).trim_end_matches('\n'))?;
    }
    Ok(())
}

/// The heading above an artifact.
pub(crate) fn artifact_heading(printer: &Printer, artifact: &Value) -> String {
    let id = artifact["artifactId"].as_str().unwrap_or("artifact");
    let name = artifact["name"].as_str().filter(|name| *name != id);
    let title = name.map_or_else(|| one_line(id), |name| format!("{} ({})", one_line(id), one_line(name)));
    printer.ink(Ink::Bold, &format!("── {title} ──"))
}

/// Writes artifact text as it arrives, one artifact at a time; what cannot be written so is left for the end.
#[derive(Debug, Default)]
pub(crate) struct LiveText {
    /// The artifact that is being written.
    current: Option<String>,
    /// Those written in full.
    whole: Vec<String>,
}

impl LiveText {
    /// Writes what an event adds.
    pub(crate) fn show(&mut self, printer: &Printer, event: &Event) -> Outcome<()> {
        let Kind::Artifact(update) = event.kind() else { return Ok(()) };
        let artifact = &update["artifact"];
        let id = artifact["artifactId"].as_str().unwrap_or_default();
        let is_current = self.current.as_deref() == Some(id);
        if self.current.is_some() && !is_current {
            return Ok(());
        }
        if self.whole.iter().any(|done| done == id)
            || (is_current && update["append"].as_bool() != Some(true))
        {
            // It starts again, after a crash of its worker perhaps: what was written is no longer true.
            self.whole.retain(|done| done != id);
            printer.end_piece()?;
            printer.note(&printer.err_ink(Ink::Dim, &format!("artifact {} starts again", one_line(id))));
        }
        self.current = Some(id.to_owned());
        printer.piece(&clean(&view::for_people(artifact)))?;
        if update["lastChunk"].as_bool() == Some(true) {
            printer.end_piece()?;
            self.whole.extend(self.current.take());
        }
        Ok(())
    }

    /// Writes the artifacts that have not been written in full.
    pub(crate) fn finish(mut self, printer: &Printer, all: &Artifacts) -> Outcome<()> {
        printer.end_piece()?;
        self.whole.extend(self.current);
        let id = |artifact: &Value| artifact["artifactId"].as_str().unwrap_or_default().to_owned();
        let rest: Vec<&Value> =
            all.all().iter().filter(|artifact| !self.whole.contains(&id(artifact))).collect();
        if self.whole.is_empty() {
            return artifacts(printer, rest.into_iter());
        }
        for artifact in rest {
            printer.line(&artifact_heading(printer, artifact))?;
            printer.line(clean(&view::for_people(artifact)).trim_end_matches('\n'))?;
        }
        Ok(())
    }
}

/// What a task came to, as an exit status. `task` is the task or its last status update.
pub(crate) fn verdict(state: Option<TaskState>, task: &str, text: &str, answer: &str) -> Outcome {
    let because = if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) };
    match state {
        Some(state @ (TaskState::Failed | TaskState::Rejected | TaskState::Canceled)) => {
            Err(Failure::failed(format!("task {state}{because}")))
        }
        Some(TaskState::InputRequired) => Err(Failure::new(
            ExitStatus::InputRequired,
            format!("the task asks{}", if because.is_empty() { " for input" } else { &because }),
        )
        .hint(format!("answer with: agentmesh send {answer} --task {task} \"…\""))),
        Some(TaskState::AuthRequired) => {
            Err(Failure::new(ExitStatus::InputRequired, format!("the task waits for authorization{because}")))
        }
        _ => Ok(ExitStatus::Ok),
    }
}

/// A task for people.
pub(crate) fn task(printer: &Printer, agent: &str, task: &Value) -> Outcome<()> {
    let row = |name: &str, value: &str| {
        if value.is_empty() {
            return Ok(());
        }
        printer.line(&format!("{}  {value}", printer.ink(Ink::Dim, &format!("{name:<8}"))))
    };
    row("task", &one_line(task["id"].as_str().unwrap_or("?")))?;
    row("agent", &one_line(agent))?;
    row("context", &one_line(task["contextId"].as_str().unwrap_or_default()))?;
    row("state", &printer.ink(state_ink(view::state(task)), &clean(view::state_name(task))))?;
    row("since", &view::status_time(task).unwrap_or_default())?;
    row("says", &clean(view::status_text(task).trim_end()))?;
    for config in view::given_up(task) {
        row("push", &printer.ink(Ink::Red, &clean(&given_up(config))))?;
    }
    for message in task["history"].as_array().into_iter().flatten() {
        let who = if message["role"] == "ROLE_AGENT" { "agent" } else { "user" };
        row(&format!("{who}:"), &clean(view::for_people(message).trim_end()))?;
    }
    for artifact in task["artifacts"].as_array().into_iter().flatten() {
        printer.line(&artifact_heading(printer, artifact))?;
        printer.line(clean(&view::for_people(artifact)).trim_end_matches('\n'))?;
    }
    Ok(())
}

/// A push notification configuration that was given up.
fn given_up(config: &Value) -> String {
    let text = |name: &str| one_line(config[name].as_str().unwrap_or("?"));
    let (event, tries) = (config["event"].as_u64().unwrap_or(0), config["tries"].as_u64().unwrap_or(0));
    format!(
        "{} given up since {}, from event {event} on, after {tries} tries: {}",
        text("id"),
        text("since"),
        text("error")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn chunk_of(id: &str, text: &str, append: bool) -> Event {
        let artifact = json!({"artifactId": id, "parts": [{"text": text}]});
        Event::new(Some(8), json!({"artifactUpdate": {"artifact": artifact, "append": append}}))
    }

    #[test]
    fn an_event_is_a_numbered_line() {
        let (printer, _, _) = Printer::to_buffers(Format::Text, false);
        let status = json!({"state": "TASK_STATE_WORKING", "timestamp": "2026-11-22T14:02:11.123Z",
            "message": {"parts": [{"text": "one\ntwo"}]}});
        let event = Event::new(Some(7), json!({"statusUpdate": {"status": status}}));
        assert_eq!(
            numbered_line(&printer, &event),
            "    7  14:02:11.123  working  one\n                     two"
        );
        assert_eq!(
            numbered_line(&printer, &chunk_of("response", "a\n\"b\u{1b}\"", true)),
            "    8                artifact response + \"a\\n\\\"b\\u{1b}\\\"\""
        );
        let task = json!({"task": {"status": {"state": "TASK_STATE_COMPLETED"}, "history": [{"parts": [{"text": "x"}]}],
            "artifacts": [{"artifactId": "r", "parts": [{"text": "whole"}]}]}});
        assert_eq!(
            numbered_line(&printer, &Event::new(None, task)),
            "    -                completed\n                     artifact r = \"whole\""
        );
        let unknown = Event::new(None, json!({"future": {}}));
        assert_eq!(numbered_line(&printer, &unknown), "    -                event of an unknown kind");
    }

    fn live(events: &[Event]) -> (String, String) {
        let (printer, out, err) = Printer::to_buffers(Format::Text, true);
        let (mut live, mut artifacts) = (LiveText::default(), Artifacts::default());
        for event in events {
            artifacts.apply(event);
            live.show(&printer, event).unwrap();
        }
        live.finish(&printer, &artifacts).unwrap();
        (out.text(), err.text())
    }

    #[test]
    fn streamed_text_appears_once_and_other_artifacts_follow_at_the_end() {
        let events = [chunk_of("a", "Hel", true), chunk_of("b", "other", false), chunk_of("a", "lo", true)];
        assert_eq!(live(&events), ("Hello\n── b ──\nother\n".to_owned(), String::new()));
    }

    #[test]
    fn an_artifact_that_starts_again_is_written_again() {
        let events = [chunk_of("a", "Hel", true), chunk_of("a", "Hello", false)];
        assert_eq!(live(&events), ("Hel\nHello\n".to_owned(), "artifact a starts again\n".to_owned()));
    }
}
