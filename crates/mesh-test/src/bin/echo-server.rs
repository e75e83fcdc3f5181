//! A fast MCP server with one tool; see `mesh_test::echo`.

use clap::Parser;
use mesh_test::echo::serve;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::net::TcpListener;

/// A fast MCP server over HTTP, both generations, whose tool `echo` answers with its arguments
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How many more tools are listed
    #[arg(long, default_value_t = 0)]
    tools: usize,
    /// Threads that serve
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "echo-server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints its address, and goes on until it is ended.
fn run(arguments: &Arguments) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads.max(1))
        .enable_all()
        .build()?;
    let (listen, tools) = (arguments.listen, arguments.tools);
    runtime.block_on(async move {
        let listener = TcpListener::bind(listen).await?;
        writeln!(std::io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
        std::io::stdout().flush()?;
        // Not on the main thread, which would have to be woken for each connection.
        tokio::spawn(serve(listener, tools)).await.map_err(std::io::Error::other)
    })
}
