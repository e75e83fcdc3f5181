//! Every port of a mesh, opened before anything starts: a port in use is found out while nothing has happened yet.

use crate::exit::Failure;
use mesh_config::Mesh;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// The open ports.
pub(crate) struct Ports {
    pub(crate) gateway: TcpListener,
    pub(crate) admin: TcpListener,
    pub(crate) agents: BTreeMap<String, TcpListener>,
}

impl Ports {
    /// Opens them all, those of agents if they run `here`, and writes into `mesh` what the system chose where port 0 was configured.
    pub(crate) async fn open(mesh: &mut Mesh, here: bool) -> Result<Self, Failure> {
        let gateway = bind(&mut mesh.gateway.listen, "gateway.listen").await?;
        let admin = bind(&mut mesh.admin.listen, "admin.listen").await?;
        let mut agents = BTreeMap::new();
        for (name, agent) in mesh.agents.iter_mut().filter(|_| here) {
            let listener = bind(&mut agent.listen, &format!("agents.{name}.listen")).await?;
            agents.insert(name.clone(), listener);
        }
        Ok(Self { gateway, admin, agents })
    }
}

async fn bind(address: &mut SocketAddr, setting: &str) -> Result<TcpListener, Failure> {
    let listener =
        mesh_net::bind(*address, setting).await.map_err(|error| Failure::failed(error.to_string()))?;
    if let Ok(bound) = listener.local_addr() {
        *address = bound;
    }
    Ok(listener)
}
