//! A card as it is served: signed, with the fields of 0.3 where a client may need them, and the extended card.

use super::build::{self, V03};
use crate::settings::HostSettings;
use crate::worker::protocol::DeclaredCard;
use a2a::AgentCard;
use bytes::Bytes;
use mesh_card::{Jwk, Jwks, KeyError, PrivateKey, Signing, sign};
use mesh_core::AgentName;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// A document with what a cache knows it by.
#[derive(Clone)]
pub(crate) struct Document {
    pub(crate) body: Bytes,
    /// Weak entity tag, with its quotes: it follows from what is said, and not from a signature that is made with a random
    /// number, so that it is the same on every host of an agent.
    pub(crate) etag: String,
}

impl Document {
    fn of(json: &Value, says: &str) -> Self {
        let digest = Sha256::digest(says);
        let etag =
            digest[..8].iter().fold(String::from("W/\""), |tag, byte| tag + &format!("{byte:02x}")) + "\"";
        Self { body: Bytes::from(json.to_string()), etag }
    }
}

/// A card in its forms.
#[derive(Clone)]
pub(crate) struct Forms {
    /// As 1.0 has it.
    pub(crate) card: AgentCard,
    /// The same as JSON.
    pub(crate) plain: Document,
    /// With the fields by which clients of 0.3 find the endpoint. Neither version minds those of the other.
    pub(crate) both: Document,
}

/// Everything that an agent publishes about itself.
pub(crate) struct Published {
    pub(crate) public: Forms,
    pub(crate) extended: Option<Forms>,
    /// The keys of the signatures.
    pub(crate) keys: Document,
}

/// The key of an agent's card cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("agents.{agent}.card.signing.{setting} {why}")]
pub struct CardKeyError {
    /// The agent.
    pub agent: AgentName,
    /// The setting that names the key.
    pub setting: &'static str,
    /// What is wrong with it.
    pub why: String,
}

struct Signer {
    key: PrivateKey,
    kid: String,
    jku: String,
}

/// Makes what is published, again whenever a worker declares something else.
pub(crate) struct Publisher {
    settings: Arc<HostSettings>,
    signer: Option<Signer>,
    shown: Mutex<Option<(DeclaredCard, Arc<Published>)>>,
}

impl Publisher {
    /// Reads the key, if the cards are to be signed.
    pub(crate) fn new(settings: Arc<HostSettings>) -> Result<Self, CardKeyError> {
        let signer = signer(&settings)?;
        Ok(Self { settings, signer, shown: Mutex::new(None) })
    }

    /// What is published while the worker declares this.
    pub(crate) fn current(&self, declared: &DeclaredCard) -> Arc<Published> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match &*shown {
            Some((of, published)) if of == declared => Arc::clone(published),
            _ => {
                let published = Arc::new(self.publish(declared));
                *shown = Some((declared.clone(), Arc::clone(&published)));
                published
            }
        }
    }

    fn publish(&self, declared: &DeclaredCard) -> Published {
        let public = build::card(&self.settings, declared);
        let extended = build::extended(&self.settings, &public);
        let keys: Vec<Jwk> = self.signer.iter().map(Signer::public).collect();
        let keys = json!(Jwks { keys });
        Published {
            extended: extended.map(|card| self.forms(card)),
            public: self.forms(public),
            keys: Document::of(&keys, &keys.to_string()),
        }
    }

    fn forms(&self, mut card: AgentCard) -> Forms {
        let (plain, plain_document) = self.document(json!(card));
        let (_, both) = self.document(with_old_fields(json!(card), &card));
        // What was just written by the same type is read by it.
        if let Ok(signed) = serde_json::from_value::<AgentCard>(plain) {
            card = signed;
        }
        Forms { card, plain: plain_document, both }
    }

    fn document(&self, mut json: Value) -> (Value, Document) {
        let mut says = mesh_card::canonical(&json).unwrap_or_default();
        if let Some(Signer { key, kid, jku }) = &self.signer {
            says.extend([kid.as_str(), jku.as_str()]);
            if let Err(error) = sign(&mut json, Signing { key, kid, jku }) {
                tracing::error!(agent = %self.settings.name, %error, "the card is served without a signature");
            }
        }
        let document = Document::of(&json, &says);
        (json, document)
    }
}

impl Signer {
    fn public(&self) -> Jwk {
        Jwk { kid: Some(self.kid.clone()), purpose: Some("sig".to_owned()), ..self.key.public() }
    }
}

fn signer(settings: &HostSettings) -> Result<Option<Signer>, CardKeyError> {
    let Some(signing) = &settings.agent.card.signing else { return Ok(None) };
    let wrong = |setting, why: String| CardKeyError { agent: settings.name.clone(), setting, why };
    let (setting, pem) = match (&signing.key, &signing.key_file) {
        (Some(key), _) => ("key", key.expose().to_owned()),
        (None, Some(file)) => {
            let read = std::fs::read_to_string(file);
            let read = read
                .map_err(|error| wrong("key_file", format!("cannot be read ({}): {error}", file.display())));
            ("key_file", read?)
        }
        (None, None) => return Ok(None),
    };
    let key = PrivateKey::from_pem(&pem).map_err(|error: KeyError| wrong(setting, error.to_string()))?;
    let kid = signing.kid.clone().unwrap_or_else(|| key.public().thumbprint());
    let own = || format!("{}/.well-known/jwks.json", settings.agent.url().trim_end_matches('/'));
    Ok(Some(Signer { key, kid, jku: signing.jku.clone().unwrap_or_else(own) }))
}

fn with_old_fields(mut json: Value, card: &AgentCard) -> Value {
    let old = card.supported_interfaces.iter().find(|interface| interface.protocol_version == V03);
    json["url"] = json!(old.map(|interface| interface.url.as_str()).unwrap_or_default());
    json["preferredTransport"] = json!("JSONRPC");
    json["protocolVersion"] = json!("0.3.0");
    json["supportsAuthenticatedExtendedCard"] = json!(card.capabilities.extended_agent_card == Some(true));
    json
}
