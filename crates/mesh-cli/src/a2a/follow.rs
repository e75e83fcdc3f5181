//! Following a task to its end, across broken connections.

use super::{Client, Error, Event, Kind, Stream, view};
use crate::exit::{Failure, Outcome};
use crate::output::Printer;
use mesh_core::ErrorKind;
use mesh_core::model::TaskState;
use serde_json::json;
use std::time::Duration;

/// Connections in a row that bring nothing new before we give up.
const MAX_TRIES: u32 = 8;
/// The first pause before connecting again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Brings the events of one task, each number once, until the task ends or waits.
pub(crate) struct Follower<'a> {
    client: &'a Client,
    printer: &'a Printer,
    task: Option<String>,
    stream: Option<Stream>,
    /// The number of the last event brought.
    last: u64,
    /// Whether the server numbers its events; `None` before the first event.
    numbered: Option<bool>,
    state: Option<TaskState>,
    tries: u32,
    finished: bool,
}

impl<'a> Follower<'a> {
    /// Follows a task from behind the number `after`.
    pub(crate) fn from_number(client: &'a Client, printer: &'a Printer, task: &str, after: u64) -> Self {
        Self {
            client,
            printer,
            task: Some(task.to_owned()),
            stream: None,
            last: after,
            numbered: None,
            state: None,
            tries: 0,
            finished: false,
        }
    }

    /// Goes on with the stream that a message was answered with.
    pub(crate) fn from_stream(client: &'a Client, printer: &'a Printer, stream: Stream) -> Self {
        Self {
            client,
            printer,
            task: None,
            stream: Some(stream),
            last: 0,
            numbered: None,
            state: None,
            tries: 0,
            finished: false,
        }
    }

    /// The last state seen.
    pub(crate) fn state(&self) -> Option<TaskState> {
        self.state
    }

    /// The next event; `None` when the stream ended as it should: the task has ended or waits, or the agent
    /// answered without a task.
    pub(crate) async fn next(&mut self) -> Outcome<Option<Event>> {
        while !self.finished {
            let result = match &mut self.stream {
                Some(stream) => stream.next().await,
                None => match self.connect().await? {
                    Some(snapshot) => Ok(Some(snapshot)),
                    None => continue,
                },
            };
            match result {
                Ok(Some(event)) => {
                    if self.accept(&event) {
                        return Ok(Some(event));
                    }
                }
                Ok(None) if self.may_end() || self.is_over().await => self.finished = true,
                Ok(None) => self.pause("the stream ended before the task").await?,
                Err(error) if error.is_passing() => self.pause_after(error).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Subscribes. A task that has ended on a server that does not replay comes as a last snapshot.
    async fn connect(&mut self) -> Outcome<Option<Event>> {
        let Some(task) = self.task.clone() else {
            return Err(Failure::unreachable("the connection broke before the agent named a task").hint(
                "send it again with the same --message-id: an Agent Mesh host does not start it twice",
            ));
        };
        // A server known to send no numbers would only be confused by one.
        let after = (self.numbered != Some(false)).then_some(self.last);
        match self.client.subscribe(&task, after).await {
            Ok(stream) => self.stream = Some(stream),
            Err(error) if error.is(ErrorKind::UnsupportedOperation) => {
                let task = self.client.get(&task, None).await.map_err(Failure::from)?;
                self.finished = true;
                return Ok(Some(Event::new(None, json!({ "task": task }))));
            }
            Err(error) if error.is_passing() => self.pause_after(error).await?,
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    }

    /// Notes what an event says; `false` for one that was brought already.
    fn accept(&mut self, event: &Event) -> bool {
        if self.task.is_none() {
            self.task = event.task_id().map(str::to_owned);
        }
        if let Some(state) = event.state() {
            self.state = Some(state);
        }
        match event.seq {
            Some(seq) if seq <= self.last && self.numbered == Some(true) => return false,
            Some(seq) => {
                if self.numbered == Some(true) && seq > self.last + 1 {
                    self.printer.warn(&format!("events {} to {} did not come", self.last + 1, seq - 1));
                }
                self.last = seq;
                self.numbered = Some(true);
            }
            None if self.numbered.is_none() => self.numbered = Some(false),
            None => {}
        }
        self.tries = 0;
        // Nothing follows these, whether or not the server closes the stream.
        self.finished |= match event.kind() {
            Kind::Message(_) => self.state.is_none(),
            _ => self.state.is_some_and(TaskState::is_terminal),
        };
        true
    }

    /// Whether a stream may end here. A terminal state has ended it already.
    fn may_end(&self) -> bool {
        self.state.is_some_and(TaskState::is_interrupted)
    }

    /// Whether a stream without any event ended because there is nothing behind the number we asked for.
    async fn is_over(&mut self) -> bool {
        let (Some(task), None) = (&self.task, self.numbered) else { return false };
        let Ok(task) = self.client.get(task, Some(0)).await else { return false };
        self.state = view::state(&task);
        self.state.is_some_and(|state| state.is_terminal() || state.is_interrupted())
    }

    async fn pause_after(&mut self, error: Error) -> Outcome<()> {
        if self.tries >= MAX_TRIES {
            return Err(error.into());
        }
        self.pause(&error.to_string()).await
    }

    async fn pause(&mut self, why: &str) -> Outcome<()> {
        self.stream = None;
        if self.tries >= MAX_TRIES {
            return Err(Failure::unreachable(why)
                .hint(format!("tried {MAX_TRIES} times; the task goes on, tap it again later")));
        }
        if self.task.is_some() {
            let from = if self.numbered == Some(false) {
                "from its present state".to_owned()
            } else {
                format!("from number {}", self.last + 1)
            };
            self.printer.note(&format!("{why}; connecting again {from}"));
            tokio::time::sleep((FIRST_PAUSE * 2_u32.pow(self.tries)).min(LONGEST_PAUSE)).await;
        }
        self.tries += 1;
        Ok(())
    }
}
