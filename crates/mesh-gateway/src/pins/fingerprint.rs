//! The fingerprint of a tool's definition.

use crate::wire::object::RawObject;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;

/// What of a definition is covered: all that tells a model or a client what the tool does and takes. `_meta`, icons
/// and what else there is may change freely.
const COVERED: [&str; 6] = ["name", "title", "description", "inputSchema", "outputSchema", "annotations"];

/// SHA-256 of the canonical form (RFC 8785) of what is covered. Integers beyond 2^53 count as the nearest double. Written as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

/// Why a definition has no fingerprint. It is then to be treated as changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// No object, or a member that occurs twice: two readers could see different tools.
    #[error("the definition is no plain JSON object: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the definition is nested too deeply")]
    TooDeep,
}

impl Fingerprint {
    /// Of a definition as the upstream wrote it. Order, white space and ways to write a string do not matter.
    pub(crate) fn of(definition: &str) -> Result<Self, Unreadable> {
        let object = RawObject::parse(definition)?;
        let mut covered = Map::new();
        for name in COVERED {
            if let Some(text) = object.get(name) {
                covered.insert(name.to_owned(), serde_json::from_str(text)?);
            }
        }
        let text = mesh_card::canonical(&Value::Object(covered)).map_err(|_| Unreadable::TooDeep)?;
        Ok(Self(Sha256::digest(text.as_bytes()).into()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(definition: &str) -> Fingerprint {
        Fingerprint::of(definition).unwrap()
    }

    #[test]
    fn order_white_space_escapes_and_meta_do_not_matter() {
        let one =
            of(r#"{"name":"add","description":"Adds","inputSchema":{"type":"object","required":["a"]}}"#);
        let two = of(r#"{ "inputSchema": {"required":["a"], "type":"object"},
            "description":"\u0041dds", "_meta":{"x":1}, "name":"add" }"#);
        assert_eq!(one, two);
    }

    #[test]
    fn every_covered_member_matters_also_whether_it_is_there() {
        let plain = of(r#"{"name":"add"}"#);
        for name in COVERED.iter().skip(1) {
            assert_ne!(plain, of(&format!(r#"{{"name":"add","{name}":{{}}}}"#)), "{name}");
            assert_ne!(plain, of(&format!(r#"{{"name":"add","{name}":null}}"#)), "{name}");
        }
        assert_ne!(plain, of(r#"{"name":"sub"}"#));
    }

    #[test]
    fn a_member_that_occurs_twice_has_no_fingerprint() {
        assert!(Fingerprint::of(r#"{"name":"a","description":"good","description":"bad"}"#).is_err());
        assert!(Fingerprint::of("[]").is_err());
    }

    #[test]
    fn it_is_written_in_hexadecimal() {
        let text = of(r#"{"name":"a"}"#).to_string();
        assert_eq!(text.len(), 71);
        assert!(text.starts_with("sha256:"));
    }
}
