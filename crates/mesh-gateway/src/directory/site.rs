//! Where an agent is, and which address a request to it goes to.

use super::interfaces::Interface;
use crate::agents::{Binding, Trust};
use crate::settings::AgentSite;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

/// Who says that there is such an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Configuration,
    Registration,
}

impl Source {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Registration => "registration",
        }
    }
}

/// All that was said about where an agent is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Site {
    pub(crate) source: Source,
    /// Whether it is one of our hosts.
    pub(crate) host: bool,
    /// Base addresses without a slash at the end. None if it was registered by a card alone.
    pub(crate) targets: Vec<String>,
    pub(crate) card_path: Option<String>,
    /// Its credentials.
    pub(crate) headers: HeaderMap,
    /// Public keys as they were written.
    pub(crate) card_keys: Vec<String>,
    /// The card it was registered with.
    pub(crate) card: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) tags: Vec<String>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Without a slash at the end, unless it is an address of JSON-RPC.
    pub(crate) url: String,
    /// The tenant that the agent wants to be asked for.
    pub(crate) tenant: Option<String>,
    pub(crate) trust: Trust,
}

impl Site {
    /// What the configuration says. Files with keys are read.
    pub(crate) fn configured(site: &AgentSite) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &site.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("`{name}` is no name of a header"))?;
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| format!("the value of header `{name}` cannot be sent"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let key = |path: &std::path::PathBuf| {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| format!("cannot read the key {}: {error}", path.display()))?;
            if mesh_card::PublicKey::read(&text).is_empty() {
                return Err(format!("there is no public key in {}", path.display()));
            }
            Ok(text)
        };
        let targets = std::iter::once(&site.url).chain(&site.replicas);
        Ok(Self {
            source: Source::Configuration,
            host: site.host,
            targets: targets.map(|url| url.trim_end_matches('/').to_owned()).collect(),
            card_path: site.card_path.clone(),
            headers,
            card_keys: site.card_keys.iter().map(key).collect::<Result<_, _>>()?,
            card: None,
            description: site.description.clone(),
            tags: site.tags.clone(),
        })
    }

    /// How far its own addresses are trusted.
    pub(crate) const fn trust(&self) -> Trust {
        match self.source {
            Source::Configuration => Trust::Configured,
            Source::Registration => Trust::Word,
        }
    }

    /// Whether a card is needed to know where to speak to it.
    pub(crate) const fn needs_card(&self) -> bool {
        !self.host
    }

    /// Where one of its targets is spoken to.
    ///
    /// - One of our hosts: at its root, whatever its card says, which may have an address that only others know.
    /// - One target: where the card says.
    /// - Several: at the path that the card says, on the target; by gRPC on its port, if the card's address is on the
    ///   target's machine.
    pub(crate) fn destination(
        &self,
        at: usize,
        binding: Binding,
        interface: Option<&Interface>,
    ) -> Result<Destination, String> {
        let own = |url: String, tenant| Destination { url, tenant, trust: self.trust() };
        let target = self.targets.get(at);
        if let (true, Some(target)) = (self.host, target) {
            let slash = if binding == Binding::JsonRpc { "/" } else { "" };
            return Ok(own(format!("{target}{slash}"), None));
        }
        let interface = interface.ok_or("its card has no interface for that")?;
        let tenant = interface.tenant.clone();
        let mut url = read_url(&interface.url, binding)?;
        let base = target.and_then(|target| Url::parse(target).ok());
        let same = base.as_ref().is_some_and(|base| base.host() == url.host());
        if let (Some(base), true) = (&base, self.targets.len() > 1) {
            let port = (same && binding == Binding::Grpc).then(|| url.port_or_known_default()).flatten();
            let moved = url.set_scheme(base.scheme()).is_ok()
                && url.set_host(base.host_str()).is_ok()
                && url.set_port(port.or_else(|| base.port())).is_ok();
            if !moved {
                return Err("its card has an address that cannot be used".to_owned());
            }
            return Ok(own(written(&url, binding), tenant));
        }
        // What the card says is the agent's word, and its credentials are for its own machine only.
        let trust = if same { self.trust() } else { Trust::Word };
        Ok(Destination { url: written(&url, binding), tenant, trust })
    }

    /// The credentials for a destination.
    pub(crate) fn credentials(&self, destination: &Destination) -> &HeaderMap {
        static NONE: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
        if destination.trust == self.trust() { &self.headers } else { &NONE }
    }
}

/// An address in a card. Those of gRPC have no scheme, and are encrypted if the port is that of https.
fn read_url(text: &str, binding: Binding) -> Result<Url, String> {
    let wrong = || "its card has an address that is no URL".to_owned();
    let bare = binding == Binding::Grpc && !text.contains("://");
    let url = if bare {
        let text = text.trim_start_matches("dns:").trim_start_matches("///");
        let scheme = if text.ends_with(":443") { "https" } else { "http" };
        Url::parse(&format!("{scheme}://{text}"))
    } else {
        Url::parse(text)
    };
    let mut url = url.map_err(|_| wrong())?;
    if url.scheme() == "grpc" || url.scheme() == "grpcs" {
        let scheme = if url.scheme() == "grpc" { "http" } else { "https" };
        url = Url::parse(&text.replacen(url.scheme(), scheme, 1)).map_err(|_| wrong())?;
    }
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong());
    }
    if let Some(Host::Domain("")) | None = url.host() {
        return Err(wrong());
    }
    Ok(url)
}

fn written(url: &Url, binding: Binding) -> String {
    let text = url.as_str();
    if binding == Binding::JsonRpc { text.to_owned() } else { text.trim_end_matches('/').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(targets: &[&str], host: bool) -> Site {
        let site = AgentSite {
            url: targets[0].into(),
            replicas: targets[1..].iter().map(|target| (*target).to_owned()).collect(),
            host,
            headers: [("x-key".to_owned(), mesh_config::Secret::new("k"))].into(),
            ..AgentSite::default()
        };
        Site::configured(&site).unwrap()
    }

    fn interface(binding: Binding, url: &str) -> Interface {
        Interface { binding, version: "1.0".into(), url: url.into(), tenant: None }
    }

    #[test]
    fn our_hosts_are_spoken_to_at_their_root() {
        let site = site(&["http://127.0.0.1:8090/"], true);
        let url = |binding| site.destination(0, binding, None).unwrap().url;
        assert_eq!(url(Binding::JsonRpc), "http://127.0.0.1:8090/");
        assert_eq!(url(Binding::Rest), "http://127.0.0.1:8090");
        assert_eq!(url(Binding::Grpc), "http://127.0.0.1:8090");
    }

    #[test]
    fn one_target_is_spoken_to_where_its_card_says_and_other_machines_get_no_credentials() {
        let site = site(&["http://agent:9000"], false);
        let rpc = site.destination(
            0,
            Binding::JsonRpc,
            Some(&interface(Binding::JsonRpc, "http://agent:9001/a2a")),
        );
        let rpc = rpc.unwrap();
        assert_eq!((rpc.url.as_str(), rpc.trust), ("http://agent:9001/a2a", Trust::Configured));
        assert_eq!(site.credentials(&rpc).len(), 1);
        let grpc =
            site.destination(0, Binding::Grpc, Some(&interface(Binding::Grpc, "agent:50051"))).unwrap();
        assert_eq!(grpc.url, "http://agent:50051");
        let away = interface(Binding::Rest, "https://elsewhere/x/");
        let away = site.destination(0, Binding::Rest, Some(&away)).unwrap();
        assert_eq!((away.url.as_str(), away.trust), ("https://elsewhere/x", Trust::Word));
        assert!(site.credentials(&away).is_empty());
        for wrong in ["file:///etc/passwd", "http://user:pw@agent/", "", "://"] {
            assert!(
                site.destination(0, Binding::Rest, Some(&interface(Binding::Rest, wrong))).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn replicas_are_spoken_to_at_the_path_of_the_card() {
        let site = site(&["http://one:1", "http://two:2"], false);
        let rpc = interface(Binding::JsonRpc, "https://public.example/a2a/");
        let url = |at| site.destination(at, Binding::JsonRpc, Some(&rpc)).unwrap();
        assert_eq!(url(0).url, "http://one:1/a2a/");
        assert_eq!((url(1).url.as_str(), url(1).trust), ("http://two:2/a2a/", Trust::Configured));
        let grpc = interface(Binding::Grpc, "two:50051");
        assert_eq!(site.destination(1, Binding::Grpc, Some(&grpc)).unwrap().url, "http://two:50051");
        assert_eq!(site.destination(0, Binding::Grpc, Some(&grpc)).unwrap().url, "http://one:1");
    }
}
