//! Checks that look at the whole file. They work on what was seen while decoding, so that they also run when
//! another part of the file is wrong.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use crate::context::{Context, Listens};
use crate::diagnostic::Severity;
use crate::model::Auth;
use crate::tree::{Node, Value};

/// Runs all of them.
pub(crate) fn across(root: &Node, auth: Auth, cx: &mut Context<'_>, insecure: bool) {
    one_namespace(root, cx);
    same_names(root, cx);
    mentions(root, cx);
    shared_ports(cx);
    exposed(auth, cx, insecure);
}

/// What holds for a file of the watched directory: `taken` says where else a name is used already.
pub(crate) fn across_fragment(root: &Node, taken: &BTreeMap<String, String>, cx: &mut Context<'_>) {
    one_namespace(root, cx);
    same_names(root, cx);
    for entry in ["tools", "toolsets"].iter().filter_map(|section| root.get(section)).flat_map(Node::entries)
    {
        if let Some(place) = taken.get(&entry.key) {
            let name = crate::context::shorten(&entry.key);
            cx.error(
                entry.key_span,
                format!("`{name}` is already the name of an upstream or toolset of {place}"),
            );
        }
    }
}

/// `/mcp/{name}` is an upstream or a toolset, not both.
fn one_namespace(root: &Node, cx: &mut Context<'_>) {
    let Some(upstreams) = root.get("tools") else { return };
    for entry in root.get("toolsets").map_or(&[][..], Node::entries) {
        if let Some(other) = upstreams.entries().iter().find(|upstream| upstream.key == entry.key) {
            let name = crate::context::shorten(&entry.key);
            let line = other.key_span.line;
            cx.error_with_help(
                entry.key_span,
                format!("the toolset `{name}` has the id of an upstream (line {line})"),
                "upstreams and toolsets share the paths below /mcp/: choose another id",
            );
        }
    }
}

/// No two tools of a toolset may be given the same name.
fn same_names(root: &Node, cx: &mut Context<'_>) {
    for toolset in root.get("toolsets").map_or(&[][..], Node::entries) {
        let Some(Value::List(tools)) = toolset.node.get("tools").map(|tools| &tools.value) else { continue };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for name in tools.iter().filter_map(|tool| tool.get("name")) {
            let Some(text) = cx.peek(name) else { continue };
            if let Some(line) = seen.get(&text) {
                let (shown, set) = (crate::context::shorten(&text), crate::context::shorten(&toolset.key));
                cx.error(
                    name.span,
                    format!("toolsets.{set} has two tools with the name `{shown}` (line {line})"),
                );
            } else {
                seen.insert(text, name.span.line);
            }
        }
    }
}

/// Upstreams and agents that are named must exist. With a watched directory an upstream may come from there.
fn mentions(root: &Node, cx: &mut Context<'_>) {
    let watched =
        root.get("gateway").and_then(|gateway| gateway.get("watch")).is_some_and(|watch| !watch.is_null());
    let upstreams = std::mem::take(&mut cx.facts.upstreams);
    let peers = std::mem::take(&mut cx.facts.peers);
    for (mentions, section, what) in [(upstreams, "tools", "upstream"), (peers, "agents", "agent")] {
        let entries = root.get(section).map_or(&[][..], Node::entries);
        let known: HashSet<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        let toolsets = root.get("toolsets").map_or(&[][..], Node::entries);
        for mention in mentions {
            // An agent may use a toolset like an upstream.
            let of_agent = section == "tools" && mention.path.starts_with("agents.");
            if of_agent && toolsets.iter().any(|toolset| toolset.key == mention.name) {
                continue;
            }
            if !known.contains(mention.name.as_str()) {
                let shown = crate::context::shorten(&mention.name);
                if watched && section == "tools" {
                    let message = format!(
                        "{} names the upstream `{shown}`, which is not in `tools`: it must come from `gateway.watch`",
                        mention.path
                    );
                    cx.note(Severity::Warning, mention.span, message, None);
                    continue;
                }
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
