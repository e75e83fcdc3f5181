//! `agentmesh send`.

use crate::a2a::{Artifacts, Event, Follower, Kind, Send, view};
use crate::cli::SendArgs;
use crate::directory::{self, Agent};
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::{Ink, Printer, clean};
use crate::render::{self, LiveText};
use crate::{attach, http};
use mesh_core::ErrorKind;
use mesh_core::model::TaskState;
use serde_json::{Value, json};
use std::time::Duration;

/// How long an answer without a stream is waited for.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Runs the command.
pub(crate) async fn run(args: SendArgs, printer: &Printer) -> Outcome {
    let send = Send { message: message(&args).await?, return_immediately: args.no_wait };
    let agent = directory::agent(&http::Client::new()?, &args.gateway, &args.agent).await?;
    let wait = async {
        if args.no_wait {
            no_wait(&agent, &send, printer).await
        } else if args.no_stream || !agent.client.card().streams() {
            once(&args, &agent, &send, printer).await
        } else {
            streamed(&args, &agent, &send, printer).await
        }
    };
    match args.timeout {
        None => Box::pin(wait).await,
        Some(limit) => tokio::time::timeout(limit, Box::pin(wait)).await.unwrap_or_else(|_| {
            let Failure { hint, .. } = printer.interrupted();
            let failure = Failure::unreachable(format!("nothing after {} s", limit.as_secs_f64()));
            Err(Failure { hint, ..failure })
        }),
    }
}

async fn message(args: &SendArgs) -> Outcome<Value> {
    let mut parts = Vec::new();
    if let Some(text) = &args.text {
        let text = if text == "-" { attach::stdin().await? } else { text.clone() };
        parts.push(json!({ "text": text }));
    }
    parts.extend(attach::files(&args.file).await?);
    let id = args.message_id.clone().unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let mut message = json!({ "messageId": id, "role": "ROLE_USER", "parts": parts });
    if let Some(context) = &args.context {
        message["contextId"] = json!(context);
    }
    if let Some(task) = &args.task {
        message["taskId"] = json!(task);
    }
    Ok(message)
}

/// Sends, and leaves.
async fn no_wait(agent: &Agent, send: &Send, printer: &Printer) -> Outcome {
    let result = agent.client.send(send, http::QUICK).await?;
    if printer.is_json() {
        printer.document(&result)?;
    } else if let Some(id) = result["task"]["id"].as_str() {
        printer.line(&clean(id))?;
    } else {
        printer.line(&clean(&view::for_people(&result["message"])))?;
    }
    Ok(ExitStatus::Ok)
}

/// Sends, and shows the outcome.
async fn once(args: &SendArgs, agent: &Agent, send: &Send, printer: &Printer) -> Outcome {
    let result = agent.client.send(send, PATIENCE).await?;
    if printer.is_json() {
        printer.document(&result)?;
    }
    let Some(task) = result.get("task") else {
        if !printer.is_json() {
            printer.line(&clean(&view::for_people(&result["message"])))?;
        }
        return Ok(ExitStatus::Ok);
    };
    let id = task["id"].as_str().unwrap_or("?");
    if !printer.is_json() {
        announce(printer, &args.agent, id);
        let mut artifacts = Artifacts::default();
        artifacts.apply(&Event::new(None, json!({ "task": task })));
        outcome(printer, LiveText::default(), &artifacts, view::state(task), &view::status_text(task))?;
    }
    render::verdict(view::state(task), id, &view::status_text(task), &args.agent)
}

/// Sends, and shows what happens as it happens.
async fn streamed(args: &SendArgs, agent: &Agent, send: &Send, printer: &Printer) -> Outcome {
    let stream = match agent.client.send_streaming(send).await {
        Err(error) if error.is(ErrorKind::UnsupportedOperation) && args.task.is_none() => {
            return once(args, agent, send, printer).await;
        }
        result => result?,
    };
    let mut show = Show {
        printer,
        agent: &args.agent,
        live: LiveText::default(),
        artifacts: Artifacts::default(),
        task: None,
        text: String::new(),
    };
    let mut follower = Follower::from_stream(&agent.client, printer, stream);
    let mut first = true;
    while let Some(event) = follower.next().await? {
        show.event(&event)?;
        // The snapshot that a follow-up begins with may still show the state that the follow-up answers.
        let stale = std::mem::take(&mut first) && args.task.is_some();
        if event.state().is_some_and(TaskState::is_interrupted) && !stale {
            break;
        }
    }
    show.end(follower.state())
}

/// What has been shown of a task.
struct Show<'a> {
    printer: &'a Printer,
    agent: &'a str,
    live: LiveText,
    artifacts: Artifacts,
    task: Option<String>,
    /// What the agent said with its last status.
    text: String,
}

impl Show<'_> {
    fn event(&mut self, event: &Event) -> Outcome<()> {
        if let (None, Some(id)) = (&self.task, event.task_id()) {
            announce(self.printer, self.agent, id);
            self.task = Some(id.to_owned());
        }
        self.artifacts.apply(event);
        if let Kind::Status(of) | Kind::Task(of) = event.kind() {
            self.text = view::status_text(of);
        }
        if self.printer.is_json() {
            return self.printer.record(event);
        }
        match event.kind() {
            Kind::Message(message) => self.printer.line(&clean(&view::for_people(message))),
            Kind::Status(of) if !event.state().is_some_and(is_told_at_the_end) => {
                if self.printer.is_live() {
                    self.printer.end_piece()?;
                }
                render::progress(self.printer, of);
                Ok(())
            }
            Kind::Artifact(_) if self.printer.is_live() => self.live.show(self.printer, event),
            Kind::Task(_) | Kind::Status(_) | Kind::Artifact(_) | Kind::Unknown => Ok(()),
        }
    }

    fn end(self, state: Option<TaskState>) -> Outcome {
        let Some(task) = self.task else { return Ok(ExitStatus::Ok) };
        if !self.printer.is_json() {
            outcome(self.printer, self.live, &self.artifacts, state, &self.text)?;
        }
        render::verdict(state, &task, &self.text, self.agent)
    }
}

/// States that [`outcome`] and [`render::verdict`] speak of.
fn is_told_at_the_end(state: TaskState) -> bool {
    state.is_terminal() || state.is_interrupted()
}

/// Names the task, so that another terminal can tap it.
fn announce(printer: &Printer, agent: &str, task: &str) {
    let agent = if agent.contains("://") { format!(" --agent {agent}") } else { String::new() };
    printer.note(&printer.err_ink(Ink::Dim, &format!("task {}", clean(task))));
    printer.set_interrupt_hint(format!("the task goes on: agentmesh tap {task}{agent}"));
}

/// Writes what a task has produced: its artifacts, or else what it says at the end.
fn outcome(
    printer: &Printer,
    live: LiveText,
    artifacts: &Artifacts,
    state: Option<TaskState>,
    text: &str,
) -> Outcome<()> {
    live.finish(printer, artifacts)?;
    if state != Some(TaskState::Completed) || text.trim().is_empty() {
        return Ok(());
    }
    if artifacts.all().is_empty() {
        printer.line(&clean(text.trim_end()))
    } else {
        printer.note(&format!("{}  {}", printer.err_ink(Ink::Green, "completed"), clean(text.trim_end())));
        Ok(())
    }
}
