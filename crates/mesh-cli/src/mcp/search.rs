//! Finding tools by words.

use serde_json::Value;
use std::cmp::Reverse;

/// The tools that have to do with `words`, best first. A word in the name counts most, then in the title and the
/// names of the arguments, then in the descriptions.
pub(crate) fn ranked(tools: Vec<Value>, words: &str) -> Vec<Value> {
    let words: Vec<String> = split(words).collect();
    let mut found: Vec<(u32, Value)> = tools
        .into_iter()
        .filter_map(|tool| {
            let score = score(&tool, &words);
            (score > 0).then_some((score, tool))
        })
        .collect();
    found.sort_by_key(|(score, _)| Reverse(*score));
    found.into_iter().map(|(_, tool)| tool).collect()
}

fn score(tool: &Value, words: &[String]) -> u32 {
    let arguments = tool["inputSchema"]["properties"].as_object();
    let names: Vec<&str> = arguments.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let fields = [
        (8, tool["name"].as_str().unwrap_or_default().to_owned()),
        (4, format!("{} {}", tool["title"].as_str().unwrap_or_default(), names.join(" "))),
        (2, tool["description"].as_str().unwrap_or_default().to_owned()),
    ];
    let mut total = 0;
    for word in words {
        for (weight, text) in &fields {
            total += split(text)
                .map(|candidate| match candidate {
                    same if same == *word => 2 * weight,
                    longer if longer.starts_with(word.as_str()) => *weight,
                    _ => 0,
                })
                .max()
                .unwrap_or_default();
        }
    }
    total
}

fn split(text: &str) -> impl Iterator<Item = String> {
    text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_word_in_the_name_counts_more_than_one_in_the_description() {
        let tools = vec![
            json!({"name": "crm/list", "description": "all customers"}),
            json!({"name": "crm/get_customer", "description": "one row"}),
            json!({"name": "weather", "description": "rain"}),
            json!({"name": "crm/find", "inputSchema": {"properties": {"customer_id": {}}}}),
        ];
        let names: Vec<Value> =
            ranked(tools, "Customer").into_iter().map(|mut tool| tool["name"].take()).collect();
        assert_eq!(names, ["crm/get_customer", "crm/find", "crm/list"]);
    }
}
