//! The JSON schema of the mesh file, for editors.

use schemars::generate::SchemaSettings;
use schemars::{Schema, json_schema};
use serde_json::{Map, Value as Json, json};

use crate::model::Mesh;
use crate::section::{Section, default_node};
use crate::tree::{Node, Value};

/// The JSON schema (2020-12) of the mesh file.
#[must_use]
pub fn schema() -> Json {
    let mut root = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Mesh>();
    root.insert("title".to_owned(), json!("mesh.yaml"));
    root.to_value()
}

/// The schema of a section; `fields` has the schema of each field, and whether it may be left out without a
/// default, in the order of [`Section::FIELDS`].
pub(crate) fn section<S: Section>(about: &str, fields: Vec<(Schema, bool)>) -> Schema {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (field, (mut schema, optional)) in S::FIELDS.iter().zip(fields) {
        schema.insert("description".to_owned(), json!(field.doc.trim()));
        match field.default {
            Some(text) => {
                schema.insert("default".to_owned(), to_json(&default_node(text)));
            }
            None if !optional => required.push(field.name),
            None => {}
        }
        properties.insert(field.name.to_owned(), schema.to_value());
    }
    let mut result = json_schema!({
        "type": "object",
        "description": about.trim(),
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        result.insert("required".to_owned(), json!(required));
    }
    result
}

/// A number or other plain value, or text with a reference to it.
pub(crate) fn or_reference(schema: &Schema) -> Schema {
    json_schema!({ "anyOf": [schema, { "type": "string", "pattern": r"\$\{" }] })
}

/// A pattern that also lets text with a reference pass.
pub(crate) fn pattern(pattern: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": format!(r"{pattern}|\$\{{") })
}

fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar { text, plain: true } => {
            text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
        }
        Value::Scalar { text, plain: false } => json!(text),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.node))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_schema_has_exactly_the_fields_that_the_decoder_knows() {
        let schema = schema();
        let names = |section: &Json| -> Vec<String> {
            section["properties"].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
        };
        let mut described: BTreeMap<String, Vec<String>> = BTreeMap::new();
        described.insert("Mesh".to_owned(), names(&schema));
        for (name, section) in schema["$defs"].as_object().into_iter().flatten() {
            assert_eq!(section["additionalProperties"], json!(false), "{name}");
            described.insert(name.clone(), names(section));
        }
        let decoded: BTreeMap<String, Vec<String>> = crate::model::sections()
            .into_iter()
            .map(|(name, fields)| {
                (name.to_owned(), fields.iter().map(|field| field.name.to_owned()).collect())
            })
            .collect();
        assert_eq!(described, decoded);
    }
}
