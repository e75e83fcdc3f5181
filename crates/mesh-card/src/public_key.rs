//! Keys that verify: JSON Web Keys (RFC 7517) and PEM.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A public key as a JSON Web Key. Members that are not listed are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Kind: `EC`, `OKP` or `RSA`.
    pub kty: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The only algorithm it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// What it is for: `sig`.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Curve of `EC` and `OKP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// First coordinate, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Second coordinate of `EC`, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Modulus of `RSA`, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// Exponent of `RSA`, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

/// A set of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl Jwk {
    /// The name that follows from the key itself (RFC 7638).
    pub fn thumbprint(&self) -> String {
        let text =
            |field: &Option<String>| serde_json::Value::from(field.clone().unwrap_or_default()).to_string();
        let kty = serde_json::Value::from(self.kty.as_str());
        let json = match self.kty.as_str() {
            "RSA" => format!(r#"{{"e":{},"kty":{kty},"n":{}}}"#, text(&self.e), text(&self.n)),
            "OKP" => format!(r#"{{"crv":{},"kty":{kty},"x":{}}}"#, text(&self.crv), text(&self.x)),
            _ => format!(
                r#"{{"crv":{},"kty":{kty},"x":{},"y":{}}}"#,
                text(&self.crv),
                text(&self.x),
                text(&self.y)
            ),
        };
        URL_SAFE_NO_PAD.encode(Sha256::digest(json))
    }
}

/// A key that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// From a set, or alone.
    Jwk(Jwk),
    /// `SubjectPublicKeyInfo` in DER.
    Spki(Vec<u8>),
}

impl PublicKey {
    /// Reads every key of a text: a JSON Web Key, a set of them, or public keys in PEM. Empty if it holds none.
    pub fn read(text: &str) -> Vec<Self> {
        if let Ok(set) = serde_json::from_str::<Jwks>(text) {
            return set.keys.into_iter().map(Self::Jwk).collect();
        }
        if let Ok(jwk) = serde_json::from_str::<Jwk>(text) {
            return vec![Self::Jwk(jwk)];
        }
        let keys = SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes());
        keys.filter_map(Result::ok).map(|spki| Self::Spki(spki.as_ref().to_vec())).collect()
    }

    /// Whether it may have made a signature that names `kid`: a key without a name may have made any.
    pub fn answers_to(&self, kid: &str) -> bool {
        match self {
            Self::Jwk(jwk) => jwk.kid.as_deref().is_none_or(|own| own == kid),
            Self::Spki(_) => true,
        }
    }

    /// Whether `signature` is this key's for `message`, by the algorithm of that name. False for every algorithm that is not
    /// one of [`ACCEPTED`](crate::ACCEPTED), and for one that the key is not for.
    pub(crate) fn verifies(&self, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Spki(der) => {
                let algorithm: &'static dyn VerificationAlgorithm = match alg {
                    "ES256" => &ECDSA_P256_SHA256_FIXED,
                    "ES384" => &ECDSA_P384_SHA384_FIXED,
                    "EdDSA" | "Ed25519" => &ED25519,
                    "RS256" => &RSA_PKCS1_2048_8192_SHA256,
                    "PS256" => &RSA_PSS_2048_8192_SHA256,
                    _ => return false,
                };
                UnparsedPublicKey::new(algorithm, der).verify(message, signature).is_ok()
            }
            Self::Jwk(jwk) => jwk.verifies(alg, message, signature).unwrap_or(false),
        }
    }
}

impl Jwk {
    /// `None` if a member is missing or broken.
    fn verifies(&self, alg: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
        let bytes =
            |field: &Option<String>| URL_SAFE_NO_PAD.decode(field.as_deref()?.trim_end_matches('=')).ok();
        let same = |own: &str| {
            own == alg || (matches!(own, "EdDSA" | "Ed25519") && matches!(alg, "EdDSA" | "Ed25519"))
        };
        let meant =
            self.alg.as_deref().is_none_or(same) && self.purpose.as_deref().is_none_or(|of| of == "sig");
        if !meant {
            return Some(false);
        }
        let raw = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        Some(match (self.kty.as_str(), self.crv.as_deref(), alg) {
            ("EC", Some("P-256"), "ES256") => {
                raw(&ECDSA_P256_SHA256_FIXED, &point(&bytes(&self.x)?, &bytes(&self.y)?))
            }
            ("EC", Some("P-384"), "ES384") => {
                raw(&ECDSA_P384_SHA384_FIXED, &point(&bytes(&self.x)?, &bytes(&self.y)?))
            }
            ("OKP", Some("Ed25519"), "EdDSA" | "Ed25519") => {
                // A longer one would be read as another form of a key.
                let key = bytes(&self.x)?;
                key.len() == 32 && raw(&ED25519, &key)
            }
            ("RSA", _, "RS256" | "PS256") => {
                let params =
                    if alg == "RS256" { &RSA_PKCS1_2048_8192_SHA256 } else { &RSA_PSS_2048_8192_SHA256 };
                let key = PublicKeyComponents { n: bytes(&self.n)?, e: bytes(&self.e)? };
                key.verify(params, message, signature).is_ok()
            }
            _ => false,
        })
    }
}

/// A point of a curve that is not compressed (SEC 1, section 2.3.3).
fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7638, section 3.1, and RFC 8037, appendix A.3.
    #[test]
    fn thumbprints_are_those_of_the_rfcs() {
        let rsa = Jwk {
            kty: "RSA".to_owned(),
            kid: Some("2011-04-29".to_owned()),
            n: Some("0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw".to_owned()),
            e: Some("AQAB".to_owned()),
            ..Jwk::default()
        };
        assert_eq!(rsa.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let ed = Jwk {
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            x: Some("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned()),
            ..Jwk::default()
        };
        assert_eq!(ed.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    /// RFC 8037, appendix A.4.
    #[test]
    fn the_signature_of_the_rfc_verifies_and_no_other_does() {
        let key = PublicKey::Jwk(Jwk {
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            x: Some("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned()),
            ..Jwk::default()
        });
        let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature =
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(key.verifies("EdDSA", message, &signature));
        for (alg, message, signature) in [
            ("EdDSA", &b"other"[..], &signature[..]),
            ("EdDSA", message, &signature[1..]),
            ("ES256", message, &signature),
            ("none", message, &signature),
            ("HS256", message, &signature),
            ("", message, b""),
        ] {
            assert!(!key.verifies(alg, message, signature), "{alg}");
        }
    }

    #[test]
    fn keys_are_read_from_pem_and_from_json_and_from_nothing_else() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(PublicKey::read(&pem.repeat(2)).len(), 2);
        assert_eq!(PublicKey::read(r#"{"keys":[{"kty":"OKP"},{"kty":"EC","kid":"a"}]}"#).len(), 2);
        let key = &PublicKey::read(r#"{"kty":"EC","kid":"a"}"#)[0];
        assert!(key.answers_to("a") && !key.answers_to("b"));
        for nothing in ["", "[]", "{}", "-----BEGIN PUBLIC KEY-----\nxx", r#"{"keys":7}"#] {
            assert!(PublicKey::read(nothing).is_empty(), "{nothing}");
        }
    }
}
