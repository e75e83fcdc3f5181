//! Extensions (section 4.6): which of those that an agent declares a request asks for.

use a2a::AgentExtension;
use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_core::{A2aError, ErrorKind};
use std::sync::Arc;

/// In requests: the URIs of the extensions that the client wants. In answers: those that are in force. In gRPC, metadata.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("a2a-extensions");
/// What 0.3 calls it.
const OLD_HEADER: HeaderName = HeaderName::from_static("x-a2a-extensions");

/// The extensions that an agent declares.
pub(crate) struct Offered(Vec<Offer>);

struct Offer {
    uri: Arc<str>,
    required: bool,
}

impl Offered {
    pub(crate) fn new(declared: &[AgentExtension]) -> Self {
        let offer = |extension: &AgentExtension| Offer {
            uri: Arc::from(extension.uri.as_str()),
            required: extension.required == Some(true),
        };
        Self(declared.iter().map(offer).collect())
    }
}

/// The extensions in force for one request: wanted by the client, and declared by the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions(Vec<Arc<str>>);

impl Extensions {
    /// What a request wants of what there is. Whatever else it wants is ignored (section 4.6.3).
    pub(crate) fn negotiate(offered: &Offered, headers: &HeaderMap) -> Self {
        let mut activated = Vec::new();
        for name in [&HEADER, &OLD_HEADER] {
            for value in headers.get_all(name) {
                let uris = value.to_str().unwrap_or_default().split(',').map(str::trim);
                for uri in uris {
                    let offer = offered.0.iter().find(|offer| *offer.uri == *uri);
                    if let Some(offer) = offer.filter(|offer| !activated.contains(&offer.uri)) {
                        activated.push(Arc::clone(&offer.uri));
                    }
                }
            }
        }
        Self(activated)
    }

    /// Whether an extension is in force.
    pub(crate) fn activated(&self, uri: &str) -> bool {
        self.0.iter().any(|activated| **activated == *uri)
    }

    /// Refuses a request that does not ask for what the agent requires.
    pub(crate) fn check(&self, offered: &Offered) -> Result<(), A2aError> {
        let missing = offered.0.iter().find(|offer| offer.required && !self.activated(&offer.uri));
        missing.map_or(Ok(()), |offer| {
            let message = format!(
                "this agent works only with the extension `{}`; name it in the header A2A-Extensions",
                offer.uri
            );
            Err(A2aError::new(ErrorKind::ExtensionSupportRequired, message))
        })
    }

    /// Names the extensions in force in an answer's headers.
    pub(crate) fn announce(&self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&self.0.join(", ")) {
            headers.insert(HEADER, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(uris: &[(&str, bool)]) -> Offered {
        let declared = uris.iter().map(|(uri, required)| AgentExtension {
            uri: (*uri).to_owned(),
            description: None,
            required: Some(*required),
            params: None,
        });
        Offered::new(&declared.collect::<Vec<_>>())
    }

    fn asked(values: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn what_is_wanted_and_there_is_activated_once_and_announced() {
        let offered = offered(&[("urn:a", false), ("urn:b", false), ("urn:c", false)]);
        let headers =
            asked(&[(HEADER, " urn:x,urn:b ,, urn:b"), (HEADER, "urn:a"), (OLD_HEADER, "urn:b, urn:\u{e9}")]);
        let extensions = Extensions::negotiate(&offered, &headers);
        assert!(extensions.activated("urn:a") && extensions.activated("urn:b"));
        assert!(
            !extensions.activated("urn:c") && !extensions.activated("urn:x") && !extensions.activated("urn")
        );
        let mut answer = HeaderMap::new();
        extensions.announce(&mut answer);
        assert_eq!(answer[HEADER], "urn:b, urn:a");
    }

    #[test]
    fn who_asks_for_nothing_is_told_nothing() {
        let extensions = Extensions::negotiate(&offered(&[("urn:a", false)]), &HeaderMap::new());
        let mut answer = HeaderMap::new();
        extensions.announce(&mut answer);
        assert!(answer.is_empty());
    }

    #[test]
    fn what_is_required_must_be_asked_for() {
        let offered = offered(&[("urn:a", false), ("urn:must", true)]);
        let of = |value: &str| Extensions::negotiate(&offered, &asked(&[(HEADER, value)])).check(&offered);
        assert!(of("urn:must").is_ok());
        let refused = of("urn:a").unwrap_err();
        assert_eq!(refused.kind, ErrorKind::ExtensionSupportRequired);
        assert!(refused.message.contains("urn:must"), "{refused}");
    }
}
