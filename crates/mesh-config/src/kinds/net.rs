//! Addresses.

use std::net::SocketAddr;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Value as Json, json};

use crate::context::{Context, Listens};
use crate::schema::pattern;
use crate::section::Kind;
use crate::tree::Node;

/// An address to listen on. Each one is noted for the checks across the file.
pub(crate) enum Listen {}

impl Kind for Listen {
    type Value = SocketAddr;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<SocketAddr> {
        const WHAT: &str = "an address like 127.0.0.1:8092";
        let scalar = cx.scalar(node, WHAT)?;
        let Ok(address) = scalar.text.parse::<SocketAddr>() else {
            let message = format!("expected {WHAT}, found {}", crate::context::describe(node));
            match scalar.text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
                Some(("localhost", Ok(port))) => {
                    cx.error_with_help(node.span, message, format!("write 127.0.0.1:{port}"));
                }
                Some(("" | "*", Ok(port))) => {
                    cx.error_with_help(
                        node.span,
                        message,
                        format!("write 0.0.0.0:{port} for all interfaces"),
                    );
                }
                _ => cx.error(node.span, message),
            }
            return None;
        };
        let path = cx.path();
        cx.facts.listens.push(Listens { path, address, span: node.span });
        Some(address)
    }

    fn render(value: &SocketAddr) -> Json {
        json!(value.to_string())
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern(r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]+$")
    }
}

/// An `http` or `https` URL without credentials in it.
pub(crate) enum Url {}

impl Kind for Url {
    type Value = String;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<String> {
        const WHAT: &str = "a URL like http://127.0.0.1:9001/mcp";
        let scalar = cx.scalar(node, WHAT)?;
        let uri = scalar.text.parse::<http::Uri>().ok();
        let authority = uri
            .as_ref()
            .filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
            .and_then(http::Uri::authority)
            .filter(|authority| !authority.host().is_empty());
        let Some(authority) = authority else {
            cx.expected(node, WHAT);
            return None;
        };
        if authority.as_str().contains('@') {
            cx.error_with_help(
                node.span,
                "a URL cannot hold a user name or password",
                "send them in a header, by reference",
            );
            return None;
        }
        Some(scalar.text)
    }

    fn render(value: &String) -> Json {
        json!(value.replace('$', "$$"))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern("^https?://[^/@]+")
    }
}
