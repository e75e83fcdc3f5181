//! A client of MCP over Streamable HTTP, in the modern revision and the ones before it.

mod arguments;
mod client;
mod search;

pub(crate) use arguments::{from_json, from_pairs};
pub(crate) use client::{Client, ToolList};
pub(crate) use search::ranked;

use crate::cli::McpArgs;
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::{http, target};

/// The stateless revision.
const MODERN: &str = "2026-07-28";
/// The last revision with sessions.
const LEGACY: &str = "2025-11-25";
/// The revisions spoken, newest first.
pub(crate) const VERSIONS: [&str; 4] = [MODERN, LEGACY, "2025-06-18", "2025-03-26"];

/// Connects to the server that the arguments name: the gateway, unless another is given.
pub(crate) async fn connect(args: &McpArgs) -> Outcome<Client> {
    let http = http::Client::new()?;
    match &args.mcp {
        Some(url) => {
            http::parse_url(url).map_err(Failure::usage)?;
            Client::connect(http, url.clone()).await
        }
        None => {
            let gateway = target::gateway(&args.gateway)?;
            Client::connect(http, format!("{gateway}/mcp")).await.map_err(|failure| match failure.hint {
                None if failure.status == ExitStatus::Unreachable => {
                    failure.hint(target::advice(&args.gateway, "or name an MCP server with --mcp URL"))
                }
                _ => failure,
            })
        }
    }
}
