//! Checks that look at the whole file. They work on what was seen while decoding, so that they also run when
//! another part of the file is wrong.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::context::{Context, Listens};
use crate::diagnostic::Severity;
use crate::model::Auth;
use crate::tree::Node;

/// Runs all of them.
pub(crate) fn across(root: &Node, auth: Auth, cx: &mut Context<'_>, insecure: bool) {
    mentions(root, cx);
    shared_names(root, cx);
    shared_ports(cx);
    exposed(auth, cx, insecure);
}

/// Upstreams and agents that are named must exist.
fn mentions(root: &Node, cx: &mut Context<'_>) {
    let upstreams = std::mem::take(&mut cx.facts.upstreams);
    let peers = std::mem::take(&mut cx.facts.peers);
    for (mentions, section, what) in [(upstreams, "tools", "upstream"), (peers, "agents", "agent")] {
        let entries = root.get(section).map_or(&[][..], Node::entries);
        let known: HashSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        for mention in mentions {
            if !known.contains(mention.name.as_str()) {
                let shown = crate::context::shorten(&mention.name);
                let message =
                    format!("{} names the {what} `{shown}`, which is not in `{section}`", mention.path);
                cx.unknown(
                    mention.span,
                    message,
                    &mention.name,
                    entries.iter().map(|entry| entry.key.as_str()),
                );
            }
        }
    }
}

/// An agent outside of the mesh may not have the name of one in it: both are found at the same address.
fn shared_names(root: &Node, cx: &mut Context<'_>) {
    let outside = root.get("directory").and_then(|directory| directory.get("agents"));
    let agents = root.get("agents").map_or(&[][..], Node::entries);
    for entry in outside.map_or(&[][..], Node::entries) {
        if agents.iter().any(|agent| agent.key == entry.key) {
            let message = format!("directory.agents.{0} has the name of agents.{0}", entry.key);
            cx.error(entry.key_span, message);
        }
    }
}

/// No two parts may listen on the same port.
fn shared_ports(cx: &mut Context<'_>) {
    let listens = std::mem::take(&mut cx.facts.listens);
    for (index, second) in listens.iter().enumerate() {
        if let Some(first) = listens[..index].iter().find(|first| overlap(first, second)) {
            // A default has no place in the file; then the other one is pointed at.
            let (at, other) = if second.span.is_written() { (second, first) } else { (first, second) };
            let message = format!("{} and {} cannot both listen on {}", at.path, other.path, second.address);
            cx.error(at.span, message);
        }
    }
    cx.facts.listens = listens;
}

fn overlap(first: &Listens, second: &Listens) -> bool {
    let (one, two) = (first.address, second.address);
    // Port 0 means any free port.
    one.port() == two.port()
        && one.port() != 0
        && (one.ip() == two.ip() || one.ip().is_unspecified() || two.ip().is_unspecified())
}

/// Without authentication, nobody outside this machine may reach the mesh.
fn exposed(auth: Auth, cx: &mut Context<'_>, insecure: bool) {
    let Auth::Off = auth;
    let severity = if insecure { Severity::Warning } else { Severity::Error };
    let listens = std::mem::take(&mut cx.facts.listens);
    for listen in listens.iter().filter(|listen| !is_loopback(listen.address.ip())) {
        let message = format!(
            "{} is open to other machines, and auth is off: everybody who reaches {} may do everything",
            listen.path, listen.address
        );
        let help = (!insecure).then(|| "listen on 127.0.0.1, or start with --insecure".to_owned());
        cx.note(severity, listen.span, message, help);
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}
