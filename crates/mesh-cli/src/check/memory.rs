//! The memory of the contexts of a check: as much of it as a worker can see.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Bytes of a value, entries, and bytes of a key: what the `config` message says.
pub(crate) const LIMITS: (usize, usize, usize) = (64 << 10, 256, 128);

/// Entries by key, each with its version. All tasks of a check share them.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    entries: BTreeMap<String, (u64, Value)>,
    version: u64,
}

impl Memory {
    /// The reply to a call, without its id; `None` if it asks for something else.
    pub(crate) fn answer(&mut self, call: &Value) -> Option<Value> {
        if call["history"].is_object() {
            return Some(json!({ "result": { "tasks": [] } }));
        }
        let memory = call.get("memory")?;
        Some(match self.carry_out(memory) {
            Ok(result) => json!({ "result": result }),
            Err(error) => json!({ "error": error }),
        })
    }

    fn carry_out(&mut self, call: &Value) -> Result<Value, Value> {
        let error = |code: &str, message: &str| json!({ "code": code, "message": message });
        if call["op"] == "list" {
            let entries: Vec<Value> = self.entries.iter().map(|(key, entry)| shown(key, entry)).collect();
            return Ok(json!({ "entries": entries }));
        }
        let key = call["key"].as_str().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| error("invalid", "memory: `key` is missing"))?;
        if key.len() > LIMITS.2 {
            return Err(error("too_large", "the key is too long"));
        }
        let known = self.entries.get(key);
        let actual = known.map_or(0, |(version, _)| *version);
        if call["op"] == "get" {
            return known
                .map(|entry| shown(key, entry))
                .ok_or_else(|| error("not_found", "there is no such entry"));
        }
        if call["expect"].as_u64().is_some_and(|expected| expected != actual) {
            let message = format!("the entry is at version {actual}");
            return Err(json!({ "code": "conflict", "message": message, "actual": actual }));
        }
        match (call["op"].as_str(), call.get("value")) {
            (Some("put"), Some(value)) => {
                let full = known.is_none() && self.entries.len() >= LIMITS.1;
                if full || value.to_string().len() > LIMITS.0 {
                    return Err(error("too_large", "the value is too large, or there are too many"));
                }
                self.version += 1;
                self.entries.insert(key.to_owned(), (self.version, value.clone()));
                Ok(json!({ "key": key, "version": self.version }))
            }
            (Some("delete"), _) => {
                self.entries.remove(key);
                Ok(json!({ "key": key }))
            }
            _ => Err(error("invalid", "memory: `op` is get, put, delete or list, and put has a `value`")),
        }
    }
}

fn shown(key: &str, (version, value): &(u64, Value)) -> Value {
    json!({ "key": key, "value": value, "version": version, "agent": "check" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_finds_what_it_wrote_and_is_told_of_conflicts() {
        let mut memory = Memory::default();
        let mut ask = |call: Value| memory.answer(&json!({ "memory": call })).unwrap();
        assert_eq!(ask(json!({"op": "get", "key": "k"}))["error"]["code"], "not_found");
        assert_eq!(ask(json!({"op": "put", "key": "k", "value": null, "expect": 0}))["result"]["version"], 1);
        assert_eq!(ask(json!({"op": "put", "key": "k", "value": 2, "expect": 0}))["error"]["actual"], 1);
        assert_eq!(ask(json!({"op": "put", "key": "k", "value": 2}))["result"]["version"], 2);
        assert_eq!(ask(json!({"op": "get", "key": "k"}))["result"]["value"], 2);
        assert_eq!(ask(json!({"op": "list"}))["result"]["entries"][0]["version"], 2);
        assert_eq!(ask(json!({"op": "put", "key": "k"}))["error"]["code"], "invalid");
        assert_eq!(
            ask(json!({"op": "put", "key": "k".repeat(129), "value": 1}))["error"]["code"],
            "too_large"
        );
        ask(json!({"op": "delete", "key": "k"}));
        assert_eq!(ask(json!({"op": "list"}))["result"]["entries"], json!([]));
        assert_eq!(memory.answer(&json!({ "tool": "x" })), None);
    }
}
