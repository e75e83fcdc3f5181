//! An OpenAI-compatible server that follows a script; see `mesh_test::model` for its format.

use clap::Parser;
use mesh_test::model::{Script, serve};
use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// An OpenAI-compatible chat server that follows a script instead of thinking
#[derive(Parser)]
struct Arguments {
    /// The script, a YAML file
    #[arg(long, value_name = "FILE")]
    script: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Write the port to this file once it listens
    #[arg(long, value_name = "PATH")]
    port_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "scripted-model: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let path = arguments.script.display();
    let yaml = std::fs::read_to_string(&arguments.script).map_err(|e| format!("{path}: {e}"))?;
    let script = Script::parse(&yaml).map_err(|e| format!("{path}: {e}"))?;
    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    let address = listener.local_addr()?;
    if let Some(file) = &arguments.port_file {
        // Readers wait for the file to appear, so it appears complete.
        let unfinished = file.with_extension("unfinished");
        std::fs::write(&unfinished, format!("{}\n", address.port()))?;
        std::fs::rename(&unfinished, file)?;
    }
    writeln!(std::io::stdout(), "listening on http://{address}")?;
    std::io::stdout().flush()?;
    serve(listener, script).await?;
    Ok(())
}
