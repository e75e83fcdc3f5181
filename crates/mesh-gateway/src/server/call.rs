//! What goes to an upstream: the phases that every such request passes, in this order.

use super::asking::{Question, RoundTripAsker, StreamAsker};
use super::classify::{Classified, InputRequired, classify};
use super::patience::Patience;
use super::route::{self, Route};
use super::subject::{Forwarded, Subject};
use super::{Asked, Outcome, input};
use crate::identity::{self, Caller};
use crate::observe::{CallTrace, Observed};
use crate::rejection::Rejection;
use crate::toolset;
use crate::upstream::param_headers;
use crate::upstream::{Answered, Asker, Notify, Outgoing, ResultText, Terms, UpstreamError};
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
    /// Makes it, and again as long as the upstream asks for input that this client gives on its stream.
    async fn make(
        &self,
        mut params: RawObject<'_>,
        deadline: Instant,
        observed: &mut Observed,
    ) -> Result<Classified, Rejection> {
        let patience = Patience::until(deadline);
        let asker = self.asker(&patience);
        for _ in 0..ROUNDS {
            let answered = self.once(&params, deadline, asker.clone(), &patience, observed).await?;
            match classify(answered, self.asked.client.is_modern(), self.what == Forwarded::ReadResource)
                .await
            {
                Ok(classified) => return Ok(classified),
                Err(Err(error)) => return Err(self.route.failed(error)),
                Err(Ok(InputRequired(result))) => {
                    let asker = asker.as_ref().ok_or_else(|| self.cannot_ask())?;
                    let answers =
                        input::gather(&result, &**asker).await.map_err(|error| self.route.failed(error))?;
                    answers.add_to(&mut params);
                }
            }
        }
        Err(self.route.failed(UpstreamError::bad_answer(format!("it asked for input {ROUNDS} times"))))
    }

    /// One request, one answer.
    async fn once(
        &self,
        params: &RawObject<'_>,
        deadline: Instant,
        asker: Option<Arc<dyn Asker>>,
        patience: &Arc<Patience>,
        observed: &mut Observed,
    ) -> Result<Answered, Rejection> {
        let (asked, route) = (self.asked, self.route);
        let can_wait = asker.is_some();
        let outgoing = self.outgoing(params.clone(), asker);
        let terms = Terms {
            principal: &self.caller.principal,
            definition: route.known.as_ref().map(|tool| &*tool.definition),
            deadline,
            fresh: asked.edge.wants_fresh(),
        };
        let shadow = match self.what {
            Forwarded::CallTool => asked.plan.versions.shadow(asked.gateway, route, &outgoing, &terms),
            _ => None,
        };
        let exchange = route.upstream.call(outgoing, &terms, || observed.sent());
        let after = asked.plan.settings.call_timeout.min(route.upstream.timeout);
        let late = || Rejection::Timeout { upstream: route.upstream.id.to_string(), after };
        let answered = if can_wait {
            patience.within(exchange).await.map_err(|_| late())?
        } else {
            timeout_at(deadline, exchange).await.map_err(|_| late())?
        };
        let answered = answered.map_err(|error| route.no_answer(error))?;
        if let (Some(shadow), crate::upstream::Answer::Result(ResultText::Whole(result))) =
            (shadow, &answered.answer)
        {
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
            Forwarded::Complete => None,
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
            streams: true,
        }
    }

    /// Whom the upstream may ask back.
    fn asker(&self, patience: &Arc<Patience>) -> Option<Arc<dyn Asker>> {
        let patience = Arc::clone(patience);
        if let (Some(opened), Some(stream)) = (self.asked.client.session(), &self.asked.notify) {
            return opened.session.can_be_asked().then(|| {
                Arc::new(StreamAsker {
                    questions: Arc::clone(&self.asked.gateway.questions),
                    session: opened.session.nonce,
                    capabilities: opened.session.capabilities.as_str().into(),
                    stream: stream.clone(),
                    patience,
                }) as Arc<dyn Asker>
            });
        }
        let questions: &mpsc::Sender<Question> = self.asked.questions.as_ref()?;
        Some(Arc::new(RoundTripAsker {
            questions: questions.clone(),
            capabilities: self.meta.client_capabilities.as_deref().unwrap_or("{}").into(),
            patience,
        }))
    }

    fn cannot_ask(&self) -> Rejection {
        self.route.failed(UpstreamError::bad_answer(
            "it asks for input, which this client did not say that it can give, or has no stream to be asked on",
        ))
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
