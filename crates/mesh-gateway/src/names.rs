//! Names of tools where several upstreams appear as one server.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Many clients stop at 60 to 64 characters.
const LONGEST: usize = 64;
/// Hexadecimal digits of the hash that marks a changed name.
const HASH: usize = 8;

/// The name under which a tool of an upstream appears: `{upstream}_{tool}`.
///
/// An upstream's id has no `_`, so the first one ends it and two upstreams can never share a name. A tool whose own
/// name has other characters than `[A-Za-z0-9_-]`, or is too long, gets a hash of its whole name as an ending. The
/// name depends on nothing else: it stays when other tools and upstreams come and go.
pub(crate) fn federated(upstream: &str, tool: &str) -> String {
    let fits = upstream.len() + 1 + tool.len() <= LONGEST && !tool.is_empty() && tool.bytes().all(allowed);
    if fits {
        return format!("{upstream}_{tool}");
    }
    let room = LONGEST.saturating_sub(upstream.len() + 1 + 1 + HASH);
    let shown: String =
        tool.chars().take(room).map(|c| if u8::try_from(c).is_ok_and(allowed) { c } else { '_' }).collect();
    let mut name = format!("{upstream}_{shown}_");
    for byte in &Sha256::digest(tool.as_bytes())[..HASH / 2] {
        // Writing to a `String` cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The URI, or URI template, under which a resource of an upstream appears: `{upstream}+{uri}`.
///
/// An upstream's id has no `+`, so the first one ends it, and the id becomes the first part of the scheme. What is behind it is
/// the upstream's own and stays as it is: a template can be expanded before or after.
pub(crate) fn federated_uri(upstream: &str, uri: &str) -> String {
    format!("{upstream}+{uri}")
}

/// The upstream that a federated URI belongs to, and its own URI.
pub(crate) fn upstream_of_uri(federated: &str) -> Option<(&str, &str)> {
    federated.split_once('+')
}

/// The upstream that a federated name belongs to.
pub(crate) fn upstream_of(federated: &str) -> Option<&str> {
    federated.split_once('_').map(|(upstream, _)| upstream)
}

fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_joined_and_others_are_marked() {
        assert_eq!(federated("crm", "get_customer"), "crm_get_customer");
        let dotted = federated("crm", "admin.tools");
        assert!(dotted.starts_with("crm_admin_tools_") && dotted.len() == "crm_admin_tools_".len() + HASH);
        assert_ne!(dotted, federated("crm", "admin/tools"));
        let long = federated(&"u".repeat(31), &"t".repeat(128));
        assert_eq!(long.len(), LONGEST);
        assert!(federated("crm", "größe").is_ascii());
        assert_eq!(upstream_of(&dotted), Some("crm"));
        assert_eq!(upstream_of("crm"), None);
        let template = federated_uri("crm", "file:///{+path}");
        assert_eq!(template, "crm+file:///{+path}");
        assert_eq!(upstream_of_uri(&template), Some(("crm", "file:///{+path}")));
        assert_eq!(upstream_of_uri("file:///x"), None);
    }
}
