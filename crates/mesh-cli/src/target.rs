//! Where to: the gateway's address, from the command line, the environment, the mesh file, or the default.

use crate::cli::{AdminArgs, GatewayArgs};
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::http;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Where a gateway listens unless told otherwise.
const DEFAULT_GATEWAY: &str = "http://127.0.0.1:3003";
/// Where the admin listener is unless told otherwise.
const DEFAULT_ADMIN: &str = "http://127.0.0.1:3004";
/// The mesh file that is used when none is named.
pub(crate) const DEFAULT_FILE: &str = "mesh.yaml";

/// The gateway's base URL, without a slash at the end.
pub(crate) fn gateway(args: &GatewayArgs) -> Outcome<String> {
    // An empty variable is one that is not set.
    if let Some(url) = args.gateway.as_ref().filter(|url| !url.is_empty()) {
        http::parse_url(url).map_err(Failure::usage)?;
        return Ok(url.trim_end_matches('/').to_owned());
    }
    if let Some(file) = &args.mesh_file {
        return from_file(file);
    }
    // A mesh file that happens to lie here and is wrong concerns `check`, not whoever wants to send something.
    let file = Path::new(DEFAULT_FILE);
    let found = file.exists().then(|| from_file(file).ok()).flatten();
    Ok(found.unwrap_or_else(|| DEFAULT_GATEWAY.to_owned()))
}

/// The base URL of the admin listener, without a slash at the end.
pub(crate) fn admin(args: &AdminArgs) -> Outcome<String> {
    if let Some(url) = args.admin.as_ref().filter(|url| !url.is_empty()) {
        http::parse_url(url).map_err(Failure::usage)?;
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let listen = |file: &Path| load(file).map(|mesh| format!("http://{}", dialable(mesh.admin.listen)));
    if let Some(file) = &args.mesh_file {
        return listen(file);
    }
    let file = Path::new(DEFAULT_FILE);
    let found = file.exists().then(|| listen(file).ok()).flatten();
    Ok(found.unwrap_or_else(|| DEFAULT_ADMIN.to_owned()))
}

/// What to do when nobody answers at [`gateway`].
pub(crate) fn advice(args: &GatewayArgs, or: &str) -> String {
    let chosen = args.gateway.as_ref().is_some_and(|url| !url.is_empty()) || args.mesh_file.is_some();
    let file = Path::new(DEFAULT_FILE);
    if !chosen && file.exists() && from_file(file).is_err() {
        return format!(
            "{DEFAULT_FILE} does not say where the gateway is: it is invalid, see `agentmesh check`"
        );
    }
    format!("start a mesh with `agentmesh up`, {or}")
}

fn from_file(file: &Path) -> Outcome<String> {
    Ok(format!("http://{}", dialable(load(file)?.gateway.listen)))
}

fn load(file: &Path) -> Outcome<mesh_config::Mesh> {
    let env = |name: &str| std::env::var(name).ok();
    let options = mesh_config::LoadOptions::new(&env).insecure(true);
    mesh_config::load(file, &options)
        .map_err(|report| Failure::new(ExitStatus::InvalidConfig, format!("{report}")))
}

/// The address at which something that listens on `listen` is reached from here.
fn dialable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_interfaces_is_reached_at_the_local_one() {
        assert_eq!(dialable("0.0.0.0:1".parse().unwrap()).to_string(), "127.0.0.1:1");
        assert_eq!(dialable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(dialable("10.1.2.3:1".parse().unwrap()).to_string(), "10.1.2.3:1");
    }
}
