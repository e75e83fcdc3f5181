//! Whose context it is, and what its records are called.

use mesh_core::{ContextId, PrincipalId, Tenant};
use mesh_log::{RecordKey, Space};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// The full name of a context. Ids of contexts are chosen by clients: two principals that choose the same one share
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContextKey {
    pub(crate) tenant: Tenant,
    pub(crate) owner: PrincipalId,
    pub(crate) context: ContextId,
}

impl ContextKey {
    pub(crate) fn new(tenant: Tenant, owner: PrincipalId, context: ContextId) -> Self {
        Self { tenant, owner, context }
    }

    /// How the names of its records begin: a digest, because owner and id may be long and hold any characters.
    pub(super) fn prefix(&self) -> String {
        let owner = self.owner.as_str();
        let digest = Sha256::new()
            .chain_update((owner.len() as u64).to_be_bytes())
            .chain_update(owner)
            .chain_update(self.context.as_str())
            .finalize();
        let mut prefix = String::with_capacity(2 * digest.len() + 1);
        for byte in digest {
            let _ = write!(prefix, "{byte:02x}");
        }
        prefix.push('/');
        prefix
    }

    /// The record of an entry.
    pub(super) fn record(&self, key: &str) -> RecordKey {
        RecordKey::new(Space::Context, self.tenant.clone(), self.prefix() + key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(owner: &str, context: &str) -> ContextKey {
        ContextKey::new("t".into(), owner.into(), context.into())
    }

    #[test]
    fn the_name_of_a_record_is_part_of_the_format() {
        let record = key("local", "c-1").record("a/b");
        assert_eq!(record.name, "223af5b5db0a41ea3818523c60a5d4a3f992af5d856421da6b06ff11df6ccf8f/a/b");
    }

    proptest! {
        /// Not even owners and ids that read the same one after the other.
        #[test]
        fn no_two_contexts_share_a_record(
            one in (".{0,6}", ".{0,6}"), other in (".{0,6}", ".{0,6}"), name in ".{1,20}"
        ) {
            let (a, b) = (key(&one.0, &one.1).record(&name), key(&other.0, &other.1).record(&name));
            prop_assert_eq!(a == b, one == other);
            prop_assert!(a.name.len() <= RecordKey::LONGEST_NAME);
        }
    }
}
