//! What an answer is an answer to.

use super::canonical;
use mesh_core::Principal;
use sha2::{Digest, Sha256};

/// A digest over everything that makes a difference. Different questions have different keys for all practical purposes,
/// so none can be made up that finds another's answer.
pub(crate) type Key = [u8; 32];

/// Everything that makes a difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyParts<'a> {
    pub(crate) principal: &'a Principal,
    /// The answer is the same for everybody in the tenant.
    pub(crate) public: bool,
    pub(crate) method: &'a str,
    /// The name of a tool, the URI of a resource.
    pub(crate) name: &'a str,
    /// Raw parameters by name, without those that only concern this one request.
    pub(crate) params: &'a [(&'a str, &'a str)],
    /// What the client says it can do, raw: a server may answer differently.
    pub(crate) capabilities: Option<&'a str>,
    pub(crate) generation: u64,
}

impl KeyParts<'_> {
    /// The key; `None` if the parameters are too long to be compared.
    pub(crate) fn key(&self) -> Option<Key> {
        let mut hash = Sha256::new();
        let mut part = |text: &[u8]| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        part(self.principal.tenant.as_str().as_bytes());
        if self.public {
            part(b"public");
        } else {
            let behalf = self.principal.on_behalf_of.as_ref().map_or("", |id| id.as_str());
            part(b"private");
            part(self.principal.id.as_str().as_bytes());
            part(format!("{:?}", self.principal.kind).as_bytes());
            part(behalf.as_bytes());
        }
        part(self.method.as_bytes());
        part(self.name.as_bytes());
        part(&self.generation.to_le_bytes());
        let mut text = Vec::new();
        canonical::write(&mut text, self.capabilities.unwrap_or("{}"))?;
        part(&text);
        let mut params = self.params.to_vec();
        params.sort_unstable();
        for (name, json) in params {
            text.clear();
            canonical::write(&mut text, json)?;
            part(name.as_bytes());
            part(&text);
        }
        Some(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_core::AgentName;
    use std::collections::HashSet;

    #[test]
    fn a_key_is_the_same_for_the_same_question_only() {
        let person = Principal::person("acme", "ann");
        let parts = KeyParts {
            principal: &person,
            public: false,
            method: "tools/call",
            name: "get",
            params: &[("arguments", r#"{"a":1,"b":2}"#), ("x", "1")],
            capabilities: None,
            generation: 0,
        };
        let same = KeyParts {
            params: &[("x", " 1"), ("arguments", r#"{ "b":2,"a":1}"#)],
            capabilities: Some(" {}"),
            ..parts
        };
        assert_eq!(parts.key().unwrap(), same.key().unwrap());

        let other = Principal::person("acme", "bob");
        let tenant = Principal::person("umbrella", "ann");
        let agent = Principal::agent_for(&AgentName::from("ann"), &person);
        let different = [
            parts,
            KeyParts { principal: &other, ..parts },
            KeyParts { principal: &tenant, ..parts },
            KeyParts { principal: &agent, ..parts },
            KeyParts { public: true, ..parts },
            KeyParts { public: true, principal: &tenant, ..parts },
            KeyParts { method: "prompts/get", ..parts },
            KeyParts { name: "set", ..parts },
            KeyParts { generation: 1, ..parts },
            KeyParts { capabilities: Some(r#"{"elicitation":{}}"#), ..parts },
            KeyParts { params: &[("arguments", r#"{"a":1,"b":3}"#), ("x", "1")], ..parts },
            KeyParts { params: &[("arguments", r#"{"a":1,"b":2}"#)], ..parts },
        ];
        let keys: HashSet<_> = different.iter().map(|parts| parts.key().unwrap()).collect();
        assert_eq!(keys.len(), different.len());
        let public = |principal| KeyParts { public: true, principal, ..parts }.key().unwrap();
        assert_eq!(public(&person), public(&other));
    }
}
