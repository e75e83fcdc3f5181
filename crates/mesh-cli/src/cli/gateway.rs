//! Arguments of the gateway's own commands.

use clap::Args;
use std::path::PathBuf;

/// Start the gateway alone: tools, the directory, routes to agents that run elsewhere
///
/// It reads the same mesh file as `up`. The agents in it are outside: they are listed with their URLs. SIGTERM and Ctrl-C drain: open calls
/// get up to 10 s. SIGHUP reads the configuration again.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh gateway
  agentmesh gateway -f mesh.yaml --ephemeral
  agentmesh gateway -f mesh.yaml --stdio --only crm
  kill -HUP PID     reads the configuration again, like agentmesh reload")]
pub(crate) struct RunGatewayArgs {
    /// Mesh file [default: mesh.yaml if it is there, or an empty one]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Keep nothing: registrations live in memory, audit records go to the log
    #[arg(long)]
    pub(crate) ephemeral: bool,

    /// Allow listening on other than local addresses while nobody has to authenticate
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Whether upstreams are discovered in the watched directory and in files that change: true or false
    #[arg(long, value_name = "BOOL", env = "MCP_DISCOVERY_ENABLED", default_value = "true")]
    #[arg(value_parser = switch, action = clap::ArgAction::Set, hide_env_values = true)]
    pub(crate) discovery: Switch,

    /// Whether callers must prove who they are; true is refused, as long as access.auth can only be off
    #[arg(long, value_name = "BOOL", env = "AUTH_ENABLED", default_value = "false")]
    #[arg(value_parser = switch, action = clap::ArgAction::Set, hide_env_values = true)]
    pub(crate) auth: Switch,

    /// Serve one MCP client over standard input and output, as desktop clients want it; logs go to standard error, nothing is kept, and the
    /// listeners get free local ports
    #[arg(long)]
    pub(crate) stdio: bool,

    /// Upstream or toolset that the client on standard input sees [default: everything]
    #[arg(long, value_name = "NAME", requires = "stdio")]
    pub(crate) only: Option<String>,
}

/// A switch that may be left open: an empty variable is one that is not set.
pub(crate) type Switch = Option<bool>;

fn switch(text: &str) -> Result<Switch, String> {
    match text.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "true" | "1" | "yes" | "on" => Ok(Some(true)),
        "false" | "0" | "no" | "off" => Ok(Some(false)),
        _ => Err("expected true or false".to_owned()),
    }
}

/// Where the admin listener is.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AdminArgs {
    /// Base URL of the admin listener [default: admin.listen of the mesh file, or http://127.0.0.1:3004]
    #[arg(long, value_name = "URL", env = "AGENT_ADMIN_URL", hide_env = true)]
    pub(crate) admin: Option<String>,

    /// Mesh file to take its address from [default: mesh.yaml if it is there]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) mesh_file: Option<PathBuf>,
}

/// Show the gateway's upstreams: where each comes from, how many tools it has, and what is wrong with it
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  agentmesh upstreams
  agentmesh -o json upstreams | jq '.upstreams[] | select(.available | not)'")]
pub(crate) struct UpstreamsArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// Make the gateway read its configuration again: upstreams and toolsets of the mesh file and the watched directory
///
/// No call fails for it: what changed is started first, and what is gone ends after its last call. A file that is wrong changes nothing; it
/// is shown, and the exit status is 1.
#[derive(Args, Debug)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}
