//! Keys that sign.

use crate::public_key::Jwk;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use std::fmt;

/// Smallest RSA key that signs, in bytes of its modulus.
const SMALLEST_RSA: usize = 256;

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
}

impl Algorithm {
    /// The name in JSON Web Signatures (RFC 7518 and 8037).
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

/// A key that cannot be used. The message never holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no private key.
    #[error("holds no private key in PEM; `agentmesh card keygen` makes one")]
    NoPem,
    /// A key of another kind.
    #[error(
        "holds a key that cannot sign cards; allowed: P-256 (ES256), Ed25519 (EdDSA), RSA of 2048 bits or more (RS256)"
    )]
    Unusable,
    /// The source of randomness or the library failed.
    #[error("the cryptographic library failed")]
    Failed,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A key that signs cards. It cannot be shown.
pub struct PrivateKey(Pair);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, ***)", self.algorithm().name())
    }
}

impl PrivateKey {
    /// Reads the first private key of a PEM text: PKCS #8, SEC 1 or PKCS #1, not encrypted.
    ///
    /// # Errors
    /// There is none, or it is none that signs cards.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NoPem)?;
        let der = der.secret_der();
        let ec =
            || EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok().map(Pair::Ec);
        let ed = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Pair::Ed);
        let rsa = || {
            let pair = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)).ok()?;
            (pair.public_modulus_len() >= SMALLEST_RSA).then(|| Pair::Rsa(Box::new(pair)))
        };
        ec().or_else(ed).or_else(rsa).map(Self).ok_or(KeyError::Unusable)
    }

    /// Makes a new key, and its text in PEM (PKCS #8).
    ///
    /// # Errors
    /// The library failed; or RSA was asked for, which is only read.
    pub fn generate(algorithm: Algorithm) -> Result<(Self, String), KeyError> {
        let (pair, der) = match algorithm {
            Algorithm::Es256 => {
                let pair =
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| KeyError::Failed)?;
                let der = pair.to_pkcs8v1().map_err(|_| KeyError::Failed)?.as_ref().to_vec();
                (Pair::Ec(pair), der)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Failed)?;
                let der = der.as_ref().to_vec();
                (Pair::Ed(pair), der)
            }
            Algorithm::Rs256 => return Err(KeyError::Unusable),
        };
        Ok((Self(pair), pem(&der)))
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Pair::Ec(_) => Algorithm::Es256,
            Pair::Ed(_) => Algorithm::EdDsa,
            Pair::Rsa(_) => Algorithm::Rs256,
        }
    }

    /// Its public half.
    pub fn public(&self) -> Jwk {
        let text = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        let mut jwk = Jwk { alg: Some(self.algorithm().name().to_owned()), ..Jwk::default() };
        match &self.0 {
            Pair::Ec(pair) => {
                // 4, x and y: the point is not compressed.
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
                jwk.kty = "EC".to_owned();
                (jwk.crv, jwk.x, jwk.y) = (Some("P-256".to_owned()), text(x), text(y));
            }
            Pair::Ed(pair) => {
                jwk.kty = "OKP".to_owned();
                (jwk.crv, jwk.x) = (Some("Ed25519".to_owned()), text(pair.public_key().as_ref()));
            }
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                jwk.kty = "RSA".to_owned();
                jwk.n = text(public.modulus().big_endian_without_leading_zero());
                jwk.e = text(public.exponent().big_endian_without_leading_zero());
            }
        }
        jwk
    }

    /// Signs a message.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.0 {
            Pair::Ec(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Pair::Ed(pair) => pair.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        }
        .map_err(|_| KeyError::Failed)
    }
}

fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in base64.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem + "-----END PRIVATE KEY-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_back_as_the_same() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let (key, pem) = PrivateKey::generate(algorithm).unwrap();
            let again = PrivateKey::from_pem(&pem).unwrap();
            assert_eq!((again.algorithm(), again.public()), (algorithm, key.public()));
            assert!(!format!("{key:?}").contains(pem.lines().nth(1).unwrap()));
        }
    }

    #[test]
    fn what_is_no_key_for_cards_is_refused() {
        let refused = |pem: &str| PrivateKey::from_pem(pem).map(|_| ()).unwrap_err();
        assert_eq!(refused(""), KeyError::NoPem);
        assert_eq!(refused("secret"), KeyError::NoPem);
        assert_eq!(refused(&pem(b"nothing")), KeyError::Unusable);
        let other = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----";
        assert_eq!(refused(other), KeyError::NoPem);
    }
}
