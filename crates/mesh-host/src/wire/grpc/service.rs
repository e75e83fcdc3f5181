//! The service of the specification's `a2a.proto`.

use super::{decode, encode, status};
use crate::card::EVENT_LOG_EXTENSION;
use crate::host::Host;
use crate::subscribe::Subscription;
use crate::wire::operate::{Arrival, Method, Operation, Outcome, resume_after};
use crate::wire::params::CardParams;
use crate::wire::version::{self, Asked};
use a2a_pb::pbconv::to_proto_agent_card;
use a2a_pb::proto as pb;
use a2a_pb::proto::a2a_service_server::A2aService;
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use mesh_core::A2aError;
use prost::Message;
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
    ) -> Result<(Outcome, Arrival), Status> {
        let arrival = Arrival::now(&self.0, metadata.as_ref());
        let operation = check_version(metadata).and_then(|()| operation());
        // The operation's own state is large, and there may be many streams.
        let outcome = arrival.perform(&self.0, Some(method), operation).boxed().await;
        match outcome {
            Ok(outcome) => Ok((outcome, arrival)),
            Err(error) => Err(status::of(error, arrival.trace())),
        }
    }

    /// An answer of one message, compressed from `limits.compress_from` if the client takes it so.
    fn answer<T: Message>(&self, message: T, arrival: &Arrival) -> Response<T> {
        let large =
            u64::try_from(message.encoded_len()).unwrap_or(u64::MAX) >= self.0.settings.limits.compress_from;
        let mut response = Response::new(message);
        if !large {
            response.disable_compression();
        }
        arrival.extensions.announce(response.metadata_mut().as_mut());
        response
    }

    async fn task(
        &self,
        metadata: &MetadataMap,
        method: Method,
        operation: impl FnOnce() -> Result<Operation, A2aError>,
    ) -> Result<(pb::Task, Arrival), Status> {
        match self.perform(metadata, method, operation).await? {
            (Outcome::Task(task) | Outcome::Sent(task), arrival) => Ok((encode::task(*task), arrival)),
            (_, arrival) => Err(unexpected(&arrival)),
        }
    }

    async fn events(
        &self,
        metadata: &MetadataMap,
        method: Method,
        operation: impl FnOnce() -> Result<Operation, A2aError>,
    ) -> Answer<Events> {
        match self.perform(metadata, method, operation).await? {
            (Outcome::Stream(subscription), arrival) => {
                let mut response = Response::new(events(*subscription, &arrival));
                // Each event would be compressed by itself, which saves little.
                response.disable_compression();
                arrival.extensions.announce(response.metadata_mut().as_mut());
                Ok(response)
            }
            (_, arrival) => Err(unexpected(&arrival)),
        }
    }

    async fn push_config(
        &self,
        metadata: &MetadataMap,
        method: Method,
        operation: impl FnOnce() -> Result<Operation, A2aError>,
    ) -> Answer<pb::TaskPushNotificationConfig> {
        match self.perform(metadata, method, operation).await? {
            (Outcome::PushConfig(config), arrival) => Ok(self.answer(encode::push_config(*config), &arrival)),
            (_, arrival) => Err(unexpected(&arrival)),
        }
    }
}

/// An outcome of another operation than was asked for.
fn unexpected(arrival: &Arrival) -> Status {
    status::of(A2aError::internal(), arrival.trace())
}

fn check_version(metadata: &MetadataMap) -> Result<(), A2aError> {
    let asked = metadata.get(version::HEADER).map(|value| value.to_str().unwrap_or("not text"));
    version::only_v1(Asked::parse(asked.unwrap_or_default()))
}

/// Events of a subscription, read from the log when the client takes them; with their numbers, if the client asks for our
/// extension.
fn events(subscription: Subscription, arrival: &Arrival) -> Events {
    let (trace, numbered) = (arrival.trace(), arrival.extensions.activated(EVENT_LOG_EXTENSION));
    let failed = move |why: &dyn std::fmt::Display| {
        tracing::error!(error = %why, "a stream ends because the log cannot be read");
        status::of(A2aError::internal(), trace)
    };
    let batches = stream::unfold(Some(subscription), move |subscription| async move {
        let mut subscription = subscription?;
        let (batch, go_on) = match subscription.next().await {
            Ok(None) => return None,
            Ok(Some(events)) => {
                let decoded = events.iter().map(|event| {
                    let number = numbered.then_some(event.seq);
                    encode::event(&event.public, number).map_err(|why| failed(&why))
                });
                let batch: Vec<_> = decoded.collect();
                let whole = batch.iter().all(Result::is_ok);
                (batch, whole)
            }
            Err(why) => (vec![Err(failed(&why))], false),
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
        let (task, arrival) = self.task(&metadata, Method::SendMessage, operation).await?;
        let payload = Some(pb::send_message_response::Payload::Task(task));
        Ok(self.answer(pb::SendMessageResponse { payload }, &arrival))
    }

    type SendStreamingMessageStream = Events;

    async fn send_streaming_message(&self, request: Request<pb::SendMessageRequest>) -> Answer<Events> {
        let (metadata, _, message) = request.into_parts();
        let operation = || decode::send(message).map(Operation::SendStreaming);
        self.events(&metadata, Method::SendStreamingMessage, operation).await
    }

    async fn get_task(&self, request: Request<pb::GetTaskRequest>) -> Answer<pb::Task> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || Ok(Operation::Get(decode::get(asked)));
        let (task, arrival) = self.task(&metadata, Method::GetTask, operation).await?;
        Ok(self.answer(task, &arrival))
    }

    async fn list_tasks(&self, request: Request<pb::ListTasksRequest>) -> Answer<pb::ListTasksResponse> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || decode::list(asked).map(Operation::List);
        match self.perform(&metadata, Method::ListTasks, operation).await? {
            (Outcome::Page(page), arrival) => match encode::page(&page) {
                Ok(page) => Ok(self.answer(page, &arrival)),
                Err(why) => {
                    tracing::error!(error = %why, "a listed task cannot be read");
                    Err(status::of(A2aError::internal(), arrival.trace()))
                }
            },
            (_, arrival) => Err(unexpected(&arrival)),
        }
    }

    async fn cancel_task(&self, request: Request<pb::CancelTaskRequest>) -> Answer<pb::Task> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || Ok(Operation::Cancel(decode::task(asked.tenant, asked.id)));
        let (task, arrival) = self.task(&metadata, Method::CancelTask, operation).await?;
        Ok(self.answer(task, &arrival))
    }

    type SubscribeToTaskStream = Events;

    /// `last-event-id` in the metadata is our extension, as the header of that name is over HTTP.
    async fn subscribe_to_task(&self, request: Request<pb::SubscribeToTaskRequest>) -> Answer<Events> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || {
            let after = resume_after(metadata.as_ref(), None)?;
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
            (Outcome::PushConfigs(configs), arrival) => {
                let configs = configs.into_iter().map(encode::push_config).collect();
                let next_page_token = String::new();
                let response = pb::ListTaskPushNotificationConfigsResponse { configs, next_page_token };
                Ok(self.answer(response, &arrival))
            }
            (_, arrival) => Err(unexpected(&arrival)),
        }
    }

    async fn get_extended_agent_card(
        &self,
        request: Request<pb::GetExtendedAgentCardRequest>,
    ) -> Answer<pb::AgentCard> {
        let (metadata, _, asked) = request.into_parts();
        let tenant = Some(asked.tenant).filter(|tenant| !tenant.is_empty());
        let operation = || Ok(Operation::ExtendedCard(CardParams { tenant }));
        let (outcome, arrival) = self.perform(&metadata, Method::GetExtendedAgentCard, operation).await?;
        match outcome {
            Outcome::Card(published) => {
                let forms = published.extended.as_ref().ok_or_else(|| unexpected(&arrival))?;
                Ok(self.answer(to_proto_agent_card(&forms.card), &arrival))
            }
            _ => Err(unexpected(&arrival)),
        }
    }

    async fn delete_task_push_notification_config(
        &self,
        request: Request<pb::DeleteTaskPushNotificationConfigRequest>,
    ) -> Answer<()> {
        let (metadata, _, asked) = request.into_parts();
        let operation = || Ok(Operation::DeletePush(decode::push(asked.tenant, asked.task_id, asked.id)));
        match self.perform(&metadata, Method::DeletePushConfig, operation).await? {
            (Outcome::Nothing, arrival) => Ok(self.answer((), &arrival)),
            (_, arrival) => Err(unexpected(&arrival)),
        }
    }
}
