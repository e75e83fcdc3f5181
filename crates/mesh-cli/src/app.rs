//! From the command line to an exit code.

use crate::cli::{Cli, Command, PushCommand, WorkerCommand};
use crate::exit::{ExitStatus, Outcome};
use crate::output::Printer;
use crate::{check, commands};
use clap::Parser as _;
use std::process::ExitCode;

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::standard(cli.output);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.note(&format!("error: cannot start: {error}"));
            return ExitStatus::Failed.into();
        }
    };
    let outcome = runtime.block_on(run(cli.command, &printer));
    // A blocking read of standard input that nobody waits for any more must not hold up the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(status) => status.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.status.into()
        }
    }
}

async fn run(command: Command, printer: &Printer) -> Outcome {
    // It has its own way of ending: it drains.
    match command {
        Command::Up(args) => return commands::up::run(args, printer).await,
        Command::Gateway(args) => return commands::gateway::run(args, printer).await,
        _ => {}
    }
    tokio::select! {
        // In this order: Ctrl-C is listened to before anything begins.
        biased;
        _ = tokio::signal::ctrl_c() => Err(printer.interrupted()),
        outcome = Box::pin(dispatch(command, printer)) => outcome,
    }
}

async fn dispatch(command: Command, printer: &Printer) -> Outcome {
    match command {
        Command::Up(args) => commands::up::run(args, printer).await,
        Command::Gateway(args) => commands::gateway::run(args, printer).await,
        Command::Upstreams(args) => commands::upstreams::run(args, printer).await,
        Command::Reload(args) => commands::reload::run(args, printer).await,
        Command::Send(args) => commands::send::run(args, printer).await,
        Command::Tap(args) => commands::tap::run(args, printer).await,
        Command::Tasks(args) => commands::tasks::run(args, printer).await,
        Command::Task(args) => commands::task::run(args, printer).await,
        Command::Context(args) => commands::context::run(args, printer).await,
        Command::Cancel(args) => commands::cancel::run(args, printer).await,
        Command::Agents(args) => commands::agents::run(args, printer).await,
        Command::Card { command } => commands::card::run(command, printer).await,
        Command::Tools(args) => commands::tools::run(args, printer).await,
        Command::Call(args) => commands::call::run(args, printer).await,
        Command::Push { command: PushCommand::Retry(args) } => commands::push::retry(args, printer).await,
        Command::Backup(args) => commands::backup::run(args, printer).await,
        Command::Restore(args) => commands::restore::run(args, printer).await,
        Command::Doctor(args) => commands::doctor::run(args, printer).await,
        Command::Check(args) => commands::check::run(&args, printer),
        Command::Schema => commands::schema::run(printer),
        Command::Worker { command: WorkerCommand::Check(args) } => check::run(args, printer).await,
        Command::Version => commands::version::run(printer),
        Command::Completions(args) => commands::completions::run(&args, printer),
    }
}
