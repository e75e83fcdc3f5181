//! Three NATS servers that keep the stream together.

use super::fleet::{Process, free_ports};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// How long a server may take to open its port.
const START: Duration = Duration::from_secs(20);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// One server; its directory outlives its process.
pub(super) struct Server {
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    pub(super) process: Option<Process>,
}

pub(super) struct Servers {
    /// One fault of theirs at a time: more than that, and there is no majority that could answer.
    pub(super) all: Mutex<Vec<Server>>,
    urls: Vec<String>,
    stream: String,
}

impl Servers {
    /// Writes their files and starts them.
    pub(super) async fn start(
        program: &Path,
        directory: &Path,
        count: usize,
        mesh: &str,
    ) -> Result<Self, String> {
        let ports = free_ports(2 * count)?;
        let (clients, routes) = ports.split_at(count);
        let all_routes: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut all = Vec::new();
        for (n, (port, route)) in clients.iter().zip(routes).enumerate() {
            let directory = directory.join(format!("nats-{n}"));
            std::fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
            let store = directory.join("store");
            let file = format!(
                "listen: \"127.0.0.1:{port}\"\nserver_name: n{n}\nmax_payload: 8MB\n\
                 jetstream {{ store_dir: {store:?}, sync_interval: always }}\n\
                 cluster {{ name: chaos, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n",
                all_routes.join(", ")
            );
            std::fs::write(directory.join("nats.conf"), file).map_err(|e| e.to_string())?;
            let mut server = Server { program: program.to_owned(), directory, port: *port, process: None };
            server.start()?;
            all.push(server);
        }
        for server in &all {
            server.listening().await?;
        }
        let urls = clients.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        Ok(Self { all: Mutex::new(all), urls, stream: format!("{mesh}-log") })
    }

    /// As `storage.nats` has it.
    pub(super) fn url(&self) -> String {
        self.urls.join(",")
    }

    /// Which one leads the stream of the log; `None` if nobody says so in time.
    pub(super) async fn leader(&self) -> Option<usize> {
        let asked = async {
            let client = async_nats::connect(self.urls.clone()).await.ok()?;
            let stream = async_nats::jetstream::new(client).get_stream(&self.stream).await.ok()?;
            let leader = stream.cached_info().cluster.as_ref()?.leader.clone()?;
            leader.trim_start_matches('n').parse().ok()
        };
        timeout(Duration::from_secs(2), asked).await.ok().flatten()
    }
}

impl Server {
    pub(super) fn start(&mut self) -> Result<(), String> {
        let arguments = ["-c".to_owned(), self.directory.join("nats.conf").display().to_string()];
        let log = self.directory.join("log");
        self.process = Some(Process::start(&self.program, &arguments, &self.directory, &log)?);
        Ok(())
    }

    pub(super) async fn listening(&self) -> Result<(), String> {
        let open = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                sleep(LOOK).await;
            }
        };
        timeout(START, open).await.map_err(|_| format!("no NATS server on port {}", self.port))
    }
}
