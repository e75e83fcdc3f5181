//! Sends many cases and counts.

use super::cases::{Case, Cases, Demand, Kind, Site};
use super::exchange::{Answer, exchange};
use super::http::request;
use super::judge::judge;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// An answer that must not be.
#[derive(Clone, Debug, Serialize)]
pub struct Violation {
    /// The case's number; with the seed it can be sent again.
    pub number: u64,
    /// What was wrong with the request.
    pub case: &'static str,
    /// What is wrong with the answer.
    pub why: String,
    /// How the request begins.
    pub request: String,
}

/// What a run found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Requests sent.
    pub count: u64,
    /// Answers by status; `closed` and `none` where there was none.
    pub by_status: BTreeMap<String, u64>,
    /// Answers that must not be.
    pub violations: Vec<Violation>,
}

/// Sends the first `count` cases of a seed, and then one to see that the server still answers.
pub async fn run(mut site: Site, seed: u64, count: u64, patience: Duration) -> Report {
    if site.kind == Kind::Mcp
        && let Some(session) = mcp_session(&site, patience).await
    {
        site.headers.push(format!("Mcp-Session-Id: {session}"));
        site.headers.push("MCP-Protocol-Version: 2025-11-25".to_owned());
    }
    let authority = site.authority.clone();
    let mut cases = Cases::new(site, seed);
    let mut report = Report::default();
    for case in cases.by_ref().take(count as usize) {
        report.take(&authority, &case, patience).await;
    }
    let last = Case { number: count + 1, ..cases.closing() };
    report.take(&authority, &last, patience).await;
    report
}

impl Report {
    async fn take(&mut self, authority: &str, case: &Case, patience: Duration) {
        self.count += 1;
        let (status, verdict) = match exchange(authority, case, patience).await {
            Ok(answer) => (status_name(&answer), judge(case, &answer)),
            Err(error) => ("refused".to_owned(), Err(format!("no connection: {error}"))),
        };
        *self.by_status.entry(status).or_default() += 1;
        if let Err(why) = verdict {
            let request = String::from_utf8_lossy(&case.wire).chars().take(300).collect();
            self.violations.push(Violation { number: case.number, case: case.name, why, request });
        }
    }
}

fn status_name(answer: &Answer) -> String {
    match answer {
        Answer::Http { status, .. } => status.to_string(),
        Answer::Closed => "closed".to_owned(),
        Answer::Nothing => "none".to_owned(),
    }
}

/// A session, so that what needs one is reached; servers without sessions give none.
async fn mcp_session(site: &Site, patience: Duration) -> Option<String> {
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "rubbish", "version": "1"},
    }});
    let mut headers = site.headers.clone();
    headers.push("Content-Type: application/json".to_owned());
    headers.push("Accept: application/json, text/event-stream".to_owned());
    let wire = request("POST", &site.path, &site.authority, &headers, body.to_string().as_bytes());
    let case = Case { number: 0, name: "initialize", wire, complete: true, demand: Demand::JsonRpc };
    match exchange(&site.authority, &case, patience).await.ok()? {
        Answer::Http { headers, .. } => {
            headers.into_iter().find(|(name, _)| name == "mcp-session-id").map(|(_, value)| value)
        }
        _ => None,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests, {} violations; answers:", self.count, self.violations.len())?;
        self.by_status.iter().try_for_each(|(status, count)| write!(f, " {status}={count}"))?;
        for violation in self.violations.iter().take(10) {
            let Violation { number, case, why, request } = violation;
            write!(f, "\ncase {number} ({case}): {why}\n  sent: {request:?}")?;
        }
        Ok(())
    }
}
