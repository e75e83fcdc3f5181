//! The official Rust SDK's A2A server (`a2a-server-lf`) with its in-memory store; it does what `scripted-worker` does.
//!
//! Prints its address. One status `working`, ten chunks of one artifact, `completed`.

use a2a::{
    A2AError, AgentCapabilities, Artifact, Part, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState,
    TaskStatus, TaskStatusUpdateEvent,
};
use a2a_server::{AgentExecutor, DefaultRequestHandler, ExecutorContext, InMemoryTaskStore};
use axum::serve::ListenerExt as _;
use bench_peers::{CHUNKS, announce, chunk};
use chrono::Utc;
use futures::stream::{self, BoxStream, StreamExt as _};
use std::sync::Arc;
use tokio::net::TcpListener;

struct Bench;

impl AgentExecutor for Bench {
    fn execute(&self, context: ExecutorContext) -> BoxStream<'static, Result<StreamResponse, A2AError>> {
        // For a stream, the first event is for the agent to send; as with the Python SDK, it is the task.
        let first = context.stored_task.is_none().then(|| {
            StreamResponse::Task(Task {
                id: context.task_id.clone(),
                context_id: context.context_id.clone(),
                status: status(TaskState::Submitted),
                artifacts: None,
                history: context.message.clone().map(|message| vec![message]),
                metadata: None,
            })
        });
        let update = {
            let (task_id, context_id) = context.task_info();
            move |state| {
                StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
                    task_id: task_id.clone(),
                    context_id: context_id.clone(),
                    status: status(state),
                    metadata: None,
                })
            }
        };
        let working = update(TaskState::Working);
        let chunks = (1..=CHUNKS).map(move |number| {
            let (task_id, context_id) = context.task_info();
            StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
                task_id,
                context_id,
                artifact: Artifact {
                    artifact_id: "out".into(),
                    name: None,
                    description: None,
                    parts: vec![Part::text(chunk(number))],
                    metadata: None,
                    extensions: None,
                },
                append: Some(number > 1),
                last_chunk: Some(number == CHUNKS),
                metadata: None,
            })
        });
        let end = std::iter::once_with(move || update(TaskState::Completed));
        stream::iter(first.into_iter().chain([working]).chain(chunks).chain(end).map(Ok)).boxed()
    }

    fn cancel(&self, _: ExecutorContext) -> BoxStream<'static, Result<StreamResponse, A2AError>> {
        stream::empty().boxed()
    }
}

fn status(state: TaskState) -> TaskStatus {
    TaskStatus { state, message: None, timestamp: Some(Utc::now()) }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let capabilities = AgentCapabilities { streaming: Some(true), ..AgentCapabilities::default() };
    let handler = DefaultRequestHandler::new(Bench, InMemoryTaskStore::new()).with_capabilities(capabilities);
    let router = a2a_server::jsonrpc::jsonrpc_router(Arc::new(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(&format!("http://{}/", listener.local_addr()?))?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}
