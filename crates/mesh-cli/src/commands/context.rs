//! `agentmesh context`.

use crate::a2a::view;
use crate::cli::ContextArgs;
use crate::directory::{self, Agent, Directory};
use crate::exit::{ExitStatus, Failure, Outcome};
use crate::http;
use crate::output::{Ink, Printer, one_line, shorten};
use mesh_core::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// How much of a text a line shows.
const TEXT: usize = 100;
/// Pages of an agent's tasks, and of its entries, that are read at most.
const PAGES: usize = 100;

/// What is known of a context.
#[derive(Default)]
struct Found {
    /// `{agent, task}`, oldest first.
    tasks: Vec<Value>,
    /// By key and version: agents that share a store show the same ones.
    entries: BTreeMap<(String, u64), Value>,
}

/// What one agent has of it.
struct Answer {
    tasks: Vec<Value>,
    entries: Vec<Value>,
}

/// Runs the command.
pub(crate) async fn run(args: ContextArgs, printer: &Printer) -> Outcome {
    let http = http::Client::new()?;
    let agents = match &args.agent {
        Some(named) => {
            vec![(named.clone(), Ok(directory::agent(&http, &args.gateway, named).await?))]
        }
        None => Directory::read(&http, &args.gateway).await?.all().await,
    };
    let found = gather(agents, &args.id, printer).await?;
    if found.tasks.is_empty() && found.entries.is_empty() {
        return Err(Failure::not_found(format!("nothing is known of a context `{}`", args.id))
            .hint("`agentmesh tasks` shows the contexts of tasks; an agent outside the directory is named with --agent URL"));
    }
    if printer.is_json() {
        let memory: Vec<&Value> = found.entries.values().collect();
        printer.document(&json!({ "contextId": args.id, "tasks": found.tasks, "memory": memory }))?;
        return Ok(ExitStatus::Ok);
    }
    show(&args.id, &found, printer)?;
    Ok(ExitStatus::Ok)
}

/// What all of them have.
async fn gather(agents: Vec<(String, Outcome<Agent>)>, id: &str, printer: &Printer) -> Outcome<Found> {
    let mut found = Found::default();
    for (name, Answer { tasks, entries }) in
        directory::ask_all(agents, printer, async |agent| ask(agent, id).await).await?
    {
        found.tasks.extend(tasks.into_iter().map(|task| json!({ "agent": name, "task": task })));
        found.entries.extend(entries.into_iter().map(|entry| {
            let key = entry["key"].as_str().unwrap_or_default().to_owned();
            ((key, entry["version"].as_u64().unwrap_or_default()), entry)
        }));
    }
    found.tasks.sort_by_key(|entry| begun(&entry["task"]));
    Ok(found)
}

/// The agent's tasks in the context, and the context's entries if the agent shows them.
async fn ask(agent: &Agent, id: &str) -> Outcome<Answer> {
    let params = json!({ "contextId": id, "pageSize": 100, "includeArtifacts": true });
    let tasks = pages(params, "tasks", async |params| agent.client.list(params).await).await?;
    if !agent.client.card().extends(mesh_host::CONTEXT_EXTENSION) {
        return Ok(Answer { tasks, entries: Vec::new() });
    }
    let params = json!({ "contextId": id });
    let entries = pages(params, "entries", async |params| agent.client.context(params).await).await?;
    Ok(Answer { tasks, entries })
}

/// All that is listed, page by page.
async fn pages(
    mut params: Value,
    list: &str,
    read: impl AsyncFn(Value) -> Result<Value, crate::a2a::Error>,
) -> Outcome<Vec<Value>> {
    let mut all = Vec::new();
    for _ in 0..PAGES {
        let mut page = read(params.clone()).await?;
        all.extend(page[list].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page["nextPageToken"].as_str().filter(|token| !token.is_empty()) {
            Some(token) => params["pageToken"] = json!(token),
            None => break,
        }
    }
    Ok(all)
}

/// When a task was begun: our hosts' ids tell it. Of others, it is only known when they last changed.
fn begun(task: &Value) -> (u64, String) {
    let id = task["id"].as_str().unwrap_or_default();
    let of_id = uuid::Uuid::parse_str(id).ok().and_then(|id| id.get_timestamp()).map(|time| {
        let (seconds, nanos) = time.to_unix();
        seconds * 1000 + u64::from(nanos) / 1_000_000
    });
    let changed = task["status"]["timestamp"].as_str().and_then(Timestamp::parse);
    let changed = changed.map(|time| time.millis().unsigned_abs()).unwrap_or_default();
    (of_id.unwrap_or(changed), id.to_owned())
}

fn show(id: &str, found: &Found, printer: &Printer) -> Outcome<()> {
    printer.line(&format!("{}  {}", printer.ink(Ink::Dim, "context"), one_line(id)))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !found.tasks.is_empty() {
        let rows: Vec<Vec<String>> = found.tasks.iter().map(row).collect();
        printer.line("")?;
        printer.table(&["TASK", "AGENT", "STATE", "SINCE"], &rows)?;
        printer.line("")?;
        printer.table(&["WHO", "SAYS"], &said(&found.tasks))?;
    }
    if !found.entries.is_empty() {
        let rows: Vec<Vec<String>> = found
            .entries
            .values()
            .map(|entry| {
                let value = shorten(&one_line(&entry["value"].to_string()), TEXT);
                let version = entry["version"].to_string();
                vec![text(&entry["key"]), version, text(&entry["agent"]), clock(&entry["updated"]), value]
            })
            .collect();
        printer.line("")?;
        printer.table(&["KEY", "VERSION", "AGENT", "UPDATED", "VALUE"], &rows)?;
    }
    Ok(())
}

fn row(entry: &Value) -> Vec<String> {
    let task = &entry["task"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = view::state_name(task).to_owned();
    vec![text(&task["id"]), text(&entry["agent"]), state, clock(&task["status"]["timestamp"])]
}

fn clock(time: &Value) -> String {
    let time = time.as_str().and_then(Timestamp::parse).map(|time| time.to_string());
    time.map(|time| time.get(..19).unwrap_or_default().replace('T', " ")).unwrap_or_default()
}

/// Who said what, in order. An agent that gave a task to another is known by the task that it refers to.
fn said(tasks: &[Value]) -> Vec<Vec<String>> {
    let agents: HashMap<&str, &str> = tasks
        .iter()
        .filter_map(|entry| Some((entry["task"]["id"].as_str()?, entry["agent"].as_str()?)))
        .collect();
    let mut rows = Vec::new();
    for entry in tasks {
        let (task, agent) = (&entry["task"], entry["agent"].as_str().unwrap_or_default());
        let history = task["history"].as_array().into_iter().flatten();
        for message in history.chain(Some(&task["status"]["message"]).filter(|message| message.is_object())) {
            let giver = message["referenceTaskIds"]
                .as_array()
                .into_iter()
                .flatten()
                .find_map(|id| agents.get(id.as_str()?).copied().filter(|giver| *giver != agent));
            let who = match message["role"].as_str() {
                Some("ROLE_AGENT") => agent.to_owned(),
                _ => format!("{} → {agent}", giver.unwrap_or("user")),
            };
            rows.push(vec![who, shorten(&one_line(&view::for_people(message)), TEXT)]);
        }
        for artifact in task["artifacts"].as_array().into_iter().flatten() {
            let id = artifact["artifactId"].as_str().unwrap_or("artifact");
            let shown = format!("[{}] {}", one_line(id), one_line(&view::for_people(artifact)));
            rows.push(vec![agent.to_owned(), shorten(&shown, TEXT)]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_in_the_order_in_which_they_were_begun() {
        let task = |id: &str, time: &str| json!({ "id": id, "status": { "timestamp": time } });
        let mut tasks = [
            task("01930000-0000-7000-8000-000000000001", "2026-11-22T14:00:00Z"),
            task("foreign", "2024-01-01T00:00:00Z"),
            task("01920000-0000-7000-8000-000000000001", "2026-11-22T15:00:00Z"),
        ];
        tasks.sort_by_key(begun);
        let ids: Vec<_> = tasks.iter().map(|task| task["id"].as_str().unwrap().get(..4).unwrap()).collect();
        assert_eq!(ids, ["fore", "0192", "0193"]);
    }

    #[test]
    fn who_gave_a_task_is_known_by_what_it_refers_to() {
        let message = |role: &str, text: &str, of: &[&str]| json!({ "role": role, "parts": [{ "text": text }], "referenceTaskIds": of });
        let tasks = [
            json!({ "agent": "sales", "task": { "id": "1", "history": [message("ROLE_USER", "go", &[])] } }),
            json!({ "agent": "marketing", "task": {
                "id": "2", "history": [message("ROLE_USER", "figures?", &["1"])],
                "status": { "message": message("ROLE_AGENT", "here", &[]) },
                "artifacts": [{ "artifactId": "response", "parts": [{ "text": "41\n42" }] }],
            } }),
        ];
        let rows: Vec<String> = said(&tasks).iter().map(|row| row.join(": ")).collect();
        assert_eq!(
            rows,
            [
                "user → sales: go",
                "sales → marketing: figures?",
                "marketing: here",
                "marketing: [response] 41 42"
            ]
        );
    }
}
