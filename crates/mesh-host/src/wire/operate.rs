//! The operations of A2A 1.0 as values. Every binding decodes a request into an [`Operation`], has it performed here, and
//! encodes the [`Outcome`]; so all of them do the same.

use super::extensions::Extensions;
use super::params::{
    self, CardParams, ContextParams, ListParams, PushParams, SendMessageParams, SubscribeParams, TaskParams,
    parse_event_number,
};
use crate::card::{PUSH_STATE_EXTENSION, Published};
use crate::context::{Entry, EntryPage, MAX_PAGE};
use crate::host::Host;
use crate::owner::Detail;
use crate::push::PushConfig;
use crate::service::{AskedPush, Listing, View, decode_cursor, encode_cursor};
use crate::subscribe::Subscription;
use http::{HeaderMap, HeaderValue};
use mesh_core::model::Task;
use mesh_core::trace::{Span, SpanKind};
use mesh_core::{A2aError, AgentName, ContextId, Seq, Tenant, Timestamp, TraceContext};
use mesh_log::ListQuery;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

const DEFAULT_PAGE: i64 = 50;
const LARGEST_PAGE: i64 = 100;

/// Which operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    SendMessage,
    SendStreamingMessage,
    GetTask,
    ListTasks,
    CancelTask,
    SubscribeToTask,
    CreatePushConfig,
    GetPushConfig,
    ListPushConfigs,
    DeletePushConfig,
    /// Our extension: see `docs/push-state-extension.md`.
    RetryPushConfig,
    GetExtendedAgentCard,
    /// Our extension (docs/context.md).
    GetContext,
}

/// What an operation is called.
struct Names {
    method: Method,
    /// In JSON-RPC and gRPC.
    rpc: &'static str,
    /// In JSON-RPC of 0.3, where it has the operation.
    v03: Option<&'static str>,
    span: &'static str,
}

macro_rules! names {
    ($($method:ident, $rpc:literal, $v03:expr;)*) => {
        [$(Names { method: Method::$method, rpc: $rpc, v03: $v03, span: concat!("a2a ", $rpc) }),*]
    };
}

const METHODS: [Names; 13] = names! {
    SendMessage, "SendMessage", Some("message/send");
    SendStreamingMessage, "SendStreamingMessage", Some("message/stream");
    GetTask, "GetTask", Some("tasks/get");
    ListTasks, "ListTasks", None;
    CancelTask, "CancelTask", Some("tasks/cancel");
    SubscribeToTask, "SubscribeToTask", Some("tasks/resubscribe");
    CreatePushConfig, "CreateTaskPushNotificationConfig", Some("tasks/pushNotificationConfig/set");
    GetPushConfig, "GetTaskPushNotificationConfig", Some("tasks/pushNotificationConfig/get");
    ListPushConfigs, "ListTaskPushNotificationConfigs", Some("tasks/pushNotificationConfig/list");
    DeletePushConfig, "DeleteTaskPushNotificationConfig", Some("tasks/pushNotificationConfig/delete");
    RetryPushConfig, "agentmesh.RetryTaskPushNotificationConfig", None;
    GetExtendedAgentCard, "GetExtendedAgentCard", Some("agent/getAuthenticatedExtendedCard");
    GetContext, "agentmesh.GetContext", None;
};

impl Method {
    /// Finds it by its name in JSON-RPC.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        METHODS.iter().find(|names| names.rpc == name).map(|names| names.method)
    }

    /// Finds it by its name in JSON-RPC of 0.3.
    pub(crate) fn parse_v03(name: &str) -> Option<Self> {
        METHODS.iter().find(|names| names.v03 == Some(name)).map(|names| names.method)
    }

    pub(crate) fn is_streaming(self) -> bool {
        matches!(self, Self::SendStreamingMessage | Self::SubscribeToTask)
    }

    fn is_push(self) -> bool {
        matches!(
            self,
            Self::CreatePushConfig
                | Self::GetPushConfig
                | Self::ListPushConfigs
                | Self::DeletePushConfig
                | Self::RetryPushConfig
        )
    }

    fn names(self) -> (&'static str, &'static str) {
        let names = METHODS.iter().find(|names| names.method == self);
        names.map_or(("", "a2a other"), |names| (names.rpc, names.span))
    }
}

/// A request, decoded and checked as far as that needs no look at any task.
pub(crate) enum Operation {
    Send(SendMessageParams),
    SendStreaming(SendMessageParams),
    Get(TaskParams),
    List(ListParams),
    Cancel(TaskParams),
    Subscribe {
        params: TaskParams,
        /// The last event that the client has (our extension).
        after: Option<Seq>,
    },
    CreatePush {
        config: Box<PushConfig>,
        /// The client speaks 0.3.
        old: bool,
    },
    GetPush(PushParams),
    ListPush(PushParams),
    DeletePush(PushParams),
    /// Our extension: one that was given up, or all of the task's if there is no id.
    RetryPush(PushParams),
    ExtendedCard(CardParams),
    Context(ContextParams),
}

impl Operation {
    /// Decodes parameters that are JSON.
    pub(crate) fn decode(method: Method, params: &str, headers: &HeaderMap) -> Result<Self, A2aError> {
        Ok(match method {
            Method::SendMessage => Self::Send(params::decode(params)?),
            Method::SendStreamingMessage => Self::SendStreaming(params::decode(params)?),
            Method::GetTask => Self::Get(params::decode(params)?),
            Method::ListTasks => Self::List(params::decode(params)?),
            Method::CancelTask => Self::Cancel(params::decode(params)?),
            Method::SubscribeToTask => {
                let SubscribeParams { tenant, id, after_event } = params::decode(params)?;
                let params = TaskParams { tenant, id, history_length: None };
                Self::Subscribe { params, after: resume_after(headers, after_event.map(Seq::from))? }
            }
            Method::CreatePushConfig => {
                Self::CreatePush { config: Box::new(params::decode(params)?), old: false }
            }
            Method::GetPushConfig => Self::GetPush(params::decode(params)?),
            Method::ListPushConfigs => Self::ListPush(params::decode(params)?),
            Method::DeletePushConfig => Self::DeletePush(params::decode(params)?),
            Method::RetryPushConfig => Self::RetryPush(params::decode(params)?),
            Method::GetExtendedAgentCard => Self::ExtendedCard(params::decode(params)?),
            Method::GetContext => Self::Context(params::decode(params)?),
        })
    }

    /// The tenant that it names, where it can name one.
    pub(crate) fn tenant_mut(&mut self) -> Option<&mut Option<String>> {
        match self {
            Self::Send(params) | Self::SendStreaming(params) => Some(&mut params.tenant),
            Self::Get(params) | Self::Cancel(params) | Self::Subscribe { params, .. } => {
                Some(&mut params.tenant)
            }
            Self::List(params) => Some(&mut params.tenant),
            Self::CreatePush { config, .. } => Some(&mut config.tenant),
            Self::GetPush(params)
            | Self::ListPush(params)
            | Self::DeletePush(params)
            | Self::RetryPush(params) => Some(&mut params.tenant),
            Self::ExtendedCard(params) => Some(&mut params.tenant),
            Self::Context(params) => Some(&mut params.tenant),
        }
    }
}

/// Our extension: the last event that the client has, from the header or else from what the request itself names. In this
/// order: a client that reconnects by itself repeats its request, and only the header is up to date.
pub(crate) fn resume_after(headers: &HeaderMap, named: Option<Seq>) -> Result<Option<Seq>, A2aError> {
    Ok(last_event_id(headers.get("last-event-id"))?.or(named))
}

/// `Last-Event-ID` names the last event that the client has.
pub(crate) fn last_event_id(header: Option<&HeaderValue>) -> Result<Option<Seq>, A2aError> {
    let Some(value) = header else { return Ok(None) };
    value.to_str().ok().map(str::trim).and_then(parse_event_number).map(Some).ok_or_else(|| {
        A2aError::invalid("Last-Event-ID", "must be the number of an event, 0 for all of them")
    })
}

/// What an operation comes to.
pub(crate) enum Outcome {
    /// The answer to a message.
    Sent(Box<Task>),
    Task(Box<Task>),
    Page(Page),
    Stream(Box<Subscription>),
    PushConfig(Box<PushConfig>),
    PushConfigs(Vec<PushConfig>),
    /// The ids of the configurations that are tried again.
    Retried(Vec<String>),
    /// The extended card.
    Card(Arc<Published>),
    Context(Box<ContextPage>),
    /// There is nothing to say.
    Nothing,
}

/// The answer of ListTaskPushNotificationConfigs: all of them, there are few.
#[derive(Serialize)]
struct PushConfigs<'a> {
    configs: &'a [PushConfig],
}

/// The answer of agentmesh.RetryTaskPushNotificationConfig.
#[derive(Serialize)]
struct Retried<'a> {
    retried: &'a [String],
}

/// The answer of ListTasks.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    /// As JSON already.
    pub(crate) tasks: Vec<Box<RawValue>>,
    pub(crate) next_page_token: String,
    pub(crate) page_size: i64,
    pub(crate) total_size: u64,
}

/// The answer of our `GetContext`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContextPage {
    context_id: ContextId,
    entries: Vec<Entry>,
    next_page_token: String,
}

/// `SendMessageResponse` with a task.
#[derive(Serialize)]
struct Sent<'a> {
    task: &'a Task,
}

/// An outcome in the bindings that speak JSON.
pub(crate) enum Answer {
    Json(Vec<u8>),
    Stream(Box<Subscription>),
}

impl Outcome {
    /// Encodes it as 1.0 does.
    pub(crate) fn answer(self) -> Result<Answer, A2aError> {
        let json = match self {
            Self::Sent(task) => serde_json::to_vec(&Sent { task: &task }),
            Self::Task(task) => serde_json::to_vec(&task),
            Self::Page(page) => serde_json::to_vec(&page),
            Self::PushConfig(config) => serde_json::to_vec(&config),
            Self::PushConfigs(configs) => serde_json::to_vec(&PushConfigs { configs: &configs }),
            Self::Retried(ids) => serde_json::to_vec(&Retried { retried: &ids }),
            Self::Card(published) => {
                let forms = published.extended.as_ref().ok_or_else(A2aError::internal)?;
                Ok(forms.plain.body.to_vec())
            }
            Self::Context(page) => serde_json::to_vec(&page),
            Self::Nothing => Ok(b"{}".to_vec()),
            Self::Stream(subscription) => return Ok(Answer::Stream(subscription)),
        };
        json.map(Answer::Json).map_err(|_| A2aError::internal())
    }
}

/// A request that came in, and the span that tells of it.
pub(crate) struct Arrival {
    start: Timestamp,
    parent: Option<TraceContext>,
    trace: TraceContext,
    /// What is in force for it.
    pub(crate) extensions: Extensions,
}

impl Arrival {
    /// Now, with the trace that the client names.
    pub(crate) fn now(host: &Host, headers: &HeaderMap) -> Self {
        let parent =
            headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(TraceContext::parse);
        let trace = parent.map_or_else(TraceContext::root, |parent| parent.child());
        let extensions = Extensions::negotiate(&host.extensions, headers);
        Self { start: host.clock.now(), parent, trace, extensions }
    }

    /// The trace that the request belongs to.
    pub(crate) fn trace(&self) -> TraceContext {
        self.trace
    }

    /// Performs the operation, or takes note that there is none, and leaves a span.
    pub(crate) async fn perform(
        &self,
        host: &Arc<Host>,
        method: Option<Method>,
        operation: Result<Operation, A2aError>,
    ) -> Result<Outcome, A2aError> {
        // An agent without push notifications says so first, whatever is asked of them.
        let operation = match method {
            Some(method) if method.is_push() => host.service.push.check_on().and(operation),
            _ => operation,
        };
        let operation =
            operation.and_then(|operation| self.extensions.check(&host.extensions).map(|()| operation));
        let outcome = match operation {
            Ok(operation) => {
                let push_state = self.extensions.activated(PUSH_STATE_EXTENSION);
                operate(host, operation, self.trace, push_state).await
            }
            Err(error) => Err(error),
        };
        let (method, span) = method.map_or(("", "a2a other"), Method::names);
        host.tracer.record(|| Span {
            context: self.trace,
            parent: self.parent.map(|parent| parent.span_id),
            name: span,
            kind: SpanKind::Server,
            start: self.start,
            end: host.clock.now(),
            attributes: vec![("agentmesh.agent", host.settings.name.to_string())],
            error: outcome.as_ref().err().map(|error| error.message.clone()),
        });
        if let Err(error) = &outcome {
            tracing::debug!(
                agent = %host.settings.name, method, trace_id = self.trace.trace_id_hex(),
                code = error.kind.json_rpc_code(), "refused: {error}"
            );
        }
        outcome
    }
}

async fn operate(
    host: &Arc<Host>,
    operation: Operation,
    trace: TraceContext,
    push_state: bool,
) -> Result<Outcome, A2aError> {
    let service = &host.service;
    let caller = |tenant: Option<String>| host.caller(tenant, trace);
    match operation {
        Operation::Send(params) => {
            let old = params.old;
            check_sending(&params)?;
            let configuration = params.configuration.unwrap_or_default();
            let history = params::history_length(configuration.history_length)?;
            let wait = !configuration.return_immediately.unwrap_or(false);
            let push = configuration.task_push_notification_config.map(|config| AskedPush { config, old });
            let mut task = service.send(&caller(params.tenant), params.message, push, wait).await?;
            task.limit_history(history);
            Ok(Outcome::Sent(Box::new(task)))
        }
        Operation::SendStreaming(params) => {
            let old = params.old;
            check_sending(&params)?;
            let push =
                params.configuration.and_then(|configuration| configuration.task_push_notification_config);
            let push = push.map(|config| AskedPush { config, old });
            let subscription = service.send_streaming(&caller(params.tenant), params.message, push).await?;
            Ok(Outcome::Stream(Box::new(subscription)))
        }
        Operation::Get(params) => {
            let history = params::history_length(params.history_length)?;
            let mut task = service.get(&caller(params.tenant), &params.id, push_state).await?;
            task.limit_history(history);
            Ok(Outcome::Task(Box::new(task)))
        }
        Operation::List(params) => list(host, params, trace, push_state).await.map(Outcome::Page),
        Operation::Cancel(params) => {
            let task = service.cancel(&caller(params.tenant), &params.id).await?;
            Ok(Outcome::Task(Box::new(task)))
        }
        Operation::Subscribe { params, after } => {
            let subscription = service.subscribe(&caller(params.tenant), &params.id, after).await?;
            Ok(Outcome::Stream(Box::new(subscription)))
        }
        Operation::CreatePush { config, old } => {
            let caller = caller(config.tenant.clone());
            let asked = AskedPush { config: *config, old };
            service.create_push(&caller, asked).await.map(|config| Outcome::PushConfig(Box::new(config)))
        }
        Operation::GetPush(params) => {
            let config = service.get_push(&caller(params.tenant), &params.task_id, &params.id).await?;
            Ok(Outcome::PushConfig(Box::new(config)))
        }
        Operation::ListPush(params) => {
            service.list_push(&caller(params.tenant), &params.task_id).await.map(Outcome::PushConfigs)
        }
        Operation::DeletePush(params) => {
            service.delete_push(&caller(params.tenant), &params.task_id, &params.id).await?;
            Ok(Outcome::Nothing)
        }
        Operation::RetryPush(params) => {
            let retried = service.retry_push(&caller(params.tenant), &params.task_id, &params.id).await?;
            Ok(Outcome::Retried(retried))
        }
        Operation::ExtendedCard(params) => {
            service.may_see_extended_card(&caller(params.tenant))?;
            Ok(Outcome::Card(host.published()))
        }
        Operation::Context(params) => context(host, params, trace).await.map(Outcome::Context),
    }
}

async fn context(
    host: &Arc<Host>,
    params: ContextParams,
    trace: TraceContext,
) -> Result<Box<ContextPage>, A2aError> {
    let size = page_size(params.page_size, i64::try_from(MAX_PAGE).unwrap_or(LARGEST_PAGE))?;
    let caller = host.caller(params.tenant, trace);
    let context_id = params.context_id;
    let token = params.page_token.filter(|token| !token.is_empty());
    let after = token.as_deref().map(params::decode_key).transpose()?;
    let page = host.service.memory(&caller, context_id.clone(), after.as_deref(), size).await?;
    let EntryPage { entries, next } = page;
    let next_page_token = next.map(|key| params::encode_key(&key)).unwrap_or_default();
    Ok(Box::new(ContextPage { context_id, entries, next_page_token }))
}

/// How many a page is to have: those asked for, or `usual`.
fn page_size(asked: Option<i64>, usual: i64) -> Result<usize, A2aError> {
    let size = asked.filter(|size| *size != 0).unwrap_or(usual);
    usize::try_from(size)
        .ok()
        .filter(|_| (1..=LARGEST_PAGE).contains(&size))
        .ok_or_else(|| A2aError::invalid("params.pageSize", format_args!("must be from 1 to {LARGEST_PAGE}")))
}

fn check_sending(params: &SendMessageParams) -> Result<(), A2aError> {
    params::check_message(&params.message)?;
    params::history_length(params.configuration.as_ref().and_then(|c| c.history_length))?;
    Ok(())
}

async fn list(
    host: &Arc<Host>,
    params: ListParams,
    trace: TraceContext,
    push_state: bool,
) -> Result<Page, A2aError> {
    let size = page_size(params.page_size, DEFAULT_PAGE)?;
    let history = params::history_length(params.history_length)?;
    let token = params.page_token.filter(|token| !token.is_empty());
    let query = ListQuery {
        tenant: Tenant::from(""),
        owner: None,
        agent: Some(AgentName::from("")),
        context_id: params.context_id,
        state: params.status,
        status_at_or_after: params.status_timestamp_after,
        after: token.as_deref().map(decode_cursor).transpose()?,
        limit: size,
    };
    let caller = host.caller(params.tenant, trace);
    let detail = if params.include_artifacts.unwrap_or(false) { Detail::Whole } else { Detail::NoArtifacts };
    let Listing { tasks, total, next } =
        host.service.list(&caller, query, View { detail, history, push_state }).await?;
    let next_page_token = next.map(|cursor| encode_cursor(&cursor)).unwrap_or_default();
    let page_size = i64::try_from(size).unwrap_or(LARGEST_PAGE);
    Ok(Page { tasks, next_page_token, page_size, total_size: total })
}
