//! The script file.

use super::template::Template;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// A checked script.
#[derive(Clone, Debug)]
pub struct Script {
    /// In the order of the file; the first that matches answers.
    pub personas: Vec<Persona>,
}

/// One of the characters that the model plays.
#[derive(Clone, Debug)]
pub struct Persona {
    /// Found in the text of a system, developer or user message.
    pub matches: String,
    /// What templates may refer to by name.
    pub capture: BTreeMap<String, Regex>,
    /// Pause between the pieces of a stream.
    pub delay: Duration,
    /// By number of tool results.
    pub steps: Vec<Step>,
}

/// One answer of the model.
#[derive(Clone, Debug)]
pub enum Step {
    /// Calls a tool.
    Call {
        /// Its name, as the request's `tools` have it.
        name: String,
        /// Strings in it are templates.
        arguments: Map<String, Value>,
    },
    /// Says something.
    Say(Template),
}

/// Why a script is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ScriptError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    personas: Vec<PersonaEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonaEntry {
    #[serde(rename = "match")]
    matches: String,
    #[serde(default)]
    capture: BTreeMap<String, String>,
    #[serde(default)]
    delay_ms: u64,
    steps: Vec<StepEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepEntry {
    call: Option<String>,
    arguments: Option<Map<String, Value>>,
    say: Option<String>,
}

impl Script {
    /// Reads a script and checks everything that can be checked without a conversation.
    ///
    /// # Errors
    /// What is wrong, and in which persona and step.
    pub fn parse(yaml: &str) -> Result<Self, ScriptError> {
        let file: ScriptFile = serde_saphyr::from_str(yaml).map_err(|e| ScriptError(e.to_string()))?;
        let personas: Result<Vec<_>, String> = file
            .personas
            .into_iter()
            .map(|entry| {
                let name = entry.matches.clone();
                Persona::check(entry).map_err(|why| format!("persona `{name}`: {why}"))
            })
            .collect();
        Ok(Self { personas: personas.map_err(ScriptError)? })
    }
}

impl Persona {
    fn check(entry: PersonaEntry) -> Result<Self, String> {
        let capture: Result<BTreeMap<_, _>, String> = entry
            .capture
            .into_iter()
            .map(|(name, pattern)| match Regex::new(&pattern) {
                Ok(regex) => Ok((name, regex)),
                Err(error) => Err(format!("capture `{name}`: {error}")),
            })
            .collect();
        let capture = capture?;
        let steps: Result<Vec<_>, String> = entry
            .steps
            .into_iter()
            .enumerate()
            .map(|(n, step)| Step::check(step, n, &capture).map_err(|why| format!("step {n}: {why}")))
            .collect();
        let delay = Duration::from_millis(entry.delay_ms);
        Ok(Self { matches: entry.matches, capture, delay, steps: steps? })
    }
}

impl Step {
    fn check(entry: StepEntry, number: usize, capture: &BTreeMap<String, Regex>) -> Result<Self, String> {
        let check = |text: &str| -> Result<Template, String> {
            let template = Template::parse(text)?;
            template.check(number, &|name| capture.contains_key(name))?;
            Ok(template)
        };
        match (entry.call, entry.say) {
            (Some(name), None) => {
                let arguments = entry.arguments.unwrap_or_default();
                let mut texts = Vec::new();
                arguments.values().for_each(|value| strings(value, &mut texts));
                texts.into_iter().try_for_each(|text| check(text).map(|_| ()))?;
                Ok(Self::Call { name, arguments })
            }
            (None, Some(_)) if entry.arguments.is_some() => Err("`arguments` belong to `call`".to_owned()),
            (None, Some(text)) => Ok(Self::Say(check(&text)?)),
            _ => Err("a step has either `call` or `say`".to_owned()),
        }
    }
}

fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named_with_persona_and_step() {
        for (yaml, expected) in [
            ("personas: [{match: a, steps: [{say: x, call: y}]}]", "persona `a`: step 0: a step has either"),
            ("personas: [{match: a, steps: [{say: '{{b}}'}]}]", "step 0: `{{b}}` is neither a capture"),
            (
                "personas: [{match: a, steps: [{say: '{{result.0}}'}]}]",
                "step 0: `{{result.0}}` does not exist",
            ),
            ("personas: [{match: a, capture: {x: '('}, steps: []}]", "capture `x`"),
            ("personas: [{match: a, steps: [{say: x, arguments: {}}]}]", "`arguments` belong to `call`"),
            ("personas: [{match: a, stepz: []}]", "stepz"),
        ] {
            let error = Script::parse(yaml).unwrap_err().to_string();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }
}
