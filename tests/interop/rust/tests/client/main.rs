//! The client of a2a-client-lf, unmodified, by the binding in `A2A_BINDING`.
#![allow(clippy::unwrap_used)]

mod push;
mod support;

use a2a::{
    A2AError, GetExtendedAgentCardRequest, ListTasksRequest, Part, PartContent, Role, TaskState, error_code,
};
use a2a_client::middleware::CallInterceptor;
use a2a_client::{A2AClientFactory, ServiceParams};
use async_trait::async_trait;
use serde_json::json;
use std::sync::Arc;
use support::{
    Gate, INVALID, NOT_CANCELABLE, NOT_FOUND, UNSUPPORTED, answer, cancel, card, chunks, code, configuration,
    connect, connect_with, first_task, get, message, numbered, out, rest, send, short, state, stream_code,
    subscribe, until, waits,
};

/// A context that no other test uses.
fn context() -> String {
    a2a::new_context_id()
}

#[tokio::test]
async fn the_card_is_resolved() {
    let card = card(true).await;
    assert_eq!(card.name, "scripted");
    assert_eq!((card.capabilities.streaming, card.capabilities.push_notifications), (Some(true), Some(true)));
}

#[tokio::test]
async fn a_message_is_sent_and_its_ended_task_comes_back() {
    let client = connect().await;
    let task = send(&client, &message("bench")).await;
    assert_eq!(task.status.state, TaskState::Completed);
    assert_eq!(short(&out(&task)), numbered(10));
    assert_eq!(client.get_task(&get(&task.id)).await.unwrap(), task);
    let without =
        client.get_task(&a2a::GetTaskRequest { history_length: Some(0), ..get(&task.id) }).await.unwrap();
    assert!(without.history.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn a_send_that_does_not_wait_returns_a_task_to_subscribe_to() {
    let (client, gate) = (connect().await, Gate::new());
    let mut request = message(&format!("wait-file {}", gate.path().display()));
    request.configuration =
        Some(a2a::SendMessageConfiguration { return_immediately: Some(true), ..configuration() });
    let task = send(&client, &request).await;
    assert!(matches!(task.status.state, TaskState::Submitted | TaskState::Working));
    let mut events = client.subscribe_to_task(&subscribe(&task.id)).await.unwrap();
    assert_eq!(first_task(&until(&mut events, |_| true).await).id, task.id);
    gate.open();
    assert_eq!(rest(events).await.last().and_then(state), Some(TaskState::Completed));
}

#[tokio::test]
async fn a_stream_has_every_chunk_in_order_and_ends() {
    let client = connect().await;
    let request = message("status 2 && chunks 300 100");
    let events = rest(client.send_streaming_message(&request).await.unwrap()).await;
    assert_eq!(first_task(&events).status.state, TaskState::Submitted);
    assert_eq!(short(&chunks(&events)), numbered(300));
    assert_eq!(events.last().and_then(state), Some(TaskState::Completed));
}

#[tokio::test]
async fn tasks_are_listed_page_by_page_the_newest_first() {
    let client = connect().await;
    let context = context();
    let mut sent = Vec::new();
    for n in 0..5 {
        let mut request = message(&format!("echo {n}"));
        request.message.context_id = Some(context.clone());
        sent.insert(0, send(&client, &request).await.id);
    }
    let mut asked = ListTasksRequest {
        context_id: Some(context),
        status: None,
        page_size: Some(2),
        page_token: None,
        history_length: None,
        status_timestamp_after: None,
        include_artifacts: None,
        tenant: None,
    };
    let (mut listed, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = client.list_tasks(&asked).await.unwrap();
        assert_eq!((page.total_size, page.page_size), (5, 2));
        sizes.push(page.tasks.len());
        assert!(page.tasks.iter().all(|task| out(task).is_empty()));
        listed.extend(page.tasks.into_iter().map(|task| task.id));
        if page.next_page_token.is_empty() {
            break;
        }
        asked.page_token = Some(page.next_page_token);
    }
    assert_eq!((sizes, listed), (vec![2, 2, 1], sent));
    let asked = ListTasksRequest {
        page_size: None,
        page_token: None,
        status: Some(TaskState::Completed),
        include_artifacts: Some(true),
        ..asked
    };
    let page = client.list_tasks(&asked).await.unwrap();
    assert_eq!(page.tasks.iter().flat_map(out).collect::<Vec<_>>(), ["4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn a_running_task_is_canceled_once() {
    let client = connect().await;
    let mut events = client.send_streaming_message(&message("hang")).await.unwrap();
    let seen = until(&mut events, |event| state(event) == Some(TaskState::Working)).await;
    let id = &first_task(&seen).id;
    assert_eq!(client.cancel_task(&cancel(id)).await.unwrap().status.state, TaskState::Canceled);
    assert_eq!(rest(events).await.last().and_then(state), Some(TaskState::Canceled));
    assert_eq!(code(client.cancel_task(&cancel(id)).await), NOT_CANCELABLE);
}

#[tokio::test]
async fn who_leaves_in_mid_stream_and_comes_back_has_missed_nothing() {
    let (client, gate) = (connect().await, Gate::new());
    let request = message(&format!("chunks 3 && wait-file {} && chunks 3", gate.path().display()));
    let mut first = client.send_streaming_message(&request).await.unwrap();
    let id = first_task(&until(&mut first, waits).await).id.clone();
    drop(first);
    let mut again = client.subscribe_to_task(&subscribe(&id)).await.unwrap();
    let snapshot = out(first_task(&until(&mut again, |_| true).await));
    assert_eq!(short(&snapshot), ["chunk 1", "chunk 2", "chunk 3", "waiting; "]);
    gate.open();
    let later = rest(again).await;
    assert_eq!(short(&chunks(&later)), numbered(3));
    assert_eq!(later.last().and_then(state), Some(TaskState::Completed));
    assert_eq!(out(&client.get_task(&get(&id)).await.unwrap()), [snapshot, chunks(&later)].concat());
}

#[tokio::test]
async fn a_question_is_answered_by_send_and_by_stream() {
    let client = connect().await;
    let asked = send(&client, &message("echo before && ask who? && ask and you? && echo after")).await;
    assert_eq!(asked.status.state, TaskState::InputRequired);
    assert_eq!(asked.status.message.as_ref().and_then(|message| message.text()), Some("who?"));
    let mut whole = answer(&asked.id, "Ada");
    whole.message.context_id = Some(asked.context_id.clone());
    assert_eq!(send(&client, &whole).await.status.state, TaskState::InputRequired);
    let events = rest(client.send_streaming_message(&answer(&asked.id, "Bob")).await.unwrap()).await;
    assert_eq!(events.last().and_then(state), Some(TaskState::Completed));
    let task = client.get_task(&get(&asked.id)).await.unwrap();
    assert_eq!(out(&task), ["before", "Ada", "Bob", "after"]);
}

#[tokio::test]
async fn a_task_that_asks_can_be_subscribed_to_authorized_and_canceled() {
    let client = connect().await;
    let asked = send(&client, &message("authorize may I?")).await;
    assert_eq!(asked.status.state, TaskState::AuthRequired);
    let mut events = client.subscribe_to_task(&subscribe(&asked.id)).await.unwrap();
    assert_eq!(state(&until(&mut events, |_| true).await[0]), Some(TaskState::AuthRequired));
    let task = send(&client, &answer(&asked.id, "yes")).await;
    assert_eq!((task.status.state.clone(), out(&task)), (TaskState::Completed, vec!["yes".to_owned()]));
    assert_eq!(rest(events).await.last().and_then(state), Some(TaskState::Completed));
    let other = send(&client, &message("ask who?")).await;
    assert_eq!(client.cancel_task(&cancel(&other.id)).await.unwrap().status.state, TaskState::Canceled);
}

#[tokio::test]
async fn failures_and_rejections_are_told() {
    let client = connect().await;
    let failed = send(&client, &message("chunks 2 && fail the disk is on fire")).await;
    assert_eq!(failed.status.state, TaskState::Failed);
    assert_eq!(
        failed.status.message.and_then(|m| m.text().map(str::to_owned)).unwrap(),
        "the disk is on fire"
    );
    assert_eq!(send(&client, &message("reject not my job")).await.status.state, TaskState::Rejected);
}

#[tokio::test]
async fn the_same_message_again_is_the_same_task() {
    let client = connect().await;
    let request = message("bench");
    assert_eq!(send(&client, &request).await, send(&client, &request).await);
}

#[tokio::test]
async fn parts_of_every_kind_are_kept() {
    let client = connect().await;
    let mut request = message("bench");
    request.message.parts.extend([
        Part::raw(vec![0, 255]).with_filename("bytes").with_media_type("application/octet-stream"),
        Part::url("https://example.org/"),
        Part { content: PartContent::Data(json!({ "deep": [{ "a": "b" }] })), ..Part::text("") },
    ]);
    let task = send(&client, &request).await;
    let kept = &task.history.unwrap()[0];
    assert_eq!((kept.role.clone(), &kept.parts), (Role::User, &request.message.parts));
}

#[tokio::test]
async fn a_task_that_is_not_there_is_not_found() {
    let client = connect().await;
    let id = a2a::new_task_id();
    assert_eq!(code(client.get_task(&get(&id)).await), NOT_FOUND);
    assert_eq!(code(client.cancel_task(&cancel(&id)).await), NOT_FOUND);
    assert_eq!(stream_code(client.subscribe_to_task(&subscribe(&id)).await).await, NOT_FOUND);
    assert_eq!(code(client.send_message(&answer(&id, "bench")).await), NOT_FOUND);
    assert_eq!(stream_code(client.send_streaming_message(&answer(&id, "bench")).await).await, NOT_FOUND);
}

#[tokio::test]
async fn a_task_that_has_ended_takes_nothing_more() {
    let client = connect().await;
    let task = send(&client, &message("bench")).await;
    assert_eq!(code(client.cancel_task(&cancel(&task.id)).await), NOT_CANCELABLE);
    assert_eq!(stream_code(client.subscribe_to_task(&subscribe(&task.id)).await).await, UNSUPPORTED);
    assert_eq!(code(client.send_message(&answer(&task.id, "more")).await), UNSUPPORTED);
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let client = connect().await;
    let mut empty = message("bench");
    empty.message.parts.clear();
    assert_eq!(code(client.send_message(&empty).await), INVALID);
    let asked = send(&client, &message("ask who?")).await;
    let mut elsewhere = answer(&asked.id, "Ada");
    elsewhere.message.context_id = Some(context());
    assert_eq!(code(client.send_message(&elsewhere).await), INVALID);
}

/// Says a version that nobody speaks.
struct Later;

#[async_trait]
impl CallInterceptor for Later {
    async fn before(&self, _: &str, params: &mut ServiceParams) -> Result<(), A2AError> {
        params.insert("A2A-Version".to_owned(), vec!["99.0".to_owned()]);
        Ok(())
    }
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused() {
    let builder = A2AClientFactory::builder().with_interceptor(Arc::new(Later));
    let client = connect_with(&card(true).await, builder).await;
    assert_eq!(code(client.send_message(&message("bench")).await), error_code::VERSION_NOT_SUPPORTED);
    assert_eq!(code(client.get_task(&get("x")).await), error_code::VERSION_NOT_SUPPORTED);
}

#[tokio::test]
async fn there_is_no_extended_card() {
    let request = GetExtendedAgentCardRequest { tenant: None };
    assert_eq!(code(connect().await.get_extended_agent_card(&request).await), UNSUPPORTED);
}
