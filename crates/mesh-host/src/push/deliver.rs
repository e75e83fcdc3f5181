//! One notification: a POST, signed if there is a key.

use super::config::PushConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use mesh_config::Push as Settings;
use mesh_core::{Seq, Timestamp};
use mesh_net::{Allowed, Checked};
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The header in which SDKs look for the token of the configuration.
const TOKEN: &str = "x-a2a-notification-token";

/// Posts notifications.
pub(super) struct Sender {
    client: reqwest::Client,
    allowed: Arc<Allowed>,
    key: Option<Vec<u8>>,
}

/// What is posted.
pub(super) struct Notification {
    pub(super) seq: Seq,
    pub(super) body: Bytes,
    pub(super) content_type: &'static str,
}

impl Sender {
    pub(super) fn new(settings: &Settings, allowed: Arc<Allowed>) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Checked(Arc::clone(&allowed))))
            .build()?;
        let key = settings.signing_key.as_ref().map(|key| key.expose().as_bytes().to_vec());
        Ok(Self { client, allowed, key: key.filter(|key| !key.is_empty()) })
    }

    /// Posts one notification. The error says why the receiver does not have it, in words without secrets.
    pub(super) async fn post(
        &self,
        config: &PushConfig,
        what: &Notification,
        now: Timestamp,
    ) -> Result<(), String> {
        // Again: the mesh file may have changed since the configuration was taken.
        let url = config.check("", &self.allowed).map_err(|error| error.message)?;
        let id = format!("{}.{}.{}", config.task_id, config.id, what.seq);
        let seconds = (now.millis() / 1000).to_string();
        let mut request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, what.content_type)
            .header("webhook-id", &id)
            .header("webhook-timestamp", &seconds)
            .body(what.body.clone());
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", signature(key, &id, &seconds, &what.body));
        }
        if !config.token.is_empty() {
            request = request.header(TOKEN, &config.token);
        }
        if let Some(authentication) = &config.authentication {
            let value = format!("{} {}", authentication.scheme, authentication.credentials);
            request = request.header(AUTHORIZATION, value);
        }
        // The answer's body is not read: dropping it closes the connection if there is much of it.
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status())),
            Err(error) if error.is_timeout() => Err("it did not answer in time".to_owned()),
            Err(error) if error.is_connect() => Err("it cannot be connected to".to_owned()),
            Err(_) => Err("the exchange broke off".to_owned()),
        }
    }
}

/// As Standard Webhooks has it: HMAC-SHA256 over id, time and body, joined by dots.
fn signature(key: &[u8], id: &str, seconds: &str, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by `openssl dgst -sha256 -hmac key`.
    #[test]
    fn the_signature_covers_id_time_and_body() {
        let one = signature(b"key", "t.c.1", "1700000000", b"{}");
        assert_eq!(one, "v1,Cw/kdLy87ppKNF2tb4mP6UCduC2jNBa9JPK3y7yVweI=");
        for other in [
            signature(b"kez", "t.c.1", "1700000000", b"{}"),
            signature(b"key", "t.c.2", "1700000000", b"{}"),
            signature(b"key", "t.c.1", "1700000001", b"{}"),
            signature(b"key", "t.c.1", "1700000000", b"[]"),
        ] {
            assert_ne!(other, one);
        }
    }
}
