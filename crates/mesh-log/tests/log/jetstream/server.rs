//! A NATS server of a test's own.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server on a free port of this machine, with a directory that outlives it. Killed when it is dropped.
pub(crate) struct Server {
    directory: TempDir,
    /// More lines of its configuration.
    settings: String,
    process: Child,
    address: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(String::new())
    }

    /// Three that keep a stream together.
    pub(crate) fn cluster() -> [Self; 3] {
        // They have to know each other's ports before they start. Nobody else gets them in between: all are open at once.
        let ports = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = ports.map(|port| port.local_addr().unwrap());
        let routes = ports.map(|port| format!("nats://{port}")).join(", ");
        [0, 1, 2].map(|n| {
            let listen = ports[n];
            Self::start_with(format!(
                "server_name: n{n}\ncluster {{ name: c, listen: \"{listen}\", routes: [{routes}] }}"
            ))
        })
    }

    fn start_with(settings: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (process, address) = launch(directory.path(), "127.0.0.1:-1", &settings);
        Self { directory, settings, process, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a loss of power would, as far as the process is concerned.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops it or lets it go on.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.process.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    /// The same server again, at the same address.
    pub(crate) fn restart(&mut self) {
        (self.process, _) = launch(self.directory.path(), &self.address.to_string(), &self.settings);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.envs/nats/bin/nats-server");
    let program = env::var_os("NATS_SERVER").map_or(ours, PathBuf::from);
    assert!(
        program.is_file(),
        "there is no nats-server at {}: run scripts/python-env.sh nats, or set NATS_SERVER",
        program.display()
    );
    program
}

/// Starts a server and waits until it says that it is ready, and where.
fn launch(directory: &Path, listen: &str, settings: &str) -> (Child, SocketAddr) {
    let file = directory.join("nats.conf");
    let store = directory.join("store");
    let text = format!(
        "listen: \"{listen}\"\nmax_payload: 8MB\njetstream {{ store_dir: {store:?}, sync_interval: always }}\n{settings}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut process = Command::new(program())
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    let mut address = None;
    for line in lines.by_ref().map(Result::unwrap) {
        if let Some((_, at)) = line.split_once("Listening for client connections on ") {
            address = Some(at.trim().parse().unwrap());
        }
        let ready = line.contains("Server is ready");
        said.push(line);
        if ready {
            break;
        }
    }
    if let Some(address) = address {
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        return (process, address);
    }
    process.kill().unwrap();
    process.wait().unwrap();
    panic!("the server did not start:\n{}", said.join("\n"));
}
