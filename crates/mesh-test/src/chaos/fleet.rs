//! The processes under test. Whatever is started here is killed by its id when it is dropped.

use super::plan::{Fault, Setup};
use super::servers::Servers;
use crate::load::process::tree;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// How long a host may take to open its port after a start.
const START: Duration = Duration::from_secs(60);
/// How long it is waited for a worker that could be killed.
const WORKER_START: Duration = Duration::from_secs(2);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// The mesh's name.
const MESH: &str = "chaos";

/// A child process whose words go to a file.
pub(super) struct Process {
    child: Child,
}

impl Process {
    pub(super) fn start(
        program: &Path,
        arguments: &[String],
        cwd: &Path,
        log: &Path,
    ) -> Result<Self, String> {
        let said = |e: std::io::Error| format!("{}: {e}", program.display());
        let file = File::options().create(true).append(true).open(log).map_err(said)?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(cwd)
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(said)?)
            .stderr(file)
            .spawn()
            .map_err(said)?;
        Ok(Self { child })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// SIGKILL, and the end of it.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its children and theirs.
    fn descendants(&self) -> Vec<u32> {
        tree(self.pid()).into_iter().skip(1).collect()
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let below = self.descendants();
        self.kill();
        for pid in below {
            send(pid, Signal::SIGKILL);
        }
    }
}

fn send(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Ports that were free a moment ago, each another one.
pub(super) fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let open: Result<Vec<_>, _> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let open = open.map_err(|e| e.to_string())?;
    open.iter().map(|port| port.local_addr().map(|at| at.port()).map_err(|e| e.to_string())).collect()
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) agentmesh: PathBuf,
    pub(super) worker: PathBuf,
    pub(super) nats: PathBuf,
}

struct Host {
    directory: PathBuf,
    port: u16,
    process: Option<Process>,
}

/// Hosts and servers.
pub(super) struct Fleet {
    programs: Programs,
    hosts: Vec<Mutex<Host>>,
    pub(super) urls: Vec<String>,
    servers: Option<Servers>,
}

impl Fleet {
    /// Starts everything and waits until the hosts listen.
    pub(super) async fn start(
        setup: Setup,
        programs: Programs,
        directory: &Path,
        lease: Duration,
    ) -> Result<Self, String> {
        let servers = match setup.servers() {
            0 => None,
            count => Some(Servers::start(&programs.nats, directory, count, MESH).await?),
        };
        let storage = match &servers {
            None => "{ path: store }".to_owned(),
            Some(servers) => format!("{{ nats: \"{}\", replicas: 3 }}", servers.url()),
        };
        let (mut hosts, mut urls) = (Vec::new(), Vec::new());
        for (n, ports) in free_ports(3 * setup.hosts())?.chunks_exact(3).enumerate() {
            let directory = directory.join(format!("host-{n}"));
            std::fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
            let file = mesh_file(&storage, ports, &programs.worker, lease);
            std::fs::write(directory.join("mesh.yaml"), file).map_err(|e| e.to_string())?;
            hosts.push(Mutex::new(Host { directory, port: ports[2], process: None }));
            urls.push(format!("http://127.0.0.1:{}/", ports[2]));
        }
        let fleet = Self { programs, hosts, urls, servers };
        fleet.heal().await?;
        Ok(fleet)
    }

    /// Does a fault and undoes it. Returns when both are done; a fault of something that is down already waits. False:
    /// there was nothing that it could have happened to.
    pub(super) async fn suffer(&self, fault: Fault) -> Result<bool, String> {
        match fault {
            Fault::Cut => {}
            Fault::KillHost { host, down } => {
                let mut host = self.hosts[host].lock().await;
                if let Some(mut process) = host.process.take() {
                    process.kill();
                }
                sleep(down).await;
                host.start(&self.programs)?;
            }
            Fault::FreezeHost { host, time } => {
                let host = self.hosts[host].lock().await;
                if let Some(process) = &host.process {
                    process.signal(Signal::SIGSTOP);
                    sleep(time).await;
                    process.signal(Signal::SIGCONT);
                }
            }
            Fault::KillWorker { host } => {
                let host = self.hosts[host].lock().await;
                // A host that has just begun has no worker yet, and one whose worker keeps dying waits with the next.
                let begin = Instant::now();
                loop {
                    let workers = host.process.as_ref().map(Process::descendants).unwrap_or_default();
                    workers.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
                    if !workers.is_empty() || begin.elapsed() > WORKER_START {
                        return Ok(!workers.is_empty());
                    }
                    sleep(LOOK).await;
                }
            }
            Fault::KillServer { leader, any, down } => self.server(leader, any, down, true).await?,
            Fault::FreezeServer { leader, any, time } => self.server(leader, any, time, false).await?,
        }
        Ok(true)
    }

    async fn server(&self, leader: bool, any: usize, time: Duration, kill: bool) -> Result<(), String> {
        let Some(servers) = &self.servers else { return Ok(()) };
        let mut all = servers.all.lock().await;
        let chosen = if leader { servers.leader().await.unwrap_or(any) } else { any };
        let Some(server) = all.get_mut(chosen) else { return Ok(()) };
        if kill {
            if let Some(mut process) = server.process.take() {
                process.kill();
            }
            sleep(time).await;
            server.start()?;
            server.listening().await
        } else {
            if let Some(process) = &server.process {
                process.signal(Signal::SIGSTOP);
                sleep(time).await;
                process.signal(Signal::SIGCONT);
            }
            Ok(())
        }
    }

    /// Everything runs again, and every host listens.
    pub(super) async fn heal(&self) -> Result<(), String> {
        for (n, host) in self.hosts.iter().enumerate() {
            let mut host = host.lock().await;
            let begin = Instant::now();
            loop {
                if host.process.as_mut().is_none_or(Process::has_ended) {
                    host.start(&self.programs)?;
                }
                if TcpStream::connect(("127.0.0.1", host.port)).await.is_ok() {
                    break;
                }
                if begin.elapsed() > START {
                    return Err(format!("host {n} does not listen: see {}/log", host.directory.display()));
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Starts again what ended without being killed. Says how many gave up with an error because NATS did not answer, and
    /// how many ended otherwise.
    pub(super) async fn revive(&self) -> Result<(u64, u64), String> {
        let (mut gave_up, mut died) = (0, 0);
        for host in &self.hosts {
            // One that is being killed or frozen is looked at another time.
            let Ok(mut host) = host.try_lock() else { continue };
            let status = host.process.as_mut().and_then(|process| process.child.try_wait().ok().flatten());
            if let Some(status) = status {
                if self.servers.is_some() && status.code() == Some(1) {
                    gave_up += 1
                } else {
                    died += 1
                }
                host.start(&self.programs)?;
            }
        }
        Ok((gave_up, died))
    }
}

impl Host {
    fn start(&mut self, programs: &Programs) -> Result<(), String> {
        let arguments = ["up", "-f", "mesh.yaml"].map(str::to_owned);
        let log = self.directory.join("log");
        self.process = Some(Process::start(&programs.agentmesh, &arguments, &self.directory, &log)?);
        Ok(())
    }
}

fn mesh_file(storage: &str, ports: &[u16], worker: &Path, lease: Duration) -> String {
    let [gateway, admin, agent] = ports else { return String::new() };
    format!(
        "mesh: {MESH}\nstorage: {storage}\ngateway: {{ listen: 127.0.0.1:{gateway} }}\n\
         admin: {{ listen: 127.0.0.1:{admin} }}\nagents:\n  scripted:\n    listen: 127.0.0.1:{agent}\n    \
         worker: {{ command: [{worker:?}] }}\n    tasks: {{ concurrency: 16, lease: {}ms, \
         on_worker_loss: {{ retry: 100 }} }}\n",
        lease.as_millis()
    )
}
