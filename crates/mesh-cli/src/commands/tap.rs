//! `agentmesh tap`.

use crate::a2a::{Client, Event, Follower, Kind, view};
use crate::cli::TapArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::output::Printer;
use crate::{directory, http, render};
use mesh_core::ErrorKind;
use serde_json::json;

/// Runs the command.
pub(crate) async fn run(args: TapArgs, printer: &Printer) -> Outcome {
    let http = http::Client::new()?;
    let (agent, task) =
        directory::agent_with_task(&http, &args.gateway, args.agent.as_deref(), &args.task, Some(0)).await?;
    let mut tap = Tap { printer, task: &args.task, numberless: false, text: view::status_text(&task) };
    let until = if args.no_follow {
        match present(&agent.client, &args.task).await? {
            Present::Number(number) if number < args.from => return Ok(ExitStatus::Ok),
            Present::Number(number) => Some(number),
            Present::Ended => None,
            Present::Unnumbered => {
                tap.event(&Event::new(None, json!({ "task": task })))?;
                return Ok(ExitStatus::Ok);
            }
        }
    } else {
        None
    };
    let mut follower = Follower::from_number(&agent.client, printer, &args.task, args.from - 1);
    let mut last = None;
    while let Some(event) = follower.next().await? {
        tap.event(&event)?;
        last = event.seq.or(last);
        if until.is_some_and(|until| event.seq.is_none_or(|seq| seq >= until)) {
            return Ok(ExitStatus::Ok);
        }
        printer.set_interrupt_hint(resume(&args, last));
    }
    if args.no_follow {
        return Ok(ExitStatus::Ok);
    }
    render::verdict(follower.state(), &args.task, &tap.text, args.agent.as_deref().unwrap_or(&agent.name))
}

/// How to go on after Ctrl-C.
fn resume(args: &TapArgs, last: Option<u64>) -> String {
    let agent = args.agent.as_ref().map(|agent| format!(" --agent {agent}")).unwrap_or_default();
    let from = last.map(|last| format!(" --from {}", last + 1)).unwrap_or_default();
    format!("the task goes on: agentmesh tap {}{agent}{from}", args.task)
}

/// How far a task has come.
enum Present {
    /// To the event of this number.
    Number(u64),
    /// To its end: a stream of all its events closes by itself.
    Ended,
    /// Nobody knows: the server does not number.
    Unnumbered,
}

/// Asks how far a task has come: the snapshot that a subscription begins with carries the number of its last event.
async fn present(client: &Client, task: &str) -> Outcome<Present> {
    let mut stream = match client.subscribe(task, None).await {
        Err(error) if error.is(ErrorKind::UnsupportedOperation) => return Ok(Present::Ended),
        result => result?,
    };
    match stream.next().await.map_err(Failure::from)? {
        None => Ok(Present::Ended),
        Some(Event { seq: Some(number), .. }) => Ok(Present::Number(number)),
        Some(_) => Ok(Present::Unnumbered),
    }
}

/// Writes events.
struct Tap<'a> {
    printer: &'a Printer,
    task: &'a str,
    /// Whether it was said that the server does not number.
    numberless: bool,
    /// What the agent said with its last status.
    text: String,
}

impl Tap<'_> {
    fn event(&mut self, event: &Event) -> Outcome<()> {
        if event.seq.is_none() && !std::mem::replace(&mut self.numberless, true) {
            let task = crate::output::clean(self.task);
            self.printer.note(&format!(
                "the server of task {task} does not number its events: earlier ones are not shown"
            ));
        }
        if let Kind::Status(of) | Kind::Task(of) = event.kind() {
            self.text = view::status_text(of);
        }
        if self.printer.is_json() {
            return self.printer.record(event);
        }
        self.printer.line(&render::numbered_line(self.printer, event))
    }
}
