//! What the stream and its subjects are called.
//!
//! ```text
//!   {name}-log                              the stream
//!   {name}.ev.{tenant}.{origin}.{task}      one message per append of the task
//! ```
//!
//! The origin is the hash of what created the task: agent, owner and message. Before a task is created, the server checks
//! that nothing has this origin yet, in the same step in which it records the task's first events.

use mesh_core::{AgentName, MessageId, PrincipalId, TaskKey, Tenant};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Longer tokens are replaced by their hash: a subject has to fit into a protocol line.
const LONGEST_TOKEN: usize = 200;

/// The names of one mesh.
#[derive(Clone, Debug)]
pub(super) struct Names {
    name: String,
}

impl Names {
    /// `None` if the name cannot be part of a stream's name.
    pub(super) fn new(name: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (!name.is_empty() && name.len() <= 64 && name.chars().all(fits))
            .then(|| Self { name: name.to_owned() })
    }

    pub(super) fn stream(&self) -> String {
        format!("{}-log", self.name)
    }

    /// What the stream takes in: the appends of all tasks.
    pub(super) fn every_task(&self) -> String {
        format!("{}.ev.*.*.*", self.name)
    }

    /// The appends of one task.
    pub(super) fn task(&self, key: &TaskKey, origin: &str) -> String {
        let (tenant, task) = (token(key.tenant.as_str()), token(key.task.as_str()));
        format!("{}.ev.{tenant}.{origin}.{task}", self.name)
    }

    /// The appends of whatever has this origin: of one task, or of none.
    pub(super) fn made(&self, tenant: &Tenant, origin: &str) -> String {
        format!("{}.ev.{}.{origin}.*", self.name, token(tenant.as_str()))
    }
}

/// The origin of tasks that no message created: they can have it in common.
pub(super) const NO_ORIGIN: &str = "-";

/// What a message of an owner to an agent creates. The parts are hashed with their lengths, so that no two lists of them
/// are the same.
pub(super) fn origin(owner: &PrincipalId, agent: &AgentName, message: &MessageId) -> String {
    let mut hash = Sha256::new();
    for part in [owner.as_str(), agent.as_str(), message.as_str()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// The origin in the subject of a task.
pub(super) fn origin_in(subject: &str) -> Option<&str> {
    subject.rsplit('.').nth(1)
}

/// A text as one token of a subject. No two texts have the same token: what is not plain is written as `=XX`, and the
/// hash of what is too long begins with `=h`.
fn token(text: &str) -> String {
    let token = whole_token(text);
    if token.len() > LONGEST_TOKEN { format!("=h{}", hex(&Sha256::digest(text))) } else { token }
}

/// The same, however long it gets: for texts that have to be read again.
pub(super) fn whole_token(text: &str) -> String {
    if text.is_empty() {
        return "=".to_owned();
    }
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            token.push(char::from(byte));
        } else {
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

/// The text of a whole token, if it is one.
pub(super) fn text_of(token: &str) -> Option<String> {
    if token == "=" {
        return Some(String::new());
    }
    let mut pieces = token.split('=');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(piece.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_written_as_they_are_and_everything_else_is_escaped() {
        assert_eq!(token("0198c0de-77aa-7"), "0198c0de-77aa-7");
        assert_eq!(token("a.b *>=\u{e4}"), "a=2Eb=20=2A=3E=3D=C3=A4");
        assert_eq!(token(""), "=");
        assert_eq!(token(&"x".repeat(5000)).len(), 66);
    }

    #[test]
    fn a_name_that_no_stream_can_have_is_refused() {
        for name in ["", "a.b", "a b", "a*", "\u{e4}"] {
            assert!(Names::new(name).is_none(), "{name:?}");
        }
        assert_eq!(Names::new("sales-demo_2").unwrap().stream(), "sales-demo_2-log");
    }

    proptest! {
        #[test]
        fn two_texts_have_two_tokens(one in ".{0,9}", other in ".{0,9}") {
            prop_assert_eq!(one == other, token(&one) == token(&other));
            prop_assert_eq!(text_of(&whole_token(&one)), Some(one.clone()));
            prop_assert!(!token(&one).contains(['.', '*', '>', ' ']));
        }
    }
}
