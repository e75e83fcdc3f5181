//! The service of the specification's `a2a.proto`.

use super::{decode, encode, status};
use crate::host::Host;
use crate::subscribe::Subscription;
use crate::wire::operate::{Arrival, Method, Operation, Outcome, last_event_id};
use crate::wire::version::{self, Asked};
use a2a_pb::proto as pb;
use a2a_pb::proto::a2a_service_server::A2aService;
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use mesh_core::{A2aError, TraceContext};
use std::sync::Arc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

pub(super) struct Binding(pub(super) Arc<Host>);

type Answer<T> = Result<Response<T>, Status>;
type Events = BoxStream<'static, Result<pb::StreamResponse, Status>>;

impl Binding {
    async fn perform(
        &self,
        metadata: &MetadataMap,
        method: Method,
        operation: impl FnOnce() -> Result<Operation, A2aError>,
    ) -> Result<(Outcome, TraceContext), Status> {
        let arrival = Arrival::now(&self.0, metadata.as_ref());
        let trace = arrival.trace();
        let operation = check_version(metadata).and_then(|()| operation());
        // The operation's own state is large, and there may be many streams.
        let outcome = arrival.perform(&self.0, Some(method), operation).boxed().await;
        outcome.map(|outcome| (outcome, trace)).map_err(|error| status::of(error, trace))
    }

    async fn task(
        &self,
        metadata: &MetadataMap,
        method: Method,
        operation: impl FnOnce() -> Result<Operation, A2aError>,
    ) -> Result<pb::Task, Status> {
        match self.perform(metadata, method, operation).await? {
            (Outcome::Task(task) | Outcome::Sent(task), _) => Ok(encode::task(*task)),
            (_, trace) => Err(status::of(A2aError::internal(), trace)),
        }
    }

    async fn events(
        &self,
        metadata: &MetadataMap,
        method: Method,
        operation: impl FnOnce() -> Result<Operation, A2aError>,
    ) -> Answer<Events> {
        match self.perform(metadata, method, operation).await? {
            (Outcome::Stream(subscription), trace) => Ok(Response::new(events(*subscription, trace))),
            (_, trace) => Err(status::of(A2aError::internal(), trace)),
        }
    }

    async fn push_config(
        &self,
        metadata: &MetadataMap,
        method: Method,
        operation: impl FnOnce() -> Result<Operation, A2aError>,
    ) -> Answer<pb::TaskPushNotificationConfig> {
        match self.perform(metadata, method, operation).await? {
            (Outcome::PushConfig(config), _) => Ok(Response::new(encode::push_config(*config))),
            (_, trace) => Err(status::of(A2aError::internal(), trace)),
        }
    }

    /// For the operations that this host only refuses.
    async fn refuse<T>(&self, metadata: &MetadataMap, method: Method, operation: Operation) -> Answer<T> {
        let (_, trace) = self.perform(metadata, method, || Ok(operation)).await?;
        Err(status::of(A2aError::internal(), trace))
    }
}

/// The service's name is that of 1.0, so a client that says nothing means that.
fn check_version(metadata: &MetadataMap) -> Result<(), A2aError> {
    let asked = metadata.get(version::HEADER).map(|value| value.to_str().unwrap_or("not text"));
    match Asked::parse(asked.unwrap_or_default()) {
        Asked::V1 | Asked::Nothing => Ok(()),
        Asked::V03 => Err(version::refusal("0.3")),
        Asked::Other(asked) => Err(version::refusal(asked)),
    }
}

/// Events of a subscription, read from the log when the client takes them.
fn events(subscription: Subscription, trace: TraceContext) -> Events {
    let failed = move |why: &dyn std::fmt::Display| {
        tracing::error!(error = %why, "a stream ends because an event cannot be read");
        status::of(A2aError::internal(), trace)
    };
    let batches = stream::unfold(Some(subscription), move |subscription| async move {
        let mut subscription = subscription?;
        let (batch, go_on) = match subscription.next().await {
            Ok(None) => return None,
            Ok(Some(events)) => {
                let decoded =
                    events.iter().map(|event| encode::event(&event.public).map_err(|why| failed(&why)));
                let batch: Vec<_> = decoded.collect();
                let whole = batch.iter().all(Result::is_ok);
                (batch, whole)
            }
            Err(why) => (vec![Err(status::of(why, trace))], false),
        };
        Some((stream::iter(batch), go_on.then_some(subscription)))
    });
    batches.flatten().boxed()
}

#[async_trait]
impl A2aService for Binding {
    async fn send_message(
        &self,
        request: Request<pb::SendMessageRequest>,
    ) -> Answer<pb::SendMessageResponse> {
        let (metadata, _, message) = request.into_parts();
        let operation = || decode::send(message).map(Operation::Send);
        let task = self.task(&metadata, Method::SendMessage, operation).await?;
        let payload = Some(pb::send_message_response::Payload::Task(task));
        Ok(Response::new(pb::SendMessageResponse { payload }))
    }

    type SendStreamingMessageStream = Events;

    async fn send_streaming_message(&self, request: Request<pb::SendMessageRequest>) -> Answer<Events> {
        let (metadata, _, message) = request.into_parts();
        let operation = || decode::send(message).map(Operation::SendStreaming);
        self.events(&metadata, Method::SendStreamingMessage, operation).await
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Answer<pb::Task> {
        let (metadata, _, asked) = request.into_parts();
        let task = self.task(&metadata, Method::GetTask, || Ok(Operation::Get(decode::get(asked)))).await?;
        Ok(Response::new(task))
    }

    async fn list_tasks(&self, request: Request<pb::ListTasksRequest>) -> Answer<pb::ListTasksResponse> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || decode::list(asked).map(Operation::List);
        match self.perform(&metadata, Method::ListTasks, operation).await? {
            (Outcome::Page(page), trace) => encode::page(&page).map(Response::new).map_err(|why| {
                tracing::error!(error = %why, "a listed task cannot be read");
                status::of(A2aError::internal(), trace)
            }),
            (_, trace) => Err(status::of(A2aError::internal(), trace)),
        }
    }

    async fn cancel_task(&self, request: Request<pb::CancelTaskRequest>) -> Answer<pb::Task> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || Ok(Operation::Cancel(decode::task(asked.tenant, asked.id)));
        Ok(Response::new(self.task(&metadata, Method::CancelTask, operation).await?))
    }

    type SubscribeToTaskStream = Events;

    /// `last-event-id` in the metadata is our extension, as the header of that name is over HTTP.
    async fn subscribe_to_task(&self, request: Request<pb::SubscribeToTaskRequest>) -> Answer<Events> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || {
            let after = last_event_id(AsRef::<http::HeaderMap>::as_ref(&metadata).get("last-event-id"))?;
            Ok(Operation::Subscribe { params: decode::task(asked.tenant, asked.id), after })
        };
        self.events(&metadata, Method::SubscribeToTask, operation).await
    }

    async fn create_task_push_notification_config(
        &self,
        request: Request<pb::TaskPushNotificationConfig>,
    ) -> Answer<pb::TaskPushNotificationConfig> {
        let (metadata, _, config) = request.into_parts();
        let operation =
            || Ok(Operation::CreatePush { config: Box::new(decode::push_config(config)), old: false });
        self.push_config(&metadata, Method::CreatePushConfig, operation).await
    }

    async fn get_task_push_notification_config(
        &self,
        request: Request<pb::GetTaskPushNotificationConfigRequest>,
    ) -> Answer<pb::TaskPushNotificationConfig> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || Ok(Operation::GetPush(decode::push(asked.tenant, asked.task_id, asked.id)));
        self.push_config(&metadata, Method::GetPushConfig, operation).await
    }

    async fn list_task_push_notification_configs(
        &self,
        request: Request<pb::ListTaskPushNotificationConfigsRequest>,
    ) -> Answer<pb::ListTaskPushNotificationConfigsResponse> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || Ok(Operation::ListPush(decode::push(asked.tenant, asked.task_id, String::new())));
        match self.perform(&metadata, Method::ListPushConfigs, operation).await? {
            (Outcome::PushConfigs(configs), _) => {
                let configs = configs.into_iter().map(encode::push_config).collect();
                let next_page_token = String::new();
                Ok(Response::new(pb::ListTaskPushNotificationConfigsResponse { configs, next_page_token }))
            }
            (_, trace) => Err(status::of(A2aError::internal(), trace)),
        }
    }

    async fn get_extended_agent_card(
        &self,
        request: Request<pb::GetExtendedAgentCardRequest>,
    ) -> Answer<pb::AgentCard> {
        self.refuse(request.metadata(), Method::GetExtendedAgentCard, Operation::ExtendedCard).await
    }

    async fn delete_task_push_notification_config(
        &self,
        request: Request<pb::DeleteTaskPushNotificationConfigRequest>,
    ) -> Answer<()> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || Ok(Operation::DeletePush(decode::push(asked.tenant, asked.task_id, asked.id)));
        match self.perform(&metadata, Method::DeletePushConfig, operation).await? {
            (Outcome::Nothing, _) => Ok(Response::new(())),
            (_, trace) => Err(status::of(A2aError::internal(), trace)),
        }
    }
}
