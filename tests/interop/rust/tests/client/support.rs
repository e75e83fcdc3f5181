//! What the tests share: the agents they talk to, short words for the SDK's types, and a receiver of push notifications.

use a2a::{
    A2AError, AgentCard, CancelTaskRequest, GetTaskRequest, Message, Part, Role, SendMessageConfiguration,
    SendMessageRequest, SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task, TaskState,
    error_code,
};
use a2a_client::agent_card::AgentCardResolver;
use a2a_client::factory::A2AClientFactoryBuilder;
use a2a_client::{A2AClient, A2AClientFactory, BoxStream, Transport};
use a2a_grpc::GrpcTransportFactory;
use futures_util::StreamExt as _;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Nothing waits this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) type Client = A2AClient<Box<dyn Transport>>;
pub(crate) type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

fn given(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run this by tests/interop/a2a/test_rust_client.py"))
}

/// The card of the agent, or of the one that sends no push notifications.
pub(crate) async fn card(push: bool) -> AgentCard {
    let url = given(if push { "A2A_AGENT" } else { "A2A_AGENT_WITHOUT_PUSH" });
    AgentCardResolver::new(None).resolve(&url).await.unwrap()
}

/// The client for a card by the binding in `A2A_BINDING`.
pub(crate) async fn connect_with(card: &AgentCard, builder: A2AClientFactoryBuilder) -> Client {
    let binding = given("A2A_BINDING");
    let factory = builder.register(Arc::new(GrpcTransportFactory::new()));
    let factory = factory.preferred_bindings(vec![binding.clone()]).build();
    let (client, interface) = factory.create_from_card_with_interface(card).await.unwrap();
    assert_eq!((interface.protocol_binding, interface.protocol_version.as_str()), (binding, "1.0"));
    client
}

/// The client as it comes.
pub(crate) async fn connect() -> Client {
    connect_with(&card(true).await, A2AClientFactory::builder()).await
}

/// A request with a user's message.
pub(crate) fn message(text: &str) -> SendMessageRequest {
    SendMessageRequest {
        message: Message::new(Role::User, vec![Part::text(text)]),
        configuration: None,
        metadata: None,
        tenant: None,
    }
}

/// The same for a task that there is.
pub(crate) fn answer(task: &str, text: &str) -> SendMessageRequest {
    let mut request = message(text);
    request.message.task_id = Some(task.to_owned());
    request
}

pub(crate) fn configuration() -> SendMessageConfiguration {
    SendMessageConfiguration {
        accepted_output_modes: None,
        task_push_notification_config: None,
        history_length: None,
        return_immediately: None,
    }
}

pub(crate) fn get(id: &str) -> GetTaskRequest {
    GetTaskRequest { id: id.to_owned(), history_length: None, tenant: None }
}

pub(crate) fn cancel(id: &str) -> CancelTaskRequest {
    CancelTaskRequest { id: id.to_owned(), metadata: None, tenant: None }
}

pub(crate) fn subscribe(id: &str) -> SubscribeToTaskRequest {
    SubscribeToTaskRequest { id: id.to_owned(), tenant: None }
}

/// Sends and expects a task.
pub(crate) async fn send(client: &Client, request: &SendMessageRequest) -> Task {
    match client.send_message(request).await.unwrap() {
        SendMessageResponse::Task(task) => task,
        other => panic!("no task: {other:?}"),
    }
}

/// The code of the error with which a call ends.
pub(crate) fn code<T>(result: Result<T, A2AError>) -> i32 {
    match result {
        Ok(_) => panic!("no error"),
        Err(error) => error.code,
    }
}

/// The code of the error with which a stream ends that has no event: a client may be told at once, or by the first event.
pub(crate) async fn stream_code(opened: Result<Events, A2AError>) -> i32 {
    match opened {
        Err(error) => error.code,
        Ok(mut events) => code(events.next().await.expect("an event")),
    }
}

/// Reads a stream up to the first event for which the condition holds.
pub(crate) async fn until(
    events: &mut Events,
    condition: impl Fn(&StreamResponse) -> bool,
) -> Vec<StreamResponse> {
    let mut seen = Vec::new();
    loop {
        let next = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event in time");
        let event = next.unwrap_or_else(|| panic!("the stream ended after {seen:?}")).unwrap();
        let found = condition(&event);
        seen.push(event);
        if found {
            return seen;
        }
    }
}

/// Everything that a stream still has.
pub(crate) async fn rest(mut events: Events) -> Vec<StreamResponse> {
    let mut seen = Vec::new();
    while let Some(event) = tokio::time::timeout(PATIENCE, events.next()).await.expect("an end in time") {
        seen.push(event.unwrap());
    }
    seen
}

pub(crate) fn first_task(events: &[StreamResponse]) -> &Task {
    match &events[0] {
        StreamResponse::Task(task) => task,
        other => panic!("no task: {other:?}"),
    }
}

/// The state that an event tells, if it tells one.
pub(crate) fn state(event: &StreamResponse) -> Option<TaskState> {
    match event {
        StreamResponse::Task(task) => Some(task.status.state.clone()),
        StreamResponse::StatusUpdate(update) => Some(update.status.state.clone()),
        _ => None,
    }
}

fn texts(parts: &[Part]) -> Vec<String> {
    parts.iter().filter_map(Part::as_text).map(str::to_owned).collect()
}

/// The texts of a task's artifact.
pub(crate) fn out(task: &Task) -> Vec<String> {
    let artifacts = task.artifacts.iter().flatten();
    artifacts
        .filter(|artifact| artifact.artifact_id == "out")
        .flat_map(|artifact| texts(&artifact.parts))
        .collect()
}

/// The texts of the chunks among events.
pub(crate) fn chunks(events: &[StreamResponse]) -> Vec<String> {
    let chunk = |event: &StreamResponse| match event {
        StreamResponse::ArtifactUpdate(update) => texts(&update.artifact.parts),
        _ => Vec::new(),
    };
    events.iter().flat_map(chunk).collect()
}

/// `chunk 1 of 3 …` as `chunk 1`.
pub(crate) fn short(texts: &[String]) -> Vec<&str> {
    texts.iter().map(|text| text.split(" of ").next().unwrap_or_default()).collect()
}

/// What the chunks of a step are, when shortened.
pub(crate) fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("chunk {n}")).collect()
}

/// Whether the worker says that it waits for the file.
pub(crate) fn waits(event: &StreamResponse) -> bool {
    chunks(std::slice::from_ref(event)) == ["waiting; "]
}

/// A file that is not there yet, for `wait-file`.
pub(crate) struct Gate(TempDir);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("go")
    }

    pub(crate) fn open(&self) {
        std::fs::write(self.path(), "").unwrap();
    }
}

/// A notification: its head, in lower case, and its event.
pub(crate) type Notification = (String, Value);

/// Takes push notifications.
pub(crate) struct Receiver {
    pub(crate) url: String,
    got: Arc<(Mutex<Vec<Notification>>, Notify)>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let got = Arc::new((Mutex::new(Vec::new()), Notify::new()));
        let kept = got.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, kept.clone()));
            }
        });
        Self { url, got }
    }

    /// The notifications, once the condition holds for one of them.
    pub(crate) async fn until(&self, condition: impl Fn(&Value) -> bool) -> Vec<Notification> {
        loop {
            let arrived = self.got.1.notified();
            let got = self.got.0.lock().unwrap().clone();
            if got.iter().any(|(_, event)| condition(event)) {
                return got;
            }
            tokio::time::timeout(PATIENCE, arrived).await.expect("a notification in time");
        }
    }
}

/// Answers the requests of one connection.
async fn serve(connection: TcpStream, kept: Arc<(Mutex<Vec<Notification>>, Notify)>) {
    let mut connection = BufReader::new(connection);
    loop {
        let (mut head, mut line) = (String::new(), String::new());
        while connection.read_line(&mut line).await.is_ok_and(|read| read > 2) {
            head.push_str(&line.to_lowercase());
            line.clear();
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let Some(length) = length else { return };
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await.unwrap();
        kept.0.lock().unwrap().push((head, serde_json::from_slice(&body).unwrap()));
        kept.1.notify_one();
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
}

pub(crate) const NOT_FOUND: i32 = error_code::TASK_NOT_FOUND;
pub(crate) const NOT_CANCELABLE: i32 = error_code::TASK_NOT_CANCELABLE;
pub(crate) const UNSUPPORTED: i32 = error_code::UNSUPPORTED_OPERATION;
pub(crate) const INVALID: i32 = error_code::INVALID_PARAMS;
