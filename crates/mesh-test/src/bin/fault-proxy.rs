//! A proxy that can be broken, and spreads requests over its targets in turn; see `mesh_test::relay`.

use clap::Parser;
use mesh_test::relay::{Relay, serve_control};
use serde_json::json;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpListener;

/// Passes HTTP/1.1 requests on to its targets in turn, and breaks when the control port says so
#[derive(Parser)]
struct Arguments {
    /// Where requests go; may be repeated
    #[arg(long = "to", value_name = "ADDRESS", required = true)]
    targets: Vec<SocketAddr>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to take the names of modes, a line each
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    control: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "fault-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints where it listens, and goes on until it is ended.
async fn run(arguments: Arguments) -> std::io::Result<()> {
    let relay = Relay::start(arguments.listen, arguments.targets).await?;
    let control = TcpListener::bind(arguments.control).await?;
    let listening = json!({"listen": relay.address, "control": control.local_addr()?});
    writeln!(std::io::stdout(), "{listening}")?;
    std::io::stdout().flush()?;
    serve_control(control, relay.handle()).await;
    Ok(())
}
