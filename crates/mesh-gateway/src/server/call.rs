//! `tools/call`: the phases that every call passes, in this order.

use super::{Asked, Outcome};
use crate::identity::{self, Caller};
use crate::names;
use crate::observe::{CallTrace, Observed};
use crate::plan::Scope;
use crate::rejection::Rejection;
use crate::toolset;
use crate::upstream::param_headers::{self, ParamHeader};
use crate::upstream::{
    Answer, Answered, CallError, ClientFacts, Conversation, Notify, Outgoing, RegisteredUpstream, Terms,
    Tool, UpstreamError,
};
use crate::wire::header;
use crate::wire::meta::RequestMeta;
use crate::wire::object::{RawObject, as_str};
use bytes::Bytes;
use mesh_config::Choice;
use mesh_policy::{Action, Resource};
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// Calls a tool. The edge and the decoding of the envelope came before (`server.rs`); the reply comes after.
///
/// Nothing is sent to an upstream before the caller is known and allowed and has its turn, and whatever happens, also
/// when this future is dropped because the client left, exactly one audit record is written.
pub(super) async fn call_tool(
    asked: &Asked<'_>,
    mut params: RawObject<'_>,
    meta: RequestMeta<'_>,
) -> Result<Outcome, Rejection> {
    let (gateway, settings, headers) = (asked.gateway, &asked.plan.settings, &asked.edge.headers);
    let started = Instant::now();
    let name = params
        .get("name")
        .and_then(as_str)
        .map(|name| name.into_owned())
        .ok_or_else(|| Rejection::InvalidParams("`params.name` must be a string".to_owned()))?;
    let trace = CallTrace::new(asked.edge.header(&header::TRACEPARENT).or(meta.traceparent.as_deref()));

    let mut observed = Observed::open(gateway, trace, &name, params.get("arguments"))?;
    let answered = async {
        observed.admitted(gateway.admit()?);
        let caller = identity::authenticate(settings, headers)?;
        observed.caller(&caller);

        let route = route(asked, &caller, &name).await?;
        observed.route(&route);

        let Route { upstream, tool, .. } = &route;
        let resource = Resource::Tool { tenant: &upstream.tenant, upstream: &upstream.id, tool };
        let decision = gateway.wiring.authorizer.decide(&caller.principal, Action::CallTool, resource);
        observed.decided(&decision);
        if !decision.allowed() {
            return Err(Rejection::Denied);
        }
        if asked.modern {
            param_headers::check(&route.shown_param_headers(), params.get("arguments"), headers)
                .map_err(Rejection::HeaderMismatch)?;
        }

        let route = asked.plan.versions.divert(route, &caller.principal, &gateway.versions);
        observed.served_by(&route);
        if let Some(choice) = route.choice {
            toolset::fill(&mut params, choice)?;
        }
        let within = settings.call_timeout.min(route.upstream.timeout);
        let outgoing = outgoing(asked, &route, params, &meta, &trace);
        let terms = Terms {
            principal: &caller.principal,
            definition: route.known.as_ref().map(|tool| &*tool.definition),
            deadline: started + within,
            fresh: false,
        };
        let shadow = asked.plan.versions.shadow(gateway, &route, &outgoing, &terms);
        let exchange = route.upstream.call(outgoing, &terms, || observed.sent());
        let late = |_| Rejection::Timeout { upstream: route.upstream.id.to_string(), after: within };
        let answered = timeout_at(terms.deadline, exchange).await.map_err(late)?;
        let answered = answered.map_err(|error| route.no_answer(error))?;
        let classified = classify(answered, asked.modern).await.map_err(|error| route.failed(error))?;
        if let (Some(shadow), Outcome::Result(result)) = (shadow, &classified.reply) {
            shadow.answered(result);
        }
        Ok(classified)
    }
    .await;

    match answered {
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

/// Where a call goes.
pub(crate) struct Route<'a> {
    pub(crate) upstream: &'a Arc<RegisteredUpstream>,
    /// The tool's name at the upstream.
    pub(crate) tool: Arc<str>,
    /// Its definition, if the upstream lists it.
    pub(crate) known: Option<Arc<Tool>>,
    /// What a toolset says about it.
    pub(crate) choice: Option<&'a Choice>,
}

impl Route<'_> {
    /// The headers that a client can know of: not those of arguments that its toolset does not show.
    fn shown_param_headers(&self) -> Cow<'_, [ParamHeader]> {
        let Some(choice) = self.choice else { return self.param_headers().into() };
        let shown = |header: &&ParamHeader| {
            choice.arguments.get(header.argument()).is_none_or(|argument| argument.shown)
        };
        self.param_headers().iter().filter(shown).cloned().collect()
    }

    fn param_headers(&self) -> &[ParamHeader] {
        self.known.as_ref().map_or(&[], |tool| &tool.param_headers)
    }

    fn no_answer(&self, error: CallError) -> Rejection {
        match error {
            CallError::Busy => Rejection::Busy { upstream: self.upstream.id.to_string() },
            CallError::Upstream(error) => self.failed(error),
        }
    }

    fn failed(&self, error: UpstreamError) -> Rejection {
        Rejection::Upstream { upstream: self.upstream.id.to_string(), error }
    }
}

/// Finds the upstream and its own name for the tool. What is another tenant's looks like what does not exist.
async fn route<'a>(asked: &Asked<'a>, caller: &Caller, name: &str) -> Result<Route<'a>, Rejection> {
    let tenant = &caller.principal.tenant;
    let shown = || name.chars().take(128).collect::<String>();
    let unknown = || Rejection::UnknownTool { tool: shown() };
    let scope = asked.plan.scope(tenant, asked.edge.scope())?;
    let (toolset, choice) = match scope {
        Scope::Upstream(upstream) if !upstream.selection.admits(name) => return Err(unknown()),
        Scope::Upstream(upstream) => {
            // Names are untouched here, and the upstream itself says which it knows.
            let known = upstream.known_tools().tools.and_then(|tools| tools.by_name(name).cloned());
            return Ok(Route { upstream, tool: name.into(), known, choice: None });
        }
        Scope::All => (None, None),
        Scope::Toolset(toolset) => (Some(toolset), toolset.named(name)),
    };
    let id = choice
        .map(|choice| choice.tool.upstream.as_str())
        .or_else(|| names::upstream_of(name))
        .ok_or_else(unknown)?;
    let upstream = asked.plan.upstream(tenant, id).ok_or_else(unknown)?;
    let find = |snapshot: &crate::upstream::Snapshot| {
        let tools = snapshot.tools.as_ref()?;
        let tool = match choice {
            Some(choice) => tools.by_name(choice.tool.tool.as_str()),
            None => tools
                .by_federated(name)
                .filter(|tool| toolset.is_none_or(|toolset| toolset.covers(id, &tool.name))),
        };
        tool.cloned()
    };
    let mut snapshot = upstream.known_tools();
    if find(&snapshot).is_none() {
        snapshot = upstream.tools().await;
    }
    match (find(&snapshot), snapshot.failure()) {
        (Some(tool), _) => Ok(Route { upstream, tool: tool.name.as_str().into(), known: Some(tool), choice }),
        (None, Some(error)) => Err(Rejection::Upstream { upstream: id.to_owned(), error: error.clone() }),
        (None, None) => Err(unknown()),
    }
}

/// The request as the upstream gets it: its own name for the tool, our span, our progress token, nothing of the
/// client's credentials, and everything else as the client wrote it.
fn outgoing<'a>(
    asked: &Asked<'_>,
    route: &'a Route<'_>,
    mut params: RawObject<'a>,
    meta: &'a RequestMeta<'_>,
    trace: &CallTrace,
) -> Outgoing<'a> {
    let param_headers = param_headers::of_arguments(route.param_headers(), params.get("arguments"));
    params.set("name", crate::wire::string(&route.tool));
    let notify =
        asked.notify.clone().map(|to| Notify { token: meta.progress_token.as_deref().map(Into::into), to });
    let client = if asked.modern {
        ClientFacts {
            capabilities: meta.client_capabilities.as_deref(),
            info: meta.client_info.as_deref(),
            log_level: meta.log_level.as_deref(),
        }
    } else {
        ClientFacts::default()
    };
    Outgoing {
        method: "tools/call",
        name: Some(&route.tool),
        params,
        meta: meta.rest.clone(),
        client,
        param_headers,
        trace: trace.client,
        tracestate: asked.edge.headers.get(header::TRACESTATE).cloned(),
        notify,
        conversation: Conversation::own(),
        asker: None,
        streams: false,
    }
}

/// An answer in the client's revision, and how it counts.
#[derive(Debug)]
struct Classified {
    reply: Outcome,
    outcome: mesh_policy::Outcome,
    kind: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Peek {
    #[serde(default)]
    result_type: Option<serde_json::Value>,
    #[serde(default)]
    is_error: serde_json::Value,
}

/// Looks at an answer and changes no more of it than the client's revision demands: `resultType`, which a modern client
/// must find and a legacy one must not.
async fn classify(answered: Answered, modern: bool) -> Result<Classified, UpstreamError> {
    let result = match answered.answer {
        Answer::Error(error) => {
            let kind = Some("upstream_error");
            let outcome = mesh_policy::Outcome::ProtocolError;
            return Ok(Classified { reply: Outcome::Error(error), outcome, kind });
        }
        Answer::Result(result) => result.whole().await?,
    };
    let peek: Peek = serde_json::from_slice(&result)
        .ok()
        .filter(|_| result.starts_with(b"{"))
        .ok_or_else(|| UpstreamError::bad_answer("its result is not an object"))?;
    let (outcome, kind) = match peek.is_error.as_bool() {
        Some(true) => (mesh_policy::Outcome::ToolError, Some("tool_error")),
        _ => (mesh_policy::Outcome::Ok, None),
    };
    let result = match (modern, &peek.result_type) {
        (true, None) => with_result_type(&result),
        (false, Some(kind)) if answered.modern => {
            if kind == "input_required" {
                return Err(UpstreamError::bad_answer(
                    "it asks for input, which this client's protocol revision cannot give through the gateway yet",
                ));
            }
            without_result_type(result)
        }
        _ => result,
    };
    Ok(Classified { reply: Outcome::Result(result), outcome, kind })
}

fn with_result_type(result: &Bytes) -> Bytes {
    let rest = &result[1..];
    let comma = if rest.trim_ascii_start().starts_with(b"}") { "" } else { "," };
    [br#"{"resultType":"complete""#, comma.as_bytes(), rest].concat().into()
}

fn without_result_type(result: Bytes) -> Bytes {
    let Some(mut object) =
        std::str::from_utf8(&result).ok().and_then(|text| RawObject::parse_lenient(text).ok())
    else {
        return result;
    };
    object.take("resultType");
    object.to_text().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shaped(result: &'static str, from_modern: bool, to_modern: bool) -> String {
        let answered = Answered { answer: result_of(result), modern: from_modern };
        match classify(answered, to_modern).await.unwrap().reply {
            Outcome::Result(result) => String::from_utf8(result.to_vec()).unwrap(),
            Outcome::Error(_) => panic!(),
        }
    }

    fn result_of(text: &'static str) -> Answer {
        Answer::Result(Bytes::from_static(text.as_bytes()).into())
    }

    #[tokio::test]
    async fn a_result_changes_only_where_the_generations_differ() {
        let plain = r#"{"content":[], "x":1.0}"#;
        let typed = r#"{"resultType":"complete","content":[ ],"x":1.0}"#;
        assert_eq!(shaped(plain, false, false).await, plain);
        assert_eq!(shaped(typed, true, true).await, typed);
        assert_eq!(shaped(plain, false, true).await, r#"{"resultType":"complete","content":[], "x":1.0}"#);
        assert_eq!(shaped("{ }", false, true).await, r#"{"resultType":"complete" }"#);
        assert_eq!(shaped(typed, true, false).await, r#"{"content":[ ],"x":1.0}"#);
    }

    #[tokio::test]
    async fn an_answer_counts_as_what_it_is() {
        let count = async |answer| {
            classify(Answered { answer, modern: false }, false).await.map(|c| (c.outcome, c.kind))
        };
        let (ok, failed) = (mesh_policy::Outcome::Ok, mesh_policy::Outcome::ToolError);
        assert_eq!(count(result_of("{}")).await.unwrap(), (ok, None));
        assert_eq!(count(result_of(r#"{"isError":true}"#)).await.unwrap(), (failed, Some("tool_error")));
        assert_eq!(count(result_of(r#"{"isError":"x"}"#)).await.unwrap(), (ok, None));
        assert!(count(result_of("[]")).await.is_err());
        assert!(count(Answer::Error("{}".into())).await.unwrap().1.is_some());
    }
}
