//! `agentmesh tasks`.

use crate::a2a::view;
use crate::cli::TasksArgs;
use crate::directory::{self, Agent, Directory};
use crate::exit::{ExitStatus, Outcome};
use crate::http;
use crate::output::{Printer, shorten};
use serde_json::{Value, json};
use std::cmp::Reverse;

/// How much of a status text a line shows.
const STATUS_TEXT: usize = 50;

/// Runs the command.
pub(crate) async fn run(args: TasksArgs, printer: &Printer) -> Outcome {
    let http = http::Client::new()?;
    let params = params(&args);
    let list = match &args.agent {
        Some(named) => of_one(&directory::agent(&http, &args.gateway, named).await?, &params).await?,
        None => of_all(&Directory::read(&http, &args.gateway).await?, &params, &args, printer).await?,
    };
    if printer.is_json() {
        printer.document(&list)?;
        return Ok(ExitStatus::Ok);
    }
    let tasks = list["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if tasks.is_empty() {
        printer.note("no tasks");
        return Ok(ExitStatus::Ok);
    }
    // A column that is nearly always empty is there when it is not.
    let push = tasks.iter().any(|entry| !view::given_up(&entry["task"]).is_empty());
    let rows: Vec<Vec<String>> = tasks.iter().map(|entry| row(entry, push)).collect();
    let mut heading = vec!["TASK", "AGENT", "STATE", "SINCE", "CONTEXT", "PUSH", "SAYS"];
    heading.retain(|name| push || *name != "PUSH");
    printer.table(&heading, &rows)?;
    if push {
        printer.note("push notifications were given up: `agentmesh task ID` says why, `agentmesh push retry ID` tries again");
    }
    if let (Some(agent), Some(token)) = (&args.agent, next_page(&list)) {
        printer.note(&format!("more: agentmesh tasks {agent} --page-token {token}"));
    }
    Ok(ExitStatus::Ok)
}

fn params(args: &TasksArgs) -> Value {
    let mut params = json!({ "pageSize": args.limit });
    if let Some(state) = args.state {
        params["status"] = json!(state);
    }
    if let Some(context) = &args.context {
        params["contextId"] = json!(context);
    }
    if let Some(token) = &args.page_token {
        params["pageToken"] = json!(token);
    }
    params
}

async fn of_one(agent: &Agent, params: &Value) -> Outcome<Value> {
    let mut list = agent.client.list(params.clone()).await?;
    let tasks = list["tasks"].as_array_mut().map(std::mem::take).unwrap_or_default();
    list["tasks"] = tasks.into_iter().map(|task| json!({ "agent": agent.name, "task": task })).collect();
    Ok(list)
}

/// The lists of all agents as one.
async fn of_all(
    directory: &Directory,
    params: &Value,
    args: &TasksArgs,
    printer: &Printer,
) -> Outcome<Value> {
    let lists =
        directory::ask_all(directory.all().await, printer, async |agent| of_one(agent, params).await).await?;
    let mut tasks: Vec<Value> = lists
        .into_iter()
        .flat_map(|(_, mut list)| list["tasks"].as_array_mut().map(std::mem::take).unwrap_or_default())
        .collect();
    tasks.sort_by_key(|entry| Reverse(view::status_time(&entry["task"])));
    tasks.truncate(usize::from(args.limit));
    Ok(json!({ "tasks": tasks }))
}

fn next_page(list: &Value) -> Option<&str> {
    list["nextPageToken"].as_str().filter(|token| !token.is_empty())
}

fn row(entry: &Value, push: bool) -> Vec<String> {
    let task = &entry["task"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let since = view::status_time(task).map(|time| time.get(..19).unwrap_or_default().replace('T', " "));
    let given_up = match view::given_up(task).len() {
        0 => String::new(),
        count => format!("{count} given up"),
    };
    let mut row = vec![
        text(&task["id"]),
        text(&entry["agent"]),
        view::state_name(task).to_owned(),
        since.unwrap_or_default(),
        text(&task["contextId"]),
        shorten(&crate::output::one_line(&view::status_text(task)), STATUS_TEXT),
    ];
    if push {
        row.insert(row.len() - 1, given_up);
    }
    row
}
