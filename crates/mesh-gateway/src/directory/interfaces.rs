//! Where an agent is spoken to, as its card says.

use crate::agents::Binding;
use serde_json::Value;

/// One entry of `supportedInterfaces` in 1.0, or of what 0.3 has for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) binding: Binding,
    /// `1.0`, `0.3`.
    pub(crate) version: String,
    pub(crate) url: String,
    pub(crate) tenant: Option<String>,
}

/// What the card offers, of the bindings that the gateway knows, in the card's order.
pub(crate) fn read(card: &Value) -> Vec<Interface> {
    let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let interface = |value: &Value, binding: Option<&str>, version: &str| {
        Some(Interface {
            binding: binding_of(binding?)?,
            version: version.to_owned(),
            url: text(value, "url")?,
            tenant: text(value, "tenant").filter(|tenant| !tenant.is_empty()),
        })
    };
    let entries = |name: &str| card[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let modern = entries("supportedInterfaces").iter().filter_map(|entry| {
        let version = entry["protocolVersion"].as_str().unwrap_or("1.0");
        interface(entry, entry["protocolBinding"].as_str(), version)
    });
    let preferred = card["preferredTransport"].as_str().unwrap_or("JSONRPC");
    let old = interface(card, Some(preferred), "0.3");
    let others = entries("additionalInterfaces")
        .iter()
        .filter_map(|entry| interface(entry, entry["transport"].as_str(), "0.3"));
    modern.chain(old).chain(others).collect()
}

/// The binding of a name; `None` for those that others made up.
pub(crate) fn binding_of(name: &str) -> Option<Binding> {
    [Binding::JsonRpc, Binding::Rest, Binding::Grpc]
        .into_iter()
        .find(|binding| binding.name().eq_ignore_ascii_case(name))
}

/// The interface for a request: of its binding, and of its version if there is one; the agent says what is wrong with
/// any other.
pub(crate) fn choose<'a>(
    interfaces: &'a [Interface],
    binding: Binding,
    version: Option<&str>,
) -> Option<&'a Interface> {
    // Absent means 0.3 (section 3.6.2).
    let wanted = major_minor(version.unwrap_or("0.3"));
    let mut of_binding = interfaces.iter().filter(|interface| interface.binding == binding);
    of_binding
        .clone()
        .find(|interface| major_minor(&interface.version) == wanted)
        .or_else(|| of_binding.next())
}

fn major_minor(version: &str) -> (&str, &str) {
    let mut parts = version.trim().split('.');
    (parts.next().unwrap_or_default(), parts.next().unwrap_or("0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_of_a_card_are_read_and_the_right_interface_found() {
        let card = json!({
            "supportedInterfaces": [
                {"url": "http://a/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                {"url": "a:1", "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": "t"},
                {"url": "x", "protocolBinding": "urn:other", "protocolVersion": "1.0"},
            ],
            "url": "http://a/old",
            "additionalInterfaces": [{"url": "http://a/v03", "transport": "HTTP+JSON"}],
        });
        let found = read(&card);
        assert_eq!(found.len(), 4);
        let url = |binding, version| choose(&found, binding, version).map(|found| found.url.as_str());
        assert_eq!(url(Binding::JsonRpc, Some("1.0")), Some("http://a/rpc"));
        assert_eq!(url(Binding::JsonRpc, Some("1.0.1")), Some("http://a/rpc"));
        assert_eq!(url(Binding::JsonRpc, None), Some("http://a/old"));
        assert_eq!(
            url(Binding::JsonRpc, Some("99.0")),
            Some("http://a/rpc"),
            "the agent says that it is wrong"
        );
        assert_eq!(url(Binding::Rest, Some("1.0")), Some("http://a/v03"));
        assert_eq!(found[1].tenant.as_deref(), Some("t"));
        assert_eq!(choose(&[], Binding::Grpc, None), None);
    }
}
