//! What the mesh file says about the tools of an upstream: which there are, and what they are.

use crate::upstream::catalog::ToolSet;
use crate::wire::object::RawObject;
use crate::wire::string;
use mesh_config::{Selection, ToolRule};

/// The tools that there are, with what is said about them in their definitions. A tool that nothing is said of keeps its text.
pub(crate) fn select(upstream: &str, tools: ToolSet, selection: &Selection) -> ToolSet {
    if selection.is_empty() {
        return tools;
    }
    let definitions: Vec<String> = tools
        .iter()
        .filter(|tool| selection.admits(&tool.name))
        .map(|tool| describe(&tool.definition, &selection.rule(&tool.name)))
        .collect();
    ToolSet::read(upstream, definitions.iter().map(String::as_str))
}

/// A definition with what is said about the tool: its description, `annotations.readOnlyHint` and `idempotentHint`, and category and tags
/// in `_meta`.
fn describe(definition: &str, rule: &ToolRule) -> String {
    let Ok(mut object) = RawObject::parse_lenient(definition) else { return definition.to_owned() };
    let mut changed = false;
    if let Some(description) = &rule.description {
        object.set("description", string(description));
        changed = true;
    }
    let hints = [("readOnlyHint", rule.read_only), ("idempotentHint", rule.idempotent)];
    let hints: Vec<_> =
        hints.into_iter().filter_map(|(name, hint)| Some((name, hint?.to_string()))).collect();
    let category = rule.category.as_ref().map(|category| ("agentmesh/category", string(category)));
    let tags = rule.tags.as_ref().map(|tags| ("agentmesh/tags", serde_json::json!(tags).to_string()));
    for (member, said) in [("annotations", hints), ("_meta", category.into_iter().chain(tags).collect())] {
        if said.is_empty() {
            continue;
        }
        let mut inner =
            object.get(member).and_then(|text| RawObject::parse_lenient(text).ok()).unwrap_or_default();
        for (name, value) in said {
            inner.set(name, value);
        }
        let inner = inner.to_text();
        object.set(member, inner);
        changed = true;
    }
    if changed { object.to_text() } else { definition.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(text: &str) -> Selection {
        let text = format!("tools: {{ crm: {{ url: \"http://x\", {text} }} }}");
        let options = mesh_config::LoadOptions::new(&|_| None);
        mesh_config::parse(&text, "mesh.yaml", &options).unwrap().tools["crm"].selection.clone()
    }

    #[test]
    fn excluded_tools_are_gone_and_others_say_what_the_file_says() {
        let selection = selection(
            r#"exclude: [drop_*], tools: { "get_*": { category: people, tags: [a, b], read_only: true }, put: { description: New, idempotent: false } }"#,
        );
        let definitions = [
            r#"{"name":"drop_all"}"#,
            r#"{"name":"get_x","annotations":{"title" : "T","readOnlyHint":false},"n":1.0}"#,
            r#"{"name":"put","description":"old"}"#,
            r#"{ "name":"other" ,"n":1.0}"#,
        ];
        let tools = select("crm", ToolSet::read("crm", definitions), &selection);
        let definitions: Vec<_> = tools.iter().map(|tool| &*tool.definition).collect();
        assert_eq!(
            definitions,
            [
                r#"{"name":"get_x","annotations":{"title":"T","readOnlyHint":true},"n":1.0,"_meta":{"agentmesh/category":"people","agentmesh/tags":["a","b"]}}"#,
                r#"{"name":"put","description":"New","annotations":{"idempotentHint":false}}"#,
                r#"{ "name":"other" ,"n":1.0}"#,
            ]
        );
        assert!(!tools.by_name("other").unwrap().federated_definition.is_empty());
    }
}
