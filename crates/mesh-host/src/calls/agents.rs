//! Other agents: found in the gateway's directory, asked over A2A 1.0 (JSON-RPC).

use super::gateway::{CallSpan, GatewayCalls, Reply};
use super::withdraw::Given;
use super::{CallError, CallErrorCode};
use crate::card::EVENT_LOG_EXTENSION;
use crate::worker::protocol::PeerEntry;
use mesh_core::TraceContext;
use mesh_core::model::{Message, Part, Role};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the directory and an agent's card may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a message is sent when its answer breaks off, and the first pause between.
const RESENDS: u32 = 7;
const RESEND_AFTER: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
struct Directory {
    agents: Vec<DirectoryEntry>,
}

#[derive(Deserialize)]
struct DirectoryEntry {
    name: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Card {
    supported_interfaces: Vec<Interface>,
    #[serde(default)]
    capabilities: Capabilities,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Interface {
    url: String,
    protocol_binding: String,
    #[serde(default)]
    protocol_version: String,
    #[serde(default)]
    tenant: Option<String>,
}

#[derive(Default, Deserialize)]
struct Capabilities {
    #[serde(default)]
    extensions: Vec<Extension>,
}

#[derive(Deserialize)]
struct Extension {
    uri: String,
}

impl GatewayCalls {
    async fn directory(&self) -> Result<Vec<DirectoryEntry>, CallError> {
        let request = self
            .client
            .get(format!("{}/agents", self.settings.gateway_url))
            .header("agentmesh-agent", self.settings.name.as_str())
            .header("agentmesh-tenant", self.settings.caller.tenant.as_str())
            .timeout(LOOKUP_TIMEOUT);
        let reply = self.fetch(request, "the gateway's directory").await?;
        serde_json::from_slice::<Directory>(&reply.body).map(|directory| directory.agents).map_err(|error| {
            CallError::new(CallErrorCode::Failed, format!("the gateway's directory cannot be read: {error}"))
        })
    }

    /// The peers that the configuration grants.
    pub(super) async fn list_peers(&self) -> Result<Vec<PeerEntry>, CallError> {
        let granted = &self.settings.agent.peers;
        if granted.is_empty() {
            return Ok(Vec::new());
        }
        let listed = self.directory().await?;
        Ok(granted
            .iter()
            .map(|name| PeerEntry {
                name: name.clone(),
                description: listed
                    .iter()
                    .find(|entry| entry.name == *name)
                    .map(|entry| entry.description.clone())
                    .unwrap_or_default(),
            })
            .collect())
    }

    pub(super) async fn call_agent(
        &self,
        call: &CallSpan<'_>,
        parts: Vec<Part>,
        timeout: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError> {
        if !self.settings.agent.peers.iter().any(|peer| peer == call.target) {
            let message = format!("agent {} may not call agent {}", self.settings.name, call.target);
            return Err(CallError::new(CallErrorCode::NotAllowed, message));
        }
        let work = self.ask_peer(call, parts);
        match timeout {
            Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
                let message = format!("agent {} did not answer within {limit:?}", call.target);
                Err(CallError::new(CallErrorCode::Timeout, message))
            }),
            None => work.await,
        }
    }

    async fn ask_peer(&self, call: &CallSpan<'_>, parts: Vec<Part>) -> Result<Box<RawValue>, CallError> {
        let name = call.target;
        let mut message = Message::new(Role::User, parts);
        message.context_id = Some(call.scope.context.clone());
        message.reference_task_ids = vec![call.scope.task.clone()];
        let mut given = Given::new(self, call.scope, name, &message);
        let mut pause = RESEND_AFTER;
        for resend in 0..RESENDS {
            let (error, safe) = match self.find_peer(name).await {
                // Nothing was sent: a peer that is just being started again is looked up again.
                Err(error) => (error, true),
                Ok((interface, ours)) => {
                    given.sent();
                    let params = json!({ "message": message });
                    match self.post_to_peer(&call.context, name, &interface, "SendMessage", params).await {
                        Ok(reply) => {
                            given.answered();
                            return reply.result(&format!("agent {name}"));
                        }
                        // The message id makes it safe: our hosts take the same message once, and wait for its task
                        // again.
                        Err(error) => (error, ours),
                    }
                }
            };
            if error.code != CallErrorCode::Unavailable || !safe {
                given.answered();
                return Err(error);
            }
            tracing::info!(agent = name, task = %call.scope.task, resend, "asking again: {error}");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        given.answered();
        Err(CallError::new(CallErrorCode::Unavailable, format!("agent {name} cannot be reached")))
    }

    pub(super) async fn post_to_peer(
        &self,
        trace: &TraceContext,
        name: &str,
        interface: &Interface,
        method: &str,
        mut params: Value,
    ) -> Result<Reply, CallError> {
        if let Some(tenant) = &interface.tenant {
            params["tenant"] = tenant.as_str().into();
        }
        let request = self
            .client
            .post(&interface.url)
            .header("a2a-version", "1.0")
            .header("traceparent", trace.to_string())
            .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }));
        self.fetch(request, &format!("agent {name}")).await
    }

    pub(super) async fn find_peer(&self, name: &str) -> Result<(Interface, bool), CallError> {
        let entry =
            self.directory().await?.into_iter().find(|entry| entry.name == name).ok_or_else(|| {
                CallError::new(CallErrorCode::NotFound, format!("agent {name} is not in the directory"))
            })?;
        self.interface(&entry).await
    }

    /// Where the agent takes JSON-RPC, and whether it keeps our event log, so that a message may be sent again.
    async fn interface(&self, entry: &DirectoryEntry) -> Result<(Interface, bool), CallError> {
        let peer = format!("the card of agent {}", entry.name);
        let url = format!("{}/.well-known/agent-card.json", entry.url.trim_end_matches('/'));
        let reply = self.fetch(self.client.get(url).timeout(LOOKUP_TIMEOUT), &peer).await?;
        let card: Card = serde_json::from_slice(&reply.body).map_err(|error| {
            CallError::new(CallErrorCode::Failed, format!("{peer} cannot be read: {error}"))
        })?;
        let ours = card.capabilities.extensions.iter().any(|extension| extension.uri == EVENT_LOG_EXTENSION);
        let interface = card
            .supported_interfaces
            .into_iter()
            .find(|i| i.protocol_binding == "JSONRPC" && i.protocol_version.starts_with("1."))
            .ok_or_else(|| {
                CallError::new(CallErrorCode::Failed, format!("{peer} offers no A2A 1.0 over JSON-RPC"))
            })?;
        Ok((interface, ours))
    }
}
