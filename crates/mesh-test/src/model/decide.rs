//! Which answer the script has for a conversation.

use super::conversation::ChatRequest;
use super::script::{Persona, Script, Step};
use super::template::{Source, fill_value};
use serde_json::Value;
use std::time::Duration;

/// What the model answers.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Say(String),
    Call { name: String, arguments: String },
}

/// An answer, and how it is to be delivered.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) answer: Answer,
    pub(super) delay: Duration,
    /// Tells answers of one script apart, and nothing else.
    pub(super) id: String,
}

struct Facts<'a> {
    persona: &'a Persona,
    text: String,
    results: Vec<String>,
}

impl Source for Facts<'_> {
    fn capture(&self, name: &str) -> Result<String, String> {
        let regex = self.persona.capture.get(name).ok_or_else(|| format!("no capture `{name}`"))?;
        let found = regex.captures(&self.text).and_then(|found| found.get(1).or_else(|| found.get(0)));
        found.map(|found| found.as_str().to_owned()).ok_or_else(|| {
            format!("capture `{name}` (`{regex}`) found nothing in the text of the conversation")
        })
    }

    fn result(&self, number: usize) -> Result<&str, String> {
        let result = self.results.get(number).map(String::as_str);
        result.ok_or_else(|| format!("there is no tool result {number}"))
    }
}

/// Finds the persona and its step, and fills it in. The error is for the caller to read.
pub(super) fn decide(script: &Script, request: &ChatRequest) -> Result<Decision, String> {
    let instructions = request.instructions();
    let found = script.personas.iter().position(|p| instructions.contains(&p.matches));
    let number = found.ok_or_else(|| {
        let known: Vec<_> = script.personas.iter().map(|p| p.matches.as_str()).collect();
        let begin: String = instructions.chars().take(300).collect();
        format!("no persona of the script matches; known: {}; the request begins: {begin}", known.join(", "))
    })?;
    let persona = &script.personas[number];
    let facts = Facts { persona, text: request.text(), results: request.results() };
    let taken = facts.results.len();
    let named = |why: String| format!("persona `{}`, step {taken}: {why}", persona.matches);
    let step = persona.steps.get(taken).ok_or_else(|| {
        named(format!(
            "the script has only {} steps, but the conversation {taken} tool results",
            persona.steps.len()
        ))
    })?;
    let answer = match step {
        Step::Say(template) => Answer::Say(template.fill(&facts).map_err(named)?),
        Step::Call { name, arguments } => {
            if !request.tools().any(|tool| tool == name) {
                let offered: Vec<_> = request.tools().collect();
                return Err(named(format!(
                    "the request offers no tool `{name}`; it offers: {}",
                    if offered.is_empty() { "none".to_owned() } else { offered.join(", ") }
                )));
            }
            let filled = fill_value(&Value::Object(arguments.clone()), &facts).map_err(named)?;
            Answer::Call { name: name.clone(), arguments: filled.to_string() }
        }
    };
    Ok(Decision { answer, delay: persona.delay, id: format!("{number}-{taken}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn script() -> Script {
        Script::parse(
            r#"
personas:
  - match: "Sales"
    capture: { customer: "customer (C-[0-9]+)" }
    steps:
      - call: get_customer
        arguments: { customer_id: "{{customer}}" }
      - say: "Proposal for {{result.0./name}}"
"#,
        )
        .unwrap()
    }

    fn request(messages: serde_json::Value) -> ChatRequest {
        let tools = json!([{"type": "function", "function": {"name": "get_customer", "parameters": {}}}]);
        serde_json::from_value(json!({"model": "m", "messages": messages, "tools": tools,
            "parallel_tool_calls": false, "tool_choice": "auto"}))
        .unwrap()
    }

    #[test]
    fn the_number_of_tool_results_chooses_the_step() {
        let start = json!([
            {"role": "developer", "content": "You are a Sales person"},
            {"role": "user", "content": [{"type": "text", "text": "customer C-17, please"}]},
        ]);
        let call = decide(&script(), &request(start.clone())).unwrap().answer;
        assert_eq!(
            call,
            Answer::Call { name: "get_customer".into(), arguments: r#"{"customer_id":"C-17"}"#.into() }
        );
        let mut later = start.as_array().unwrap().clone();
        later.push(json!({"role": "assistant", "content": null, "tool_calls": []}));
        later.push(json!({"role": "tool", "tool_call_id": "x", "content": "{\"name\": \"Ada\"}"}));
        let say = decide(&script(), &request(json!(later))).unwrap().answer;
        assert_eq!(say, Answer::Say("Proposal for Ada".into()));
        later.push(json!({"role": "tool", "content": "x"}));
        assert!(decide(&script(), &request(json!(later))).unwrap_err().contains("only 2 steps"));
    }

    #[test]
    fn a_refusal_says_what_is_missing() {
        let script = script();
        let refused = |r: &ChatRequest| decide(&script, r).unwrap_err();
        assert!(refused(&request(json!([{"role": "user", "content": "hi"}]))).contains("no persona"));
        let no_customer = request(json!([{"role": "system", "content": "Sales"}]));
        assert!(refused(&no_customer).contains("capture `customer`"));
        let no_tools: ChatRequest =
            serde_json::from_value(json!({"messages": [{"role": "user", "content": "Sales"}]})).unwrap();
        assert!(refused(&no_tools).contains("offers no tool `get_customer`; it offers: none"));
    }
}
