//! The operations of A2A that the commands need.

use super::{Card, Event};
use crate::exit::{ExitStatus, Failure};
use crate::http::{self, Events, Reply};
use mesh_core::ErrorKind;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Why an operation has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no usable answer.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The agent answered with a protocol error.
    #[error("{message}")]
    Protocol {
        /// The JSON-RPC code.
        code: i64,
        /// What the agent says.
        message: String,
    },
}

impl Error {
    /// Whether it is this protocol error.
    pub(crate) fn is(&self, kind: ErrorKind) -> bool {
        matches!(self, Self::Protocol { code, .. } if *code == i64::from(kind.json_rpc_code()))
    }

    /// Whether the same request may be answered a moment later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Http(error) => error.is_passing(),
            Self::Protocol { .. } => self.is(ErrorKind::Busy),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Error::Http(error) = error {
            return error.into();
        }
        let missing = error.is(ErrorKind::TaskNotFound) || error.is(ErrorKind::EventsTrimmed);
        let status = if missing { ExitStatus::NotFound } else { ExitStatus::Failed };
        let failure = Self::new(status, error.to_string());
        if error.is(ErrorKind::Busy) {
            return failure.hint("try again later");
        }
        if error.is(ErrorKind::EventsTrimmed) {
            return failure.hint("agentmesh task ID shows the task as it is");
        }
        if error.is(ErrorKind::VersionNotSupported) {
            return failure.hint("agentmesh speaks A2A 1.0");
        }
        failure
    }
}

/// A message to send, with how to go about it.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    /// The message.
    pub(crate) message: Value,
    /// Answer as soon as the task exists.
    pub(crate) return_immediately: bool,
}

/// A client of one agent.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: http::Client,
    card: Card,
}

impl Client {
    /// A client of the agent with this card.
    pub(crate) fn new(http: http::Client, card: Card) -> Self {
        Self { http, card }
    }

    /// What the agent says about itself.
    pub(crate) fn card(&self) -> &Card {
        &self.card
    }

    /// `SendMessage`: `{"task": …}` or `{"message": …}`.
    pub(crate) async fn send(&self, send: &Send, patience: Duration) -> Result<Value, Error> {
        self.call("SendMessage", send_params(send), patience).await
    }

    /// `SendStreamingMessage`.
    pub(crate) async fn send_streaming(&self, send: &Send) -> Result<Stream, Error> {
        self.open("SendStreamingMessage", send_params(send), None).await
    }

    /// `SubscribeToTask`. `after` asks a host of Agent Mesh for all events behind that number.
    pub(crate) async fn subscribe(&self, task: &str, after: Option<u64>) -> Result<Stream, Error> {
        self.open("SubscribeToTask", json!({ "id": task }), after).await
    }

    /// `GetTask`.
    pub(crate) async fn get(&self, task: &str, history: Option<u32>) -> Result<Value, Error> {
        let mut params = json!({ "id": task });
        if let Some(length) = history {
            params["historyLength"] = json!(length);
        }
        self.call_with("GetTask", params, asking_for_push_state(), http::QUICK).await
    }

    /// `ListTasks`.
    pub(crate) async fn list(&self, params: Value) -> Result<Value, Error> {
        self.call_with("ListTasks", params, asking_for_push_state(), http::QUICK).await
    }

    /// `agentmesh.RetryTaskPushNotificationConfig` of our extension: the ids of what is tried again.
    pub(crate) async fn retry_push(&self, task: &str, config: Option<&str>) -> Result<Vec<String>, Error> {
        let params = json!({ "taskId": task, "id": config.unwrap_or_default() });
        let answer = self
            .call_with(
                "agentmesh.RetryTaskPushNotificationConfig",
                params,
                asking_for_push_state(),
                http::QUICK,
            )
            .await?;
        let ids = answer["retried"].as_array().into_iter().flatten();
        Ok(ids.filter_map(|id| id.as_str().map(str::to_owned)).collect())
    }

    /// The memory of a context, from an agent that [shows it](Card::extends).
    pub(crate) async fn context(&self, params: Value) -> Result<Value, Error> {
        self.call("agentmesh.GetContext", params, http::QUICK).await
    }

    /// `CancelTask`.
    pub(crate) async fn cancel(&self, task: &str) -> Result<Value, Error> {
        self.call("CancelTask", json!({ "id": task }), http::QUICK).await
    }

    async fn call(&self, method: &str, params: Value, patience: Duration) -> Result<Value, Error> {
        self.call_with(method, params, HeaderMap::new(), patience).await
    }

    async fn call_with(
        &self,
        method: &str,
        params: Value,
        headers: HeaderMap,
        patience: Duration,
    ) -> Result<Value, Error> {
        match self.post(method, params, headers, patience).await? {
            Reply::Json(value) => self.result(value),
            Reply::Events(_) | Reply::Empty => Err(self.garbled("no JSON-RPC response")),
        }
    }

    async fn open(&self, method: &str, params: Value, after: Option<u64>) -> Result<Stream, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
        if let Some(after) = after {
            headers.insert("last-event-id", HeaderValue::from(after));
        }
        let events = match self.post(method, params, headers, http::QUICK).await? {
            Reply::Events(events) => Source::Events(Box::new(events)),
            // Errors come as plain JSON; so may a single event.
            Reply::Json(value) => Source::Single(Some(self.result(value)?)),
            Reply::Empty => return Err(self.garbled("no stream")),
        };
        Ok(Stream { client: self.clone(), source: events })
    }

    async fn post(
        &self,
        method: &str,
        mut params: Value,
        mut headers: HeaderMap,
        patience: Duration,
    ) -> Result<Reply, Error> {
        headers.insert("a2a-version", HeaderValue::from_static("1.0"));
        if let Some(tenant) = &self.card.tenant {
            params["tenant"] = json!(tenant);
        }
        let id = uuid::Uuid::new_v4().to_string();
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        Ok(self.http.post(&self.card.endpoint, headers, &body, patience).await?.reply)
    }

    /// Takes the result out of a JSON-RPC response.
    fn result(&self, mut response: Value) -> Result<Value, Error> {
        if let Some(error) = response.get("error").filter(|error| !error.is_null()) {
            return Err(Error::Protocol {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or("an error without a message").to_owned(),
            });
        }
        match response.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(self.garbled("no JSON-RPC response")),
        }
    }

    fn garbled(&self, why: &str) -> Error {
        Error::Http(http::Error::Garbled { url: self.card.endpoint.clone(), why: why.to_owned() })
    }
}

/// A server that does not know the extension ignores it.
fn asking_for_push_state() -> HeaderMap {
    HeaderMap::from_iter([(
        HeaderName::from_static("a2a-extensions"),
        HeaderValue::from_static(mesh_host::PUSH_STATE_EXTENSION),
    )])
}

fn send_params(send: &Send) -> Value {
    let mut configuration = Map::new();
    if send.return_immediately {
        configuration.insert("returnImmediately".to_owned(), json!(true));
    }
    json!({ "message": send.message, "configuration": configuration })
}

enum Source {
    Events(Box<Events>),
    Single(Option<Value>),
}

/// A stream of `StreamResponse`s.
pub(crate) struct Stream {
    client: Client,
    source: Source,
}

impl Stream {
    /// The next event; `None` when the agent ended the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Error> {
        let events = match &mut self.source {
            Source::Single(value) => return Ok(value.take().map(|value| Event::new(None, value))),
            Source::Events(events) => events,
        };
        let Some(event) = events.next().await? else {
            return Ok(None);
        };
        let response = serde_json::from_str(&event.data)
            .map_err(|error| self.client.garbled(&format!("an event that is no JSON ({error})")))?;
        let seq = event.id.and_then(|id| id.trim().parse().ok());
        Ok(Some(Event::new(seq, self.client.result(response)?)))
    }
}
