//! A card with the gateway's addresses in it. Everything else stays as it was written, in its order.

use super::interfaces::binding_of;
use crate::agents::Binding;
use crate::wire::object::RawObject;
use crate::wire::string;
use serde_json::value::RawValue;

/// Where the gateway is, as somebody who asks for a card has to write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Door {
    /// The agent's address: `https://mesh.example/prefix/agents/sales`.
    pub(crate) url: String,
    /// `host:port`, if gRPC can be spoken there: it knows no paths, so not behind a prefix.
    pub(crate) grpc: Option<String>,
    /// The agent's name, which clients of gRPC send as the tenant.
    pub(crate) name: String,
}

impl Door {
    /// The door to an agent. `base` is the gateway's address, without a slash at its end.
    pub(crate) fn new(base: &str, name: &str) -> Self {
        Self { url: format!("{base}/agents/{name}"), grpc: authority(base), name: name.to_owned() }
    }

    /// The place of an interface here, and the tenant to ask for; `None` if it cannot be reached through the gateway.
    pub(crate) fn place(&self, binding: &str, version: &str) -> Option<(String, Option<String>)> {
        match binding_of(binding)? {
            Binding::JsonRpc | Binding::Rest => Some((self.url.clone(), None)),
            // 0.3 has no tenants, so its clients cannot say whom they mean.
            Binding::Grpc if version.starts_with("0.") => None,
            Binding::Grpc => self.grpc.clone().map(|grpc| (grpc, Some(self.name.clone()))),
        }
    }
}

fn authority(base: &str) -> Option<String> {
    let (scheme, rest) = base.split_once("://")?;
    if rest.contains('/') {
        return None;
    }
    let has_port =
        rest.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    Some(match scheme {
        _ if has_port => rest.to_owned(),
        "https" => format!("{rest}:443"),
        _ => format!("{rest}:80"),
    })
}

/// Rewrites a card of 1.0, of 0.3, or of both. `None` if it is no object.
pub(crate) fn card(text: &str, door: &Door) -> Option<String> {
    let mut card = RawObject::parse_lenient(text).ok()?;
    // It is about what the agent wrote, and that is no longer what is here.
    let mut changed = card.take("signatures").is_some();
    if let Some(list) = card.get("supportedInterfaces").map(str::to_owned) {
        card.set("supportedInterfaces", interfaces(&list, door, "protocolBinding", "1.0")?);
        changed = true;
    }
    if let Some(list) = card.get("additionalInterfaces").map(str::to_owned) {
        card.set("additionalInterfaces", interfaces(&list, door, "transport", "0.3")?);
        changed = true;
    }
    if card.get("url").is_some() {
        card.set("url", string(&door.url));
        let preferred: Option<String> =
            card.get("preferredTransport").and_then(|text| serde_json::from_str(text).ok());
        if preferred.is_some_and(|preferred| door.place(&preferred, "0.3").is_none()) {
            card.set("preferredTransport", string(Binding::JsonRpc.name()));
        }
        changed = true;
    }
    Some(if changed { card.to_text() } else { text.to_owned() })
}

fn interfaces(list: &str, door: &Door, binding: &str, version: &str) -> Option<String> {
    let list: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    let mut out = Vec::with_capacity(list.len());
    for entry in list {
        let mut entry = RawObject::parse_lenient(entry.get()).ok()?;
        let text = |name: &str| entry.get(name).and_then(|text| serde_json::from_str::<String>(text).ok());
        let version = text("protocolVersion").unwrap_or_else(|| version.to_owned());
        let Some((url, tenant)) = text(binding).and_then(|binding| door.place(&binding, &version)) else {
            continue;
        };
        entry.set("url", string(&url));
        if let Some(tenant) = &tenant {
            entry.set("tenant", string(tenant));
        }
        out.push(entry.to_text());
    }
    Some(format!("[{}]", out.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(base: &str) -> Door {
        Door::new(base, "sales")
    }

    #[test]
    fn every_address_is_the_gateways_and_the_rest_is_untouched() {
        let text = r#"{"x":1.50,"name":"S","supportedInterfaces":[
            {"url":"http://in/","protocolBinding":"JSONRPC","tenant":"t","protocolVersion":"1.0","y":1e2},
            {"url":"in:1","protocolBinding":"GRPC","protocolVersion":"1.0"},
            {"url":"in:1","protocolBinding":"GRPC","protocolVersion":"0.3"},
            {"url":"amqp://in","protocolBinding":"urn:amqp","protocolVersion":"1.0"}],
            "signatures":[{}],"url":"http://in/","preferredTransport":"GRPC",
            "additionalInterfaces":[{"transport":"HTTP+JSON","url":"http://in/v1"}],"z":12345678901234567890123}"#;
        let rewritten = card(text, &door("http://g:3003")).unwrap();
        assert_eq!(
            rewritten,
            concat!(
                r#"{"x":1.50,"name":"S","supportedInterfaces":["#,
                r#"{"url":"http://g:3003/agents/sales","protocolBinding":"JSONRPC","tenant":"t","protocolVersion":"1.0","y":1e2},"#,
                r#"{"url":"g:3003","protocolBinding":"GRPC","protocolVersion":"1.0","tenant":"sales"}],"#,
                r#""url":"http://g:3003/agents/sales","preferredTransport":"JSONRPC","#,
                r#""additionalInterfaces":[{"transport":"HTTP+JSON","url":"http://g:3003/agents/sales"}],"#,
                r#""z":12345678901234567890123}"#
            )
        );
    }

    #[test]
    fn behind_a_prefix_there_is_no_grpc() {
        let text =
            r#"{"supportedInterfaces":[{"url":"a:1","protocolBinding":"GRPC","protocolVersion":"1.0"}]}"#;
        assert_eq!(card(text, &door("https://g/x")).unwrap(), r#"{"supportedInterfaces":[]}"#);
        assert!(card(text, &door("https://g")).unwrap().contains(r#""g:443""#));
        assert!(card(text, &door("http://[::1]")).unwrap().contains(r#""[::1]:80""#));
    }

    #[test]
    fn a_card_without_addresses_is_the_same_text() {
        let text = r#"{ "name": "S", "x": 1.0 }"#;
        assert_eq!(card(text, &door("http://g")).unwrap(), text);
        assert_eq!(card("[]", &door("http://g")), None);
    }
}
