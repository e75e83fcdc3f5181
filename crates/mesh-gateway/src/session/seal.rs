//! Texts that only we can make, and that others carry for us.

use aws_lc_rs::aead::{AES_256_GCM, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Longest text that is looked at.
const LONGEST: usize = 8 << 10;

/// What a text is for. One that was made for something else is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `Mcp-Session-Id`
    Session,
    /// `requestState` of a call that is parked.
    State,
}

impl Purpose {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Session => b"agentmesh session 1",
            Self::State => b"agentmesh state 1",
        }
    }
}

/// A key of all replicas (AES-256-GCM, random nonces).
pub(crate) struct Seal {
    key: Option<RandomizedNonceKey>,
}

impl Seal {
    /// The key that a secret gives; without one, a key of this process alone.
    pub(crate) fn new(secret: Option<&[u8]>) -> Self {
        let bytes: [u8; 32] = match secret {
            Some(secret) => {
                Sha256::new().chain_update(b"agentmesh sealing key 1").chain_update(secret).finalize().into()
            }
            None => {
                let (a, b) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
                let (c, d) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
                let all = [a.as_bytes().as_slice(), b.as_bytes(), c.as_bytes(), d.as_bytes()].concat();
                Sha256::digest(&all).into()
            }
        };
        // The length fits; if it did not, nothing could be sealed, and no session would be given out.
        Self { key: RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok() }
    }

    /// Seals: `base64url(nonce, ciphertext, tag)`.
    pub(crate) fn close(&self, purpose: Purpose, plain: &[u8]) -> String {
        let mut sealed = plain.to_vec();
        let nonce = self
            .key
            .as_ref()
            .and_then(|key| key.seal_in_place_append_tag(Aad::from(purpose.bytes()), &mut sealed).ok());
        let Some(nonce) = nonce else { return String::new() };
        URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for this purpose with this key. Anything else is `None`.
    pub(crate) fn open(&self, purpose: Purpose, text: &[u8]) -> Option<Vec<u8>> {
        if text.len() > LONGEST {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        if bytes.len() < NONCE_LEN + MAX_TAG_LEN {
            return None;
        }
        let mut sealed = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).ok()?;
        let plain = self.key.as_ref()?.open_in_place(nonce, Aad::from(purpose.bytes()), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_for_the_purpose_opens() {
        let seal = Seal::new(None);
        let text = seal.close(Purpose::Session, b"hello");
        assert_eq!(seal.open(Purpose::Session, text.as_bytes()).as_deref(), Some(&b"hello"[..]));
        assert_eq!(seal.open(Purpose::State, text.as_bytes()), None);
        assert_eq!(Seal::new(None).open(Purpose::Session, text.as_bytes()), None);
        assert_ne!(text, seal.close(Purpose::Session, b"hello"), "the nonce is new each time");
    }

    #[test]
    fn a_change_anywhere_is_noticed() {
        let seal = Seal::new(Some(b"k"));
        let text = seal.close(Purpose::Session, b"hello");
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open(Purpose::Session, &changed), None, "at {at}");
        }
        for text in ["", "a", "####", &"A".repeat(LONGEST + 1)] {
            assert_eq!(seal.open(Purpose::Session, text.as_bytes()), None);
        }
    }
}
