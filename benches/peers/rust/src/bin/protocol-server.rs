//! `a2a-protocol-server` with its in-memory store, or with its durable SQLite store in the file that is given; it does
//! what `scripted-worker` does.
//!
//! Prints its address. One status `working`, ten chunks of one artifact, `completed`.

use a2a_protocol_server::store::SqliteTaskStore;
use a2a_protocol_server::{
    EventEmitter, JsonRpcDispatcher, RequestHandlerBuilder, ServeConfig, Server, agent_executor,
};
use a2a_protocol_types::{AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part, TaskState};
use bench_peers::{CHUNKS, announce, chunk};
use std::error::Error;
use std::sync::Arc;

struct Bench;

agent_executor!(Bench, |context, queue| async {
    let emit = EventEmitter::new(context, queue);
    emit.status(TaskState::Working).await?;
    for number in 1..=CHUNKS {
        let parts = vec![Part::text(chunk(number))];
        emit.artifact("out", parts, Some(number > 1), Some(number == CHUNKS)).await?;
    }
    emit.status(TaskState::Completed).await?;
    Ok(())
});

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", server.local_addr()?);
    let card = AgentCard::new("bench", "1.0.0", AgentInterface::jsonrpc(url.as_str()))
        .with_description("Does what the benchmark asks for")
        .with_capabilities(AgentCapabilities::none().with_streaming(true))
        .with_skill(AgentSkill::new("bench", "bench", "bench").with_tags(["bench"]));
    let mut builder = RequestHandlerBuilder::new(Bench).with_agent_card(card);
    if let Some(file) = std::env::args().nth(1) {
        builder =
            builder.with_task_store(SqliteTaskStore::with_migrations(&format!("sqlite://{file}")).await?);
    }
    announce(&url)?;
    let dispatcher = JsonRpcDispatcher::new(Arc::new(builder.build()?));
    server.with_config(ServeConfig::default()).serve_with_shutdown(dispatcher, std::future::pending()).await;
    Ok(())
}
