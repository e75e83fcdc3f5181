//! What the operating system tells a mesh that runs: stop, or read the configuration again.

use crate::exit::{Failure, Outcome};
use mesh_gateway::ReloadHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, SIGTERM and SIGHUP.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// Whether a terminal was there at the start.
    terminal: bool,
    reload: Option<ReloadHandle>,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn new() -> Outcome<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("signals cannot be received: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            terminal: has_terminal(),
            reload: None,
        })
    }

    /// What SIGHUP is for from now on.
    pub(crate) fn reload_with(&mut self, reload: ReloadHandle) {
        self.reload = Some(reload);
    }

    /// Waits until the mesh is to stop. SIGHUP means that only when it says that the terminal is gone; otherwise the configuration is read
    /// again.
    pub(crate) async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => {
                    if self.terminal && !has_terminal() {
                        return;
                    }
                    if let Some(reload) = self.reload.clone() {
                        tracing::info!("SIGHUP: reading the configuration again");
                        tokio::spawn(async move { reload.reload().await });
                    }
                }
            }
        }
    }
}

fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
