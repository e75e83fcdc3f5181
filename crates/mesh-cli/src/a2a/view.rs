//! What can be read from messages, artifacts and tasks, whatever a server leaves out.

use base64::Engine as _;
use mesh_core::model::TaskState;
use serde_json::Value;

/// The parts of a message or artifact.
pub(crate) fn parts(of: &Value) -> &[Value] {
    of["parts"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The text parts, joined.
pub(crate) fn text(of: &Value) -> String {
    parts(of).iter().filter_map(|part| part["text"].as_str()).collect()
}

/// The state in a task or status update; `None` if it is unknown.
pub(crate) fn state(of: &Value) -> Option<TaskState> {
    of["status"]["state"].as_str().and_then(TaskState::parse)
}

/// The name of the state, also of one we do not know.
pub(crate) fn state_name(of: &Value) -> &str {
    match state(of) {
        Some(state) => state.short_name(),
        None => of["status"]["state"].as_str().unwrap_or("unknown"),
    }
}

/// What the agent says about the state.
pub(crate) fn status_text(of: &Value) -> String {
    text(&of["status"]["message"])
}

/// The time of the state, `14:02:11.123`, in UTC.
pub(crate) fn status_clock(of: &Value) -> String {
    status_time(of).map(|time| time.get(11..23).unwrap_or_default().to_owned()).unwrap_or_default()
}

/// The time of the state as RFC 3339 in UTC.
pub(crate) fn status_time(of: &Value) -> Option<String> {
    of["status"]["timestamp"].as_str().and_then(mesh_core::Timestamp::parse).map(|time| time.to_string())
}

/// The push notification configurations of a task that were given up, as our extension tells of them.
pub(crate) fn given_up(task: &Value) -> &[Value] {
    task["metadata"][mesh_host::PUSH_STATE_EXTENSION]["givenUp"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// A part for people. Text is itself; anything else is described or laid out.
pub(crate) fn part_for_people(part: &Value) -> String {
    if let Some(text) = part["text"].as_str() {
        return text.to_owned();
    }
    let name = part["filename"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
    let media_type = part["mediaType"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
    if let Some(raw) = part["raw"].as_str() {
        return format!("[file{name}{media_type} {} bytes]", decoded_length(raw));
    }
    if let Some(url) = part["url"].as_str() {
        return format!("[file{name}{media_type} at {url}]");
    }
    match part.get("data") {
        Some(data) => serde_json::to_string_pretty(data).unwrap_or_default(),
        None => "[part of an unknown kind]".to_owned(),
    }
}

/// All parts for people; pieces of one text stay together, everything else gets lines of its own.
pub(crate) fn for_people(of: &Value) -> String {
    let mut shown = String::new();
    let mut after_text = true;
    for part in parts(of) {
        let is_text = part["text"].is_string();
        if !(is_text && after_text || shown.is_empty() || shown.ends_with('\n')) {
            shown.push('\n');
        }
        shown.push_str(&part_for_people(part));
        after_text = is_text;
    }
    shown
}

fn decoded_length(raw: &str) -> usize {
    base64::engine::general_purpose::STANDARD
        .decode(raw)
        .map_or_else(|_| raw.trim_end_matches('=').len() * 3 / 4, |bytes| bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pieces_of_text_stay_together_and_files_get_their_own_line() {
        let artifact = json!({"parts": [
            {"text": "a"}, {"text": "b"}, {"raw": "aGkh", "filename": "x.txt", "mediaType": "text/plain"},
            {"data": {"k": 1}}, {"text": "c"}, {"url": "http://h/f"}, {"future": 1},
        ]});
        assert_eq!(
            for_people(&artifact),
            "ab\n[file x.txt text/plain 3 bytes]\n{\n  \"k\": 1\n}\nc\n[file at http://h/f]\n[part of an unknown kind]"
        );
    }

    #[test]
    fn what_is_missing_is_no_error() {
        let empty = json!({});
        assert_eq!(state(&empty), None);
        assert_eq!(state_name(&empty), "unknown");
        assert_eq!(status_clock(&empty), "");
        let status =
            json!({"status": {"state": "TASK_STATE_WORKING", "timestamp": "2026-11-22T14:02:11.123Z"}});
        assert_eq!((state_name(&status), status_clock(&status).as_str()), ("working", "14:02:11.123"));
        assert_eq!(state_name(&json!({"status": {"state": "TASK_STATE_NEW"}})), "TASK_STATE_NEW");
    }
}
