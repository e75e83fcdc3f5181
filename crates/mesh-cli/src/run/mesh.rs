//! The parts of a mesh together.

use super::listen::Ports;
use super::shelf::LogShelf;
use super::store::{Store, chain};
use crate::exit::{ExitStatus, Failure};
use axum::Router;
use mesh_admin::{AdminState, Build, ComponentHandle, Readiness};
use mesh_config::Mesh;
use mesh_core::trace::Tracer;
use mesh_core::{AgentName, Clock, Principal, SystemClock};
use mesh_gateway::{
    Discovery, Gateway, Hosts, MeshFile, ReloadHandle, Reloader, Variables, WatchedFolder, Wiring,
};
use mesh_host::{Host, HostError, HostMetrics, HostParts, HostSettings};
use mesh_net::{ConnectionGauge, Limits};
use mesh_policy::LocalOnly;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often readiness is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// How long hosts wait until the watched directory was read. Later, a worker whose tools are not there is started again.
const FIRST_READING: Duration = Duration::from_secs(10);
/// What requests that are still open get at the end, after their tasks and streams have ended.
const CONNECTION_GRACE: Duration = Duration::from_secs(2);

/// Which parts run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// The gateway, and a host for every agent.
    All,
    /// The gateway; the agents are elsewhere, at their URLs.
    Gateway,
}

/// How a mesh is started.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) parts: Parts,
    /// The mesh file, to be followed; `None` if there is none.
    pub(crate) file: Option<PathBuf>,
    /// Keep nothing.
    pub(crate) ephemeral: bool,
    /// Unsafe settings are allowed, also in what is read later.
    pub(crate) insecure: bool,
    /// Whether upstreams are discovered: in the watched directory, and in files that change.
    pub(crate) discovery: bool,
    /// Listen on free local ports instead of those of the file: others may run beside this one.
    pub(crate) free_ports: bool,
}

/// A mesh that runs in this process.
pub(crate) struct RunningMesh {
    store: Store,
    gateway: Arc<Gateway>,
    hosts: Vec<Arc<Host>>,
    pub(crate) readiness: Readiness,
    /// Reads the configuration again.
    pub(crate) reload: ReloadHandle,
    /// Unfinished tasks of an earlier run that were taken up again.
    pub(crate) resumed: usize,
    listeners: TaskTracker,
    close_listeners: CancellationToken,
    close_admin: CancellationToken,
}

impl RunningMesh {
    /// Opens the ports and stores, then starts every part. Ports that the system chose are written into `mesh`.
    pub(crate) async fn start(mesh: &mut Mesh, start: &Start, tracer: Tracer) -> Result<Self, Failure> {
        // What the system chooses is not in the file.
        let as_written = mesh.clone();
        if start.free_ports {
            let free = SocketAddr::from(([127, 0, 0, 1], 0));
            (mesh.gateway.listen, mesh.admin.listen) = (free, free);
        }
        let ports = Ports::open(mesh, start.parts == Parts::All).await?;
        let store = Store::open(mesh, start.ephemeral).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut registry = Registry::default();
        let metrics = HostMetrics::register(&mut registry);
        mesh_admin::register_process(&mut registry, build(), clock.now());
        let wiring = Wiring {
            audit: Arc::clone(&store.audit),
            authorizer: Arc::new(LocalOnly),
            clock: Arc::clone(&clock),
            tracer: tracer.clone(),
            shelf: Arc::new(LogShelf::new(Arc::clone(&store.log))),
        };
        let settings = mesh_gateway::Settings::from_mesh(mesh);
        let gateway =
            Gateway::new(settings, wiring, &mut registry).map_err(|error| Failure::failed(chain(&error)))?;
        let hosts = match start.parts {
            Parts::All => build_hosts(mesh, &store, &clock, &tracer, &metrics)?,
            Parts::Gateway => Vec::new(),
        };
        let readiness = Readiness::new();
        let automatic = start.discovery && as_written.gateway.reload == mesh_config::Reload::Auto;
        gateway.start();
        let reload = Reloader::start(&gateway, sources(as_written, start), automatic);
        let admin_hosts = match mesh.admin.listen.ip().is_loopback() {
            true => Hosts::LoopbackAnd(Vec::new()),
            false => Hosts::Any,
        };
        let admin = mesh_admin::router(AdminState::new(registry, readiness.clone()))
            .merge(gateway.admin_router(reload.clone(), admin_hosts));
        let running = Self {
            store,
            gateway,
            hosts,
            readiness,
            reload,
            resumed: 0,
            listeners: TaskTracker::new(),
            close_listeners: CancellationToken::new(),
            close_admin: CancellationToken::new(),
        };
        running.serve(mesh, ports, admin).await
    }

    /// The gateway, for a client that does not come over the network.
    pub(crate) fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway)
    }

    async fn serve(mut self, mesh: &Mesh, ports: Ports, admin: Router) -> Result<Self, Failure> {
        // Known before anybody can ask, so that nothing looks ready too early.
        let ready = self.readiness.component("gateway");
        let components: Vec<_> = self
            .hosts
            .iter()
            .map(|host| self.readiness.component(format!("agent {}", host.name())))
            .collect();
        self.listen(mesh, ports.admin, admin, self.close_admin.clone(), None);
        let closing = self.close_listeners.clone();
        self.listen(mesh, ports.gateway, self.gateway.router(), closing.clone(), None);
        let mut agents = ports.agents;
        let (reload, stop) = (self.reload.clone(), closing.clone());
        tokio::spawn(async move {
            if stop.run_until_cancelled(reload.begun()).await.is_some() {
                ready.set_ready();
            }
        });
        if mesh.gateway.watch.is_some() {
            // Agents may use tools of the watched directory, and are told theirs when they start.
            let _ = tokio::time::timeout(FIRST_READING, self.reload.begun()).await;
        }
        for (host, component) in self.hosts.iter().zip(components) {
            self.resumed += host.start().await.map_err(|error| Failure::failed(chain(&error)))?;
            if let Some(listener) = agents.remove(host.name().as_str()) {
                let gauge: ConnectionGauge = Arc::new(host.connections());
                self.listen(mesh, listener, host.router(), closing.clone(), Some(gauge));
            }
            tokio::spawn(watch(component, Arc::clone(host), closing.clone()));
        }
        Ok(self)
    }

    fn listen(
        &self,
        mesh: &Mesh,
        listener: TcpListener,
        router: Router,
        shutdown: CancellationToken,
        gauge: Option<ConnectionGauge>,
    ) {
        let limits = Limits {
            connections: mesh.limits.connections,
            header_timeout: mesh.limits.header_timeout,
            gauge,
        };
        self.listeners.spawn(async move {
            let cut = mesh_net::serve(listener, router, limits, shutdown, CONNECTION_GRACE).await;
            if cut > 0 {
                tracing::info!(cut, "connections were cut at the end of their grace period");
            }
        });
    }

    /// Ends: running attempts get `grace`, then streams, workers, tool servers and connections end, and the stores are
    /// closed.
    pub(crate) async fn shutdown(&self, grace: Duration) {
        self.readiness.component("mesh").set_not_ready("shutting down");
        let hosts: Vec<_> = self.hosts.iter().map(|host| host.shutdown(grace)).collect();
        if hosts.is_empty() {
            // Nobody but clients of the gateway: their calls get the grace.
            self.gateway.shutdown(grace.max(CONNECTION_GRACE)).await;
            self.close_listeners.cancel();
        } else {
            futures_util::future::join_all(hosts).await;
            self.close_listeners.cancel();
            self.gateway.shutdown(CONNECTION_GRACE).await;
        }
        self.close_admin.cancel();
        self.listeners.close();
        self.listeners.wait().await;
        self.store.close().await;
    }
}

/// Where upstreams come from: the mesh file first, then the watched directory.
fn sources(mesh: Mesh, start: &Start) -> Vec<Arc<dyn Discovery>> {
    let variables: Variables = Arc::new(|name: &str| std::env::var(name).ok());
    let watched = mesh.gateway.watch.clone().filter(|_| start.discovery);
    let mut sources: Vec<Arc<dyn Discovery>> = Vec::new();
    if let Some(file) = &start.file {
        sources.push(Arc::new(MeshFile::new(file.clone(), mesh, start.insecure, Arc::clone(&variables))));
    }
    if let Some(folder) = watched {
        sources.push(Arc::new(WatchedFolder::new(folder, variables)));
    }
    sources
}

fn build() -> Build {
    let commit = option_env!("AGENTMESH_COMMIT").map(str::to_owned);
    Build { version: env!("CARGO_PKG_VERSION").to_owned(), commit }
}

fn build_hosts(
    mesh: &Mesh,
    store: &Store,
    clock: &Arc<dyn Clock>,
    tracer: &Tracer,
    metrics: &HostMetrics,
) -> Result<Vec<Arc<Host>>, Failure> {
    let caller = Principal::person(mesh.access.tenant.as_str(), mesh.access.principal.as_str());
    let gateway_url = format!("http://{}", mesh.gateway.listen);
    let build = |(name, agent): (&String, &mesh_config::Agent)| {
        let settings = HostSettings {
            name: AgentName::from(name.as_str()),
            agent: agent.clone(),
            limits: mesh.limits.clone(),
            model: mesh.model.clone(),
            push: mesh.push.clone(),
            gateway_url: gateway_url.clone(),
            caller: caller.clone(),
        };
        let parts = HostParts {
            settings,
            log: Arc::clone(&store.log),
            authorizer: Arc::new(LocalOnly),
            clock: Arc::clone(clock),
            tracer: tracer.clone(),
            metrics: metrics.clone(),
        };
        Host::new(parts).map_err(|error| match error {
            HostError::CardKey(error) => Failure::new(ExitStatus::InvalidConfig, error.to_string()),
            error => Failure::failed(chain(&error)),
        })
    };
    mesh.agents.iter().map(build).collect()
}

/// Tells readiness how a host's worker is.
async fn watch(component: ComponentHandle, host: Arc<Host>, stop: CancellationToken) {
    loop {
        match host.not_ready() {
            None => component.set_ready(),
            Some(why) => component.set_not_ready(why),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
    }
}
