//! Detached JSON Web Signatures over a card (section 8.4.2 and 8.4.3).

use crate::canonical::TooDeep;
use crate::private_key::{KeyError, PrivateKey};
use crate::public_key::PublicKey;
use crate::reading::Reading;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

/// The algorithms of signatures that are accepted. None of them can be made with a public key, as `none` and HMAC can.
pub const ACCEPTED: [&str; 6] = ["ES256", "ES384", "EdDSA", "Ed25519", "RS256", "PS256"];

/// Signatures of a card that are looked at.
const MOST: usize = 16;

/// What a signature says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    /// The key.
    pub key: &'a PrivateKey,
    /// Its name.
    pub kid: &'a str,
    /// Where its public half is found.
    pub jku: &'a str,
}

/// A card could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The card is nested too deep.
    #[error("the card is {0}")]
    Card(#[from] TooDeep),
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Puts signatures into a card: one for each way in which verifiers read it, which is one if they all agree.
///
/// # Errors
/// The card is nested too deep, or the library failed.
pub fn sign(card: &mut Value, by: Signing<'_>) -> Result<(), SignError> {
    let header = json!({ "alg": by.key.algorithm().name(), "typ": "JOSE", "kid": by.kid, "jku": by.jku });
    let protected = URL_SAFE_NO_PAD.encode(header.to_string());
    let mut signatures = Vec::new();
    for payload in Reading::distinct(card)? {
        let signature = by.key.sign(message(&protected, &payload).as_bytes())?;
        signatures.push(json!({ "protected": protected, "signature": URL_SAFE_NO_PAD.encode(signature) }));
    }
    card["signatures"] = Value::Array(signatures);
    Ok(())
}

fn message(protected: &str, payload: &str) -> String {
    format!("{protected}.{}", URL_SAFE_NO_PAD.encode(payload))
}

/// A signature as it came, and what it claims: nothing of it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    protected: String,
    signature: Vec<u8>,
    /// Algorithm.
    pub alg: String,
    /// Name of the key.
    pub kid: String,
    /// Where the key is said to be.
    pub jku: Option<String>,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not of the form that the specification has.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// An algorithm that proves nothing, or is not known here.
    #[error("its algorithm is `{0}`; accepted are ES256, ES384, EdDSA, RS256 and PS256")]
    Algorithm(String),
    /// The key did not make it, or the card was changed.
    #[error("the key did not sign this card")]
    Wrong,
}

#[derive(Deserialize)]
struct Entry {
    protected: String,
    signature: String,
}

#[derive(Deserialize)]
struct Protected {
    alg: String,
    kid: String,
    #[serde(default)]
    jku: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
    #[serde(default)]
    b64: Option<Value>,
}

/// The signatures of a card, 16 of them at most, each with what it claims or why it does not count.
pub fn signatures(card: &Value) -> Vec<Result<Claimed, Refused>> {
    let entries = card["signatures"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().take(MOST).map(claimed).collect()
}

fn claimed(entry: &Value) -> Result<Claimed, Refused> {
    let entry = Entry::deserialize(entry)
        .map_err(|_| Refused::Malformed("`protected` and `signature` must both be text"))?;
    let decode = |text: &str, what| URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Malformed(what));
    let header = decode(&entry.protected, "`protected` is not base64url")?;
    let header: Protected = serde_json::from_slice(&header)
        .map_err(|_| Refused::Malformed("the protected header is not an object with `alg` and `kid`"))?;
    if header.crit.is_some() || header.b64.is_some() {
        return Err(Refused::Malformed(
            "the protected header wants extensions that are not known here (`crit`)",
        ));
    }
    if !ACCEPTED.contains(&header.alg.as_str()) {
        return Err(Refused::Algorithm(header.alg.chars().take(20).collect()));
    }
    let signature = decode(&entry.signature, "`signature` is not base64url")?;
    Ok(Claimed { protected: entry.protected, signature, alg: header.alg, kid: header.kid, jku: header.jku })
}

/// Checks a signature of a card with a key: which reading of the card it is for, the one that covers most first.
///
/// # Errors
/// It is for none of them.
pub fn verify(card: &Value, signature: &Claimed, key: &PublicKey) -> Result<Reading, Refused> {
    let fits = |reading: &Reading| {
        reading.payload(card).is_ok_and(|payload| {
            let message = message(&signature.protected, &payload);
            key.verifies(&signature.alg, message.as_bytes(), &signature.signature)
        })
    };
    Reading::ALL.into_iter().find(fits).ok_or(Refused::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_key::Algorithm;

    const RSA: &str = include_str!("../tests/rsa.pem");

    fn card() -> Value {
        json!({
            "name": "a", "description": "Grüße \u{20ac}", "version": "1", "url": "http://old",
            "capabilities": { "streaming": true, "extensions": [{ "uri": "e", "required": false }] },
            "skills": [{ "id": "s", "name": "s", "description": "", "tags": ["t"] }],
        })
    }

    fn signed(key: &PrivateKey) -> Value {
        let mut card = card();
        sign(&mut card, Signing { key, kid: "k", jku: "https://a.example/jwks" }).unwrap();
        card
    }

    fn keys() -> Vec<PrivateKey> {
        let new = |algorithm| PrivateKey::generate(algorithm).unwrap().0;
        vec![new(Algorithm::Es256), new(Algorithm::EdDsa), PrivateKey::from_pem(RSA).unwrap()]
    }

    #[test]
    fn every_reading_of_a_signed_card_finds_its_signature() {
        for key in keys() {
            let (card, public) = (signed(&key), PublicKey::Jwk(key.public()));
            let found: Vec<Reading> = signatures(&card)
                .into_iter()
                .map(|claimed| verify(&card, &claimed.unwrap(), &public).unwrap())
                .collect();
            assert_eq!(found, [Reading::Stripped, Reading::Known, Reading::Whole]);
            let claimed = signatures(&card)[0].clone().unwrap();
            assert_eq!((claimed.alg.as_str(), claimed.kid.as_str()), (key.algorithm().name(), "k"));
            assert_eq!(claimed.jku.as_deref(), Some("https://a.example/jwks"));
        }
    }

    #[test]
    fn a_card_that_was_changed_and_a_key_of_somebody_else_are_refused() {
        let all = keys();
        for key in &all {
            let mut card = signed(key);
            for other in all.iter().filter(|other| other.public() != key.public()) {
                let claimed = signatures(&card)[0].clone().unwrap();
                assert_eq!(verify(&card, &claimed, &PublicKey::Jwk(other.public())), Err(Refused::Wrong));
            }
            card["skills"][0]["name"] = json!("t");
            for claimed in signatures(&card) {
                assert_eq!(
                    verify(&card, &claimed.unwrap(), &PublicKey::Jwk(key.public())),
                    Err(Refused::Wrong)
                );
            }
        }
    }

    #[test]
    fn a_field_that_a_reading_does_not_cover_can_be_changed_and_is_named() {
        let key = PrivateKey::generate(Algorithm::EdDsa).unwrap().0;
        let mut card = signed(&key);
        card["url"] = json!("http://elsewhere");
        let known = signatures(&card)[1].clone().unwrap();
        let reading = verify(&card, &known, &PublicKey::Jwk(key.public())).unwrap();
        assert_eq!((reading, reading.uncovered(&card)), (Reading::Known, vec!["url"]));
        let whole = signatures(&card)[2].clone().unwrap();
        assert_eq!(verify(&card, &whole, &PublicKey::Jwk(key.public())), Err(Refused::Wrong));
    }

    #[test]
    fn what_claims_to_be_a_signature_and_proves_nothing_is_refused() {
        let entry = |header: Value| json!({ "protected": URL_SAFE_NO_PAD.encode(header.to_string()), "signature": "AA" });
        for alg in ["none", "HS256", "None", "", "ES256K"] {
            let card = json!({ "signatures": [entry(json!({ "alg": alg, "kid": "k" }))] });
            assert_eq!(signatures(&card), [Err(Refused::Algorithm(alg.to_owned()))]);
        }
        for bad in [
            json!(7),
            json!({ "protected": "?", "signature": "" }),
            json!({ "protected": "e30", "signature": "" }),
            entry(json!({ "alg": "ES256" })),
            entry(json!({ "alg": "ES256", "kid": "k", "crit": ["exp"] })),
            entry(json!({ "alg": "ES256", "kid": "k", "b64": false })),
            json!({ "protected": entry(json!({ "alg": "ES256", "kid": "k" }))["protected"], "signature": "?" }),
        ] {
            let found = signatures(&json!({ "signatures": [bad] }));
            assert!(matches!(found[..], [Err(Refused::Malformed(_))]), "{found:?}");
        }
        assert!(signatures(&json!({})).is_empty() && signatures(&json!({ "signatures": {} })).is_empty());
        let many = json!({ "signatures": vec![entry(json!({ "alg": "ES256", "kid": "k" })); 100] });
        assert_eq!(signatures(&many).len(), MOST);
    }
}
