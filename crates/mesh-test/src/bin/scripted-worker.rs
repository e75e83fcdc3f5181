//! A worker for benches and fault tests; see `mesh_test::worker` for its command language.

use clap::Parser;
use mesh_test::worker::{Options, serve};
use std::io::Write as _;
use std::process::ExitCode;

/// A worker for benches and fault tests: the text of a task's message is a little program
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    match serve(&Arguments::parse().options) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "scripted-worker: {error}");
            ExitCode::FAILURE
        }
    }
}
