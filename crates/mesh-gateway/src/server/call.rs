//! What goes to an upstream: the phases that every such request passes, in this order.

use super::asking::{Question, RoundTripAsker, StreamAsker};
use super::classify::{Classified, InputRequired, classify};
use super::client::Opened;
use super::patience::Patience;
use super::route::{self, Route};
use super::subject::{Forwarded, Subject};
use super::{Asked, Outcome, input, notified};
use crate::gateway::Gateway;
use crate::identity::{self, Caller};
use crate::observe::{CallTrace, Observed};
use crate::rejection::Rejection;
use crate::toolset;
use crate::upstream::param_headers;
use crate::upstream::{Answer, Answered, Asker, Notify, Outgoing, ResultText, Terms, UpstreamError};
use crate::wire::header;
use crate::wire::meta::RequestMeta;
use crate::wire::object::RawObject;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// How often one call may ask its client for input.
const ROUNDS: usize = 10;

/// Forwards a request. The edge and the decoding of the envelope came before (`server.rs`); the reply comes after.
///
/// Nothing is sent to an upstream before the caller is known and allowed and has its turn, and whatever happens, also
/// when this future is dropped because the client left, exactly one audit record is written.
pub(super) async fn forward(
    asked: &Asked<'_>,
    what: Forwarded,
    mut params: RawObject<'_>,
    meta: RequestMeta<'_>,
) -> Result<Outcome, Rejection> {
    let (gateway, settings, headers) = (asked.gateway, &asked.plan.settings, &asked.edge.headers);
    let started = Instant::now();
    let subject = what.subject(&params)?;
    let trace = CallTrace::new(asked.edge.header(&header::TRACEPARENT).or(meta.traceparent.as_deref()));

    let action = what.action(subject.kind);
    let mut observed =
        Observed::open(gateway, trace, (what.method(), action), &subject.name, params.get("arguments"))?;
    let answered = async {
        observed.admitted(gateway.admit()?);
        let caller = identity::authenticate(settings, headers)?;
        observed.caller(&caller);

        let route = route::find(asked, &caller, &subject).await?;
        observed.route(&route);

        let (tenant, upstream) = (&route.upstream.tenant, &*route.upstream.id);
        let resource = subject.resource(tenant, upstream, &route.tool);
        let decision = gateway.wiring.authorizer.decide(&caller.principal, action, resource);
        observed.decided(&decision);
        if !decision.allowed() {
            return Err(Rejection::Denied);
        }
        if asked.client.is_modern() && what == Forwarded::CallTool {
            param_headers::check(&route.shown_param_headers(), params.get("arguments"), headers)
                .map_err(Rejection::HeaderMismatch)?;
        }

        let route = match what {
            Forwarded::CallTool => asked.plan.versions.divert(route, &caller.principal, &gateway.versions),
            _ => route,
        };
        observed.served_by(&route);
        if let Some(choice) = route.choice {
            toolset::fill(&mut params, choice)?;
        }
        subject.rename(&mut params, &route.tool);
        let deadline = started + settings.call_timeout.min(route.upstream.timeout);
        let call = Call {
            asked,
            what,
            subject: &subject,
            route: &route,
            caller: &caller,
            meta: &meta,
            trace: &trace,
        };
        call.make(params, deadline, &mut observed).await
    }
    .await;

    match answered {
        Ok(Classified { reply: Outcome::Result(ResultText::Streamed(pieces)), .. }) => {
            Ok(Outcome::Result(ResultText::Streamed(watched(pieces, observed))))
        }
        Ok(Classified { reply, outcome, kind }) => {
            observed.close(outcome, kind);
            Ok(reply)
        }
        Err(rejection) => {
            if let Rejection::Upstream { upstream, .. } = &rejection {
                observed.upstream(upstream);
            }
            observed.close(rejection.outcome(), Some(rejection.kind()));
            Err(rejection)
        }
    }
}

/// A call that may be made.
struct Call<'a> {
    asked: &'a Asked<'a>,
    what: Forwarded,
    subject: &'a Subject,
    route: &'a Route<'a>,
    caller: &'a Caller,
    meta: &'a RequestMeta<'a>,
    trace: &'a CallTrace,
}

impl Call<'_> {
    /// Makes it.
    async fn make(
        &self,
        params: RawObject<'_>,
        deadline: Instant,
        observed: &mut Observed,
    ) -> Result<Classified, Rejection> {
        if let Forwarded::Follow(on) = self.what {
            return self.follow(on, params, deadline, observed).await;
        }
        match self.client_to_ask() {
            None => {
                let exchange = self.once(params, deadline, None, observed);
                let answered = timeout_at(deadline, exchange).await.map_err(|_| self.late())??;
                match self.classified(answered).await? {
                    Ok(classified) => Ok(classified),
                    Err(InputRequired(_)) => Err(self.cannot_ask()),
                }
            }
            Some(client) => self.conversing(client, params, deadline, observed).await,
        }
    }

    /// Makes it with somebody to ask, and again as long as the upstream asks for input by its result. The time stands still meanwhile.
    async fn conversing(
        &self,
        client: ToAsk<'_>,
        mut params: RawObject<'_>,
        deadline: Instant,
        observed: &mut Observed,
    ) -> Result<Classified, Rejection> {
        let patience = Patience::until(deadline);
        let asker = client.asker(self.asked.gateway, &patience);
        for _ in 0..ROUNDS {
            let exchange = self.once(params.clone(), deadline, Some(Arc::clone(&asker)), observed);
            let answered = patience.within(exchange).await.map_err(|_| self.late())??;
            match self.classified(answered).await? {
                Ok(classified) => return Ok(classified),
                Err(InputRequired(result)) => {
                    let answers =
                        input::gather(&result, &*asker).await.map_err(|error| self.route.failed(error))?;
                    answers.add_to(&mut params);
                }
            }
        }
        Err(self.route.failed(UpstreamError::bad_answer(format!("it asked for input {ROUNDS} times"))))
    }

    /// Follows a resource, or does no longer. A server without sessions is told so by the stream that listens to it.
    async fn follow(
        &self,
        on: bool,
        params: RawObject<'_>,
        deadline: Instant,
        observed: &mut Observed,
    ) -> Result<Classified, Rejection> {
        let client = self.asked.client;
        if on {
            notified::may_follow(client)?;
        }
        let tell = async {
            let conversation = client.conversation(&self.caller.principal, self.meta);
            let opened = self.route.upstream.target().open(&conversation).await;
            if opened.map_err(|error| self.route.failed(error))?.revision.is_modern() {
                return Ok(Answered {
                    answer: Answer::Result(Bytes::from_static(b"{}").into()),
                    modern: false,
                });
            }
            self.once(params, deadline, None, observed).await
        };
        let answered = timeout_at(deadline, tell).await.map_err(|_| self.late())??;
        let classified = self.classified(answered).await?.map_err(|InputRequired(_)| self.cannot_ask())?;
        if matches!(classified.reply, Outcome::Result(_)) {
            notified::follows(client, &self.subject.name, on);
        }
        Ok(classified)
    }

    async fn classified(&self, answered: Answered) -> Result<Result<Classified, InputRequired>, Rejection> {
        let hinted = self.what == Forwarded::ReadResource;
        match classify(answered, self.asked.client.is_modern(), hinted).await {
            Ok(classified) => Ok(Ok(classified)),
            Err(Ok(input)) => Ok(Err(input)),
            Err(Err(error)) => Err(self.route.failed(error)),
        }
    }

    fn late(&self) -> Rejection {
        let after = self.asked.plan.settings.call_timeout.min(self.route.upstream.timeout);
        Rejection::Timeout { upstream: self.route.upstream.id.to_string(), after }
    }

    /// One request, one answer.
    async fn once(
        &self,
        params: RawObject<'_>,
        deadline: Instant,
        asker: Option<Arc<dyn Asker>>,
        observed: &mut Observed,
    ) -> Result<Answered, Rejection> {
        let (asked, route) = (self.asked, self.route);
        let outgoing = self.outgoing(params, asker);
        let terms = Terms {
            principal: &self.caller.principal,
            hints: route.known.as_ref().map(|tool| tool.hints),
            deadline,
            fresh: asked.edge.wants_fresh(),
        };
        let shadow = match self.what {
            Forwarded::CallTool => asked.plan.versions.shadow(asked.gateway, route, &outgoing, &terms),
            _ => None,
        };
        let answered = route.upstream.call(outgoing, &terms, || observed.sent()).await;
        let answered = answered.map_err(|error| route.no_answer(error))?;
        if let (Some(shadow), Answer::Result(ResultText::Whole(result))) = (shadow, &answered.answer) {
            shadow.answered(result);
        }
        Ok(answered)
    }

    /// The request as the upstream gets it: its own name for what is meant, our span, our progress token, nothing of the
    /// client's credentials, and everything else as the client wrote it.
    fn outgoing<'b>(&'b self, params: RawObject<'b>, asker: Option<Arc<dyn Asker>>) -> Outgoing<'b> {
        let (asked, route, meta) = (self.asked, self.route, self.meta);
        let param_headers = param_headers::of_arguments(route.param_headers(), params.get("arguments"));
        let token = meta.progress_token.as_deref().map(Into::into);
        let name = match self.what {
            Forwarded::CallTool | Forwarded::GetPrompt | Forwarded::ReadResource => Some(&*route.tool),
            Forwarded::Task(_) => Some(self.subject.name.as_str()).filter(|id| !id.is_empty()),
            Forwarded::Complete | Forwarded::Follow(_) => None,
        };
        Outgoing {
            method: self.what.method(),
            name,
            params,
            meta: meta.rest.clone(),
            client: asked.client.facts(meta),
            param_headers,
            trace: self.trace.client,
            tracestate: asked.edge.headers.get(header::TRACESTATE).cloned(),
            notify: asked.notify.clone().map(|to| Notify { token, logs: asked.client.logs(meta), to }),
            conversation: asked.client.conversation(&self.caller.principal, meta),
            asker,
            streams: asked.edge.takes_pieces,
        }
    }

    /// Whom the upstream may ask back, and how.
    fn client_to_ask(&self) -> Option<ToAsk<'_>> {
        if let Some(opened) = self.asked.client.session() {
            let stream = self.asked.notify.as_ref().filter(|_| opened.session.can_be_asked())?;
            return Some(ToAsk::OnStream(opened, stream));
        }
        let capabilities = self.meta.client_capabilities.as_deref().unwrap_or("{}");
        Some(ToAsk::ByResult(self.asked.questions.as_ref()?, capabilities))
    }

    fn cannot_ask(&self) -> Rejection {
        self.route.failed(UpstreamError::bad_answer(
            "it asks for input, which this client did not say that it can give, or has no stream to be asked on",
        ))
    }
}

/// A client that can be asked.
enum ToAsk<'a> {
    /// In its session, on the stream of the call.
    OnStream(&'a Opened, &'a mpsc::Sender<Bytes>),
    /// By a result, with the capabilities that it declared.
    ByResult(&'a mpsc::Sender<Question>, &'a str),
}

impl ToAsk<'_> {
    fn asker(&self, gateway: &Gateway, patience: &Arc<Patience>) -> Arc<dyn Asker> {
        let patience = Arc::clone(patience);
        match *self {
            Self::OnStream(opened, stream) => Arc::new(StreamAsker {
                questions: Arc::clone(&gateway.questions),
                session: opened.session.nonce,
                capabilities: opened.session.capabilities.as_str().into(),
                stream: stream.clone(),
                patience,
            }),
            Self::ByResult(questions, capabilities) => Arc::new(RoundTripAsker {
                questions: questions.clone(),
                capabilities: capabilities.into(),
                patience,
            }),
        }
    }
}

/// The pieces of a large result. The call is written down at their end, or when the client leaves before.
fn watched(
    pieces: BoxStream<'static, Result<Bytes, UpstreamError>>,
    observed: Observed,
) -> BoxStream<'static, Result<Bytes, UpstreamError>> {
    let watched = futures_util::stream::unfold(Some((pieces, observed)), async |state| {
        let (mut pieces, observed) = state?;
        match pieces.next().await {
            None => {
                observed.close(mesh_policy::Outcome::Ok, None);
                None
            }
            Some(Ok(piece)) => Some((Ok(piece), Some((pieces, observed)))),
            Some(Err(error)) => {
                observed.close(mesh_policy::Outcome::UpstreamUnavailable, Some("stream_broken"));
                Some((Err(error), None))
            }
        }
    });
    watched.boxed()
}
