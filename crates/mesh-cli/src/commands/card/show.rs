//! `agentmesh card show`.

use crate::cli::CardShowArgs;
use crate::exit::{ExitStatus, Outcome};
use crate::output::{Printer, clean, one_line};
use crate::{directory, http};
use serde_json::Value;

/// Runs the command.
pub(crate) async fn run(args: CardShowArgs, printer: &Printer) -> Outcome {
    let http = http::Client::new()?;
    let (_, card) = directory::card(&http, &args.gateway, &args.agent).await?;
    if printer.is_json() {
        printer.document(&card)?;
        return Ok(ExitStatus::Ok);
    }
    let text = |value: &Value| one_line(value.as_str().unwrap_or_default());
    printer.line(&format!("{}  {}", text(&card["name"]), text(&card["version"])))?;
    let description = clean(card["description"].as_str().unwrap_or_default()).into_owned();
    if !description.is_empty() {
        printer.line(&description)?;
    }
    for (title, rows) in [("interfaces", interfaces(&card)), ("skills", skills(&card)), ("says", says(&card))]
    {
        for (at, row) in rows.iter().enumerate() {
            printer.line(&format!("{:<12}{row}", if at == 0 { title } else { "" }))?;
        }
    }
    printer.line(&format!("{:<12}{}", "signatures", signatures(&card)))?;
    Ok(ExitStatus::Ok)
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn interfaces(card: &Value) -> Vec<String> {
    let text = |value: &Value| one_line(value.as_str().unwrap_or("?"));
    let row = |interface: &Value| {
        let (binding, version) = (text(&interface["protocolBinding"]), text(&interface["protocolVersion"]));
        format!("{:<14} {}", format!("{binding} {version}"), text(&interface["url"]))
    };
    items(&card["supportedInterfaces"]).iter().map(row).collect()
}

fn skills(card: &Value) -> Vec<String> {
    let text = |value: &Value| one_line(value.as_str().unwrap_or_default());
    let row = |skill: &Value| format!("{:<14} {}", text(&skill["id"]), text(&skill["description"]));
    items(&card["skills"]).iter().map(|skill| row(skill).trim_end().to_owned()).collect()
}

/// What the agent can do besides, and the extensions it knows.
fn says(card: &Value) -> Vec<String> {
    let capabilities = &card["capabilities"];
    let names = ["streaming", "pushNotifications", "extendedAgentCard"];
    let on: Vec<&str> = names.into_iter().filter(|name| capabilities[name].as_bool() == Some(true)).collect();
    let extension = |extension: &Value| {
        let required = if extension["required"].as_bool() == Some(true) { " (required)" } else { "" };
        format!("{}{required}", one_line(extension["uri"].as_str().unwrap_or_default()))
    };
    let capabilities = (!on.is_empty()).then(|| on.join(", "));
    capabilities.into_iter().chain(items(&card["capabilities"]["extensions"]).iter().map(extension)).collect()
}

fn signatures(card: &Value) -> String {
    let found = mesh_card::signatures(card);
    if found.is_empty() {
        return "none".to_owned();
    }
    let mut names: Vec<String> = Vec::new();
    for claimed in found {
        let name = claimed.map_or_else(
            |refused| one_line(&refused.to_string()),
            |claimed| format!("{} by key {}", claimed.alg, one_line(&claimed.kid)),
        );
        if !names.contains(&name) {
            names.push(name);
        }
    }
    format!("{} (not checked; see `agentmesh card verify`)", names.join(", "))
}
