//! The command line.

mod card;
mod gateway;
mod store;

pub(crate) use card::{CardCommand, CardKeygenArgs, CardShowArgs, CardVerifyArgs, KeyAlgorithm};
pub(crate) use gateway::{AdminArgs, ReloadArgs, RunGatewayArgs, UpstreamsArgs};
pub(crate) use store::{BackupArgs, DoctorArgs, RestoreArgs, StoreArgs};

use crate::output::Format;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use mesh_core::model::TaskState;
use std::path::PathBuf;
use std::time::Duration;

const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    the thing itself failed: task failed, rejected or canceled; tool error; failed check
  2    the command line or its input is wrong
  3    nobody answers at the address, or not with the protocol
  4    no such agent, task, context, tool or store; the events are no longer kept
  5    the mesh file is invalid
  6    the task waits for input or authorization
  130  interrupted (Ctrl-C); a task that was being watched goes on

Environment:
  AGENT_GATEWAY_URL  the gateway, where --gateway is not given
  AGENT_ADMIN_URL    the admin listener, where --admin is not given
  AGENTMESH_LOG      which log lines are written, like `info` or `mesh_host=debug,warn`
  NO_COLOR           no colours";

/// Run agents as one mesh, and talk to them: tasks over A2A, tools over MCP
#[derive(Debug, Parser)]
#[command(name = "agentmesh", version, after_help = EXIT_STATUS, max_term_width = 100)]
pub(crate) struct Cli {
    /// How results are written: text for people, json for programs
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    #[arg(hide_possible_values = true, display_order = 100)]
    pub(crate) output: Format,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(UpArgs),
    Gateway(RunGatewayArgs),
    Send(SendArgs),
    Tap(TapArgs),
    Tasks(TasksArgs),
    Task(TaskArgs),
    Context(ContextArgs),
    Cancel(CancelArgs),
    Agents(AgentsArgs),
    /// What an agent says about itself, and whether that can be trusted
    Card {
        #[command(subcommand)]
        command: CardCommand,
    },
    Tools(ToolsArgs),
    Call(CallArgs),
    Upstreams(UpstreamsArgs),
    Reload(ReloadArgs),
    /// Push notifications of a task
    Push {
        #[command(subcommand)]
        command: PushCommand,
    },
    Backup(BackupArgs),
    Restore(RestoreArgs),
    Doctor(DoctorArgs),
    Check(CheckArgs),
    /// Print the JSON schema of the mesh file
    #[command(after_help = "For editors: agentmesh schema > mesh.schema.json")]
    Schema,
    /// Checks for those who write workers
    Worker {
        #[command(subcommand)]
        command: WorkerCommand,
    },
    /// Print the version, and the protocol versions spoken
    Version,
    Completions(CompletionsArgs),
}

/// Where the mesh is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct GatewayArgs {
    /// Base URL of the gateway [default: gateway.listen of the mesh file, or http://127.0.0.1:3003]
    #[arg(long, value_name = "URL", env = "AGENT_GATEWAY_URL", hide_env = true)]
    pub(crate) gateway: Option<String>,

    /// Mesh file to take the gateway's address from [default: mesh.yaml if it is there]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) mesh_file: Option<PathBuf>,
}

/// Start the whole mesh in one process: gateway, hosts and their workers
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh up
  agentmesh up -f examples/sales/mesh.yaml --ephemeral")]
pub(crate) struct UpArgs {
    /// Mesh file
    #[arg(short, long, value_name = "FILE", default_value = "mesh.yaml")]
    pub(crate) file: PathBuf,

    /// Keep nothing: tasks live in memory and end with the process
    #[arg(long)]
    pub(crate) ephemeral: bool,

    /// Allow listening on other than local addresses while nobody has to authenticate
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// Send a message to an agent and wait for what comes of it
///
/// Progress goes to standard error, the artifacts to standard output: `agentmesh send sales "…" > proposal.md`
/// holds the proposal and nothing else. The task does not need this command: it goes on when the connection breaks
/// or Ctrl-C is pressed, and `agentmesh tap` shows it from any point.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh send sales \"Prepare a proposal for customer C-1042\"
  agentmesh send sales --task 0198… \"Ada\"               answer a question of a task
  agentmesh send http://127.0.0.1:8092 - < letter.txt   any A2A server, text from standard input
  agentmesh send sales --file figures.csv \"Sum these up\"
  agentmesh -o json send sales \"…\" | jq .event          one JSON object a line, as it happens")]
pub(crate) struct SendArgs {
    /// Name of an agent of the mesh, or URL of any A2A server
    pub(crate) agent: String,

    /// What to say; `-` reads standard input
    #[arg(required_unless_present = "file")]
    pub(crate) text: Option<String>,

    /// Attach a file (may be given several times; 8 MiB in all)
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Vec<PathBuf>,

    /// Go on in this context
    #[arg(long, value_name = "ID")]
    pub(crate) context: Option<String>,

    /// Go on with this task, which waits for input
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,

    /// Id of the message; sent again with the same id, it does not start a second task [default: random]
    #[arg(long, value_name = "ID")]
    pub(crate) message_id: Option<String>,

    /// Show events as they happen (the default)
    #[arg(long, overrides_with = "no_stream")]
    pub(crate) stream: bool,

    /// Wait without a stream, and show the outcome only
    #[arg(long, overrides_with = "stream")]
    pub(crate) no_stream: bool,

    /// Print the task's id as soon as it exists, and leave
    #[arg(long, conflicts_with_all = ["stream", "no_stream"])]
    pub(crate) no_wait: bool,

    /// Give up waiting after this long; the task goes on
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// Watch the numbered events of a task, from any point of its history
///
/// Any number of taps may watch one task; none of them slows it down. A broken connection is picked up again behind
/// the last number. Times are UTC. The exit status says how the task ended; with --no-follow it is 0.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh tap 0198…                        from the beginning, until the task ends
  agentmesh tap 0198… --from 40              events 40 and later
  agentmesh tap 0198… --no-follow            what has happened so far
  agentmesh tap 0198… --agent http://host:8092")]
pub(crate) struct TapArgs {
    /// Id of the task
    pub(crate) task: String,

    /// Agent that has the task: its name, or the URL of any A2A server [default: the mesh's agents are asked]
    #[arg(long)]
    pub(crate) agent: Option<String>,

    /// First event to show
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: u64,

    /// Go on until the task ends (the default)
    #[arg(long, overrides_with = "no_follow")]
    pub(crate) follow: bool,

    /// Stop at what has happened so far
    #[arg(long, overrides_with = "follow")]
    pub(crate) no_follow: bool,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// List tasks, the one with the latest change first
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh tasks
  agentmesh tasks sales --state working --limit 10")]
pub(crate) struct TasksArgs {
    /// Name of an agent of the mesh, or URL of any A2A server [default: all agents of the mesh]
    pub(crate) agent: Option<String>,

    /// Only tasks in this state
    #[arg(long, value_parser = state)]
    pub(crate) state: Option<TaskState>,

    /// Only tasks of this context
    #[arg(long, value_name = "ID")]
    pub(crate) context: Option<String>,

    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) limit: u16,

    /// Where the last list ended
    #[arg(long, value_name = "TOKEN", requires = "agent")]
    pub(crate) page_token: Option<String>,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// Show one task with its artifacts
#[derive(Args, Debug)]
pub(crate) struct TaskArgs {
    /// Id of the task
    pub(crate) id: String,

    /// Agent that has the task: its name, or the URL of any A2A server [default: the mesh's agents are asked]
    #[arg(long)]
    pub(crate) agent: Option<String>,

    /// How many messages of its history to show, newest last
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) history: u32,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// Show a context: its tasks, what was said in them, and what its agents remember
///
/// Everything that belongs to one context id: the tasks of all agents in the order in which they were begun, the
/// messages and artifacts (shortened; whole with `-o json`), and the entries of the memory that the agents share.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh context 0198…
  agentmesh context 0198… --agent sales
  agentmesh -o json context 0198… | jq .memory")]
pub(crate) struct ContextArgs {
    /// Id of the context
    pub(crate) id: String,

    /// Only ask this agent: its name, or the URL of any A2A server [default: all agents of the mesh]
    #[arg(long)]
    pub(crate) agent: Option<String>,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// Cancel a task
#[derive(Args, Debug)]
pub(crate) struct CancelArgs {
    /// Id of the task
    pub(crate) id: String,

    /// Agent that has the task: its name, or the URL of any A2A server [default: the mesh's agents are asked]
    #[arg(long)]
    pub(crate) agent: Option<String>,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PushCommand {
    Retry(PushRetryArgs),
}

/// Try push notifications again that were given up
///
/// Delivery goes on with the first event that the receiver does not have; none is left out. Which tasks have notifications
/// that were given up is shown by `agentmesh tasks`, and why by `agentmesh task ID`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh push retry 0198…              everything of the task that was given up
  agentmesh push retry 0198… hook")]
pub(crate) struct PushRetryArgs {
    /// Id of the task
    pub(crate) task: String,

    /// Id of the push notification configuration [default: all that were given up]
    pub(crate) config: Option<String>,

    /// Agent that has the task: its name, or its URL [default: the mesh's agents are asked]
    #[arg(long)]
    pub(crate) agent: Option<String>,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// List the agents of the mesh
#[derive(Args, Debug)]
pub(crate) struct AgentsArgs {
    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// List the tools of the mesh, or of any MCP server
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh tools --search \"customer address\"
  agentmesh tools --category crm --query \"the address of a customer\"
  agentmesh tools --mcp http://127.0.0.1:9001/mcp")]
pub(crate) struct ToolsArgs {
    /// Only tools that have to do with these words, best first
    #[arg(long, value_name = "WORDS")]
    pub(crate) search: Option<String>,

    /// Only tools of this category, as the gateway knows it
    #[arg(long, value_name = "CATEGORY", conflicts_with_all = ["search", "mcp"])]
    pub(crate) category: Option<String>,

    /// What the tools are needed for: the gateway ranks them, best first
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["search", "mcp"])]
    pub(crate) query: Option<String>,

    #[command(flatten)]
    pub(crate) mcp: McpArgs,
}

/// Call a tool of the mesh, or of any MCP server
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh call crm/get_customer customer_id=C-1042
  agentmesh call crm/get_customer '{\"customer_id\": \"C-1042\"}'
  agentmesh call analytics/query --file query.json --mcp http://127.0.0.1:9001/mcp")]
pub(crate) struct CallArgs {
    /// Name of the tool
    pub(crate) tool: String,

    /// A JSON object, or `key=value` pairs whose types come from the tool's schema
    #[arg(value_name = "JSON|KEY=VALUE")]
    pub(crate) arguments: Vec<String>,

    /// Read the JSON object from a file; `-` is standard input
    #[arg(long, value_name = "PATH", conflicts_with = "arguments")]
    pub(crate) file: Option<PathBuf>,

    /// Give up waiting after this long
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) mcp: McpArgs,
}

/// Where the tools are.
#[derive(Args, Clone, Debug)]
pub(crate) struct McpArgs {
    /// MCP server to ask instead of the gateway
    #[arg(long, value_name = "URL")]
    pub(crate) mcp: Option<String>,

    #[command(flatten)]
    pub(crate) gateway: GatewayArgs,
}

/// Check a mesh file without starting anything
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Mesh file
    #[arg(short, long, value_name = "FILE", default_value = "mesh.yaml")]
    pub(crate) file: PathBuf,

    /// Only warn about what `agentmesh up` starts only with --insecure
    #[arg(long)]
    pub(crate) insecure: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    Check(WorkerCheckArgs),
}

/// Start a worker and check that it keeps to the worker protocol
///
/// What is checked is written in docs/worker-protocol.md. The worker is given real tasks: use an agent that may
/// work on `--text` several times. Its calls of tools and agents are answered with the error `unavailable`; its context has
/// a memory and no earlier tasks.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh worker check -- python -m agentmesh sales:crew
  agentmesh worker check --text \"Count slowly to five\" -- ./my-worker")]
pub(crate) struct WorkerCheckArgs {
    /// The command that starts the worker, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,

    /// What the tasks say; something that takes a second or more checks most
    #[arg(long, default_value = "Hello")]
    pub(crate) text: String,

    /// JSON file with fields for the `config` message: model, tools, agents …
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,

    /// How long the worker may take to become ready
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub(crate) start_timeout: Duration,

    /// How long a task may take
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub(crate) task_timeout: Duration,

    /// How long a canceled task may take to stop
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    pub(crate) cancel_grace: Duration,
}

/// Print the completion script of a shell
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  source <(agentmesh completions bash)
  agentmesh completions zsh > ~/.zfunc/_agentmesh")]
pub(crate) struct CompletionsArgs {
    /// Shell
    pub(crate) shell: Shell,
}

fn state(text: &str) -> Result<TaskState, String> {
    TaskState::parse(text).ok_or_else(|| {
        let names: Vec<&str> = TaskState::ALL.iter().map(|state| state.short_name()).collect();
        format!("no such state; there are {}", names.join(", "))
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write it like 500ms, 30s, 5m or 1h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write it like 500ms, 30s, 5m or 1h".to_owned())?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| "is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "5", "s", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
