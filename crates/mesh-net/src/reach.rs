//! Which addresses may be called on a client's word: nobody must use the mesh to reach what only the mesh can reach.
//!
//! A URL is checked when it is given, and every address that its name stands for when a connection is made to it: the
//! connection goes to exactly the address that was checked. Redirects are not followed.

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use url::{Host, Url};

/// What may be called although it is not public.
#[derive(Clone, Debug)]
pub struct Allowed {
    networks: Vec<IpNet>,
    names: Vec<String>,
    setting: &'static str,
}

impl Allowed {
    /// Reads a list of the mesh file: networks, addresses, names. `setting` is its name there, for messages.
    pub fn new(setting: &'static str, entries: &[String]) -> Self {
        let mut allowed = Self { networks: Vec::new(), names: Vec::new(), setting };
        for entry in entries {
            let network = entry.parse().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
            match network {
                Ok(network) => allowed.networks.push(network),
                Err(_) => allowed.names.push(entry.to_ascii_lowercase()),
            }
        }
        allowed
    }

    fn names(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name.trim_end_matches('.')))
    }

    /// Whether an address may be connected to.
    pub fn address(&self, address: IpAddr) -> bool {
        is_public(address) || self.networks.iter().any(|network| network.contains(&address))
    }

    /// Checks a URL as far as that needs no name server.
    ///
    /// # Errors
    /// What is wrong with it, to be put behind its name.
    pub fn check_url(&self, url: &Url) -> Result<(), String> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user; use authentication".to_owned());
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err("names no host".to_owned()),
        };
        if literal.is_some_and(|address| !self.address(address)) {
            return Err(format!("is an address that this mesh does not call ({})", self.setting));
        }
        let listed = match literal {
            Some(address) => self.networks.iter().any(|network| network.contains(&address)),
            None => url.host_str().is_some_and(|name| self.names(name)),
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if listed => Ok(()),
            "http" => Err(format!("must be https; plain http only for what {} lists", self.setting)),
            _ => Err("must be https".to_owned()),
        }
    }
}

/// Resolves names to the addresses that may be called.
#[derive(Clone, Debug)]
pub struct Checked(pub Arc<Allowed>);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let listed = allowed.names(name.as_str());
            let good: Vec<SocketAddr> = found.filter(|found| listed || allowed.address(found.ip())).collect();
            if good.is_empty() {
                let setting = allowed.setting;
                return Err(format!("the name stands for no address that this mesh calls ({setting})").into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public Internet, as the registries of special addresses (RFC 6890) have it.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

/// Only global unicast, without what carries an IPv4 address that has to be looked at itself.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let last_v4 = || Ipv4Addr::from(((u32::from(segments[6])) << 16) | u32::from(segments[7]));
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    match segments {
        // NAT64
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(last_v4()),
        // 6to4
        [0x2002, high, low, ..] => is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
        // Teredo, ORCHID, benchmarks, documentation: none of them is somebody's server.
        [0x2001, second, ..] if second < 0x200 => false,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_called() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.254",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    fn check(url: &str, allow: &[&str]) -> Result<(), String> {
        let allow: Vec<String> = allow.iter().map(|entry| (*entry).to_owned()).collect();
        Allowed::new("push.allow", &allow).check_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_url_is_https_to_a_public_host_unless_the_mesh_file_lists_it() {
        assert_eq!(check("https://hooks.example/a?b", &[]), Ok(()));
        for (url, why) in [
            ("http://hooks.example/", "https"),
            ("ftp://hooks.example/", "https"),
            ("https://user:secret@hooks.example/", "user"),
            ("https://127.0.0.1/", "push.allow"),
            ("https://[::1]/", "push.allow"),
            // The ways in which browsers, and so URLs, write 127.0.0.1.
            ("https://2130706433/", "push.allow"),
            ("https://0x7f.1/", "push.allow"),
            ("https://0177.0.0.1/", "push.allow"),
            ("data:text/plain,x", "host"),
        ] {
            let refused = check(url, &[]).unwrap_err();
            assert!(refused.contains(why), "{url}: {refused}");
        }
        assert_eq!(check("http://127.0.0.1:8080/", &["127.0.0.0/8"]), Ok(()));
        assert_eq!(check("http://[::1]/", &["::1"]), Ok(()));
        assert_eq!(check("http://HOOKS.internal/", &["hooks.internal"]), Ok(()));
        assert!(check("http://10.0.0.1/", &["127.0.0.0/8"]).is_err());
    }

    #[tokio::test]
    async fn a_name_that_stands_for_a_private_address_is_not_called() {
        let resolve = |allow: &[&str]| {
            let allow: Vec<String> = allow.iter().map(|entry| (*entry).to_owned()).collect();
            Checked(Arc::new(Allowed::new("push.allow", &allow))).resolve("localhost".parse().unwrap())
        };
        assert!(resolve(&[]).await.is_err());
        assert!(resolve(&["localhost"]).await.is_ok());
        assert!(resolve(&["127.0.0.0/8"]).await.unwrap().all(|found| found.ip().is_loopback()));
    }
}
