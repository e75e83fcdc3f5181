//! Agent cards: what they are called, and which interface of theirs we speak.

use crate::exit::Failure;
use crate::http;
use serde_json::Value;

/// Where a card is, seen from an agent's base URL.
pub(crate) const WELL_KNOWN: &str = ".well-known/agent-card.json";

/// What an agent says about itself.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    /// As received.
    pub(crate) value: Value,
    /// The JSON-RPC endpoint.
    pub(crate) endpoint: String,
    /// To be echoed in every request.
    pub(crate) tenant: Option<String>,
}

impl Card {
    /// Reads the card of the agent at `address`: its base URL, or the URL of the card.
    pub(crate) async fn resolve(http: &http::Client, address: &str) -> Result<Self, Failure> {
        let (url, value) = Self::fetch(http, address).await?;
        Self::read(value, &url)
    }

    /// The card as it came, and its URL.
    pub(crate) async fn fetch(http: &http::Client, address: &str) -> Result<(String, Value), Failure> {
        let url = card_url(address);
        let value = http.get_json(&url).await.map_err(|error| match error {
            http::Error::Status { status, .. } if status.as_u16() == 404 => {
                Failure::not_found(format!("there is no agent at {address}"))
                    .hint(format!("{url} answered 404; name the base URL of an A2A server"))
            }
            error => error.into(),
        })?;
        Ok((url, value))
    }

    /// Finds the interface that we speak: JSON-RPC in version 1.x, the first that the agent prefers.
    pub(crate) fn read(value: Value, url: &str) -> Result<Self, Failure> {
        let interfaces = value["supportedInterfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
        let chosen = interfaces.iter().find(|interface| {
            let binding = interface["protocolBinding"].as_str().unwrap_or_default();
            let version = interface["protocolVersion"].as_str().unwrap_or("1.0");
            binding.eq_ignore_ascii_case("JSONRPC") && (version == "1" || version.starts_with("1."))
        });
        let Some(chosen) = chosen else {
            return Err(Failure::unreachable(format!(
                "the agent does not speak A2A 1.0 over JSON-RPC ({url})"
            ))
            .hint(offers(&value, interfaces)));
        };
        let endpoint = chosen["url"].as_str().unwrap_or_default();
        let endpoint = http::parse_url(endpoint).map_err(|why| {
            Failure::unreachable(format!("the card at {url} names a wrong interface: {why}"))
        })?;
        let tenant = chosen["tenant"].as_str().filter(|tenant| !tenant.is_empty()).map(str::to_owned);
        Ok(Self { endpoint: endpoint.to_string(), tenant, value })
    }

    /// The agent's name.
    pub(crate) fn name(&self) -> &str {
        self.value["name"].as_str().unwrap_or("agent")
    }

    /// Whether the agent has this extension.
    pub(crate) fn extends(&self, uri: &str) -> bool {
        let extensions = self.value["capabilities"]["extensions"].as_array();
        extensions.into_iter().flatten().any(|extension| extension["uri"] == uri)
    }

    /// Whether the agent streams. One that does not say is asked to.
    pub(crate) fn streams(&self) -> bool {
        self.value["capabilities"]["streaming"].as_bool().unwrap_or(true)
    }
}

fn offers(card: &Value, interfaces: &[Value]) -> String {
    if interfaces.is_empty() {
        let version = card["protocolVersion"].as_str().unwrap_or("unknown");
        return format!("its card is of protocol version {version}, before 1.0");
    }
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let all: Vec<String> = interfaces
        .iter()
        .map(|i| format!("{} {}", text(&i["protocolBinding"]), text(&i["protocolVersion"])))
        .collect();
    format!("it offers: {}", all.join(", "))
}

fn card_url(address: &str) -> String {
    if address.ends_with(".json") {
        return address.to_owned();
    }
    format!("{}/{WELL_KNOWN}", address.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_json_rpc_interface_of_version_1_is_chosen_with_its_tenant() {
        let card = Card::read(
            json!({"name": "x", "supportedInterfaces": [
                {"url": "host:1", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
                {"url": "http://h/old", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
                {"url": "http://h/a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": "t"},
                {"url": "http://h/b", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            ]}),
            "here",
        )
        .unwrap();
        assert_eq!((card.endpoint.as_str(), card.tenant.as_deref()), ("http://h/a", Some("t")));
        assert!(card.streams());
    }

    #[test]
    fn a_card_without_our_interface_says_what_it_has() {
        let old = Card::read(json!({"protocolVersion": "0.3.0", "url": "http://h/"}), "here").unwrap_err();
        assert_eq!(old.hint.unwrap(), "its card is of protocol version 0.3.0, before 1.0");
        let interfaces = json!([{"url": "h:1", "protocolBinding": "GRPC", "protocolVersion": "1.0"}]);
        let grpc = Card::read(json!({ "supportedInterfaces": interfaces }), "here").unwrap_err();
        assert_eq!(grpc.hint.unwrap(), "it offers: GRPC 1.0");
        let bad = json!([{"url": "file:///x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]);
        assert!(Card::read(json!({ "supportedInterfaces": bad }), "here").is_err());
    }

    #[test]
    fn a_base_url_gets_the_well_known_path_and_a_card_url_stays() {
        assert_eq!(card_url("http://h/a/"), "http://h/a/.well-known/agent-card.json");
        assert_eq!(card_url("http://h/my-card.json"), "http://h/my-card.json");
    }
}
