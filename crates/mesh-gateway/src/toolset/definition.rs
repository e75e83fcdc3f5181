//! The definition of a chosen tool: its name, its texts, and the arguments that are shown. Everything else keeps its text.

use crate::wire::object::{RawObject, as_str};
use crate::wire::string;
use mesh_config::{Argument, Choice, Fill};
use serde_json::value::RawValue;

/// The definition as the toolset shows it.
pub(super) fn define(definition: &str, name: &str, choice: &Choice) -> String {
    let Ok(mut object) = RawObject::parse_lenient(definition) else { return definition.to_owned() };
    object.set("name", string(name));
    if let Some(title) = &choice.title {
        object.set("title", string(title));
    }
    if let Some(description) = &choice.description {
        object.set("description", string(description));
    }
    if !choice.arguments.is_empty()
        && let Some(schema) = object.get("inputSchema").and_then(|schema| schema_of(schema, choice))
    {
        object.set("inputSchema", schema);
    }
    object.to_text()
}

/// `inputSchema`, if it is an object.
fn schema_of(schema: &str, choice: &Choice) -> Option<String> {
    let mut schema = RawObject::parse_lenient(schema).ok()?;
    let properties = schema.get("properties").and_then(|properties| properties_of(properties, choice));
    let required = schema.get("required").and_then(|required| required_of(required, choice));
    let required = required.map(|names| (!names.is_empty()).then(|| format!("[{}]", names.join(","))));
    if let Some(properties) = properties {
        schema.set("properties", properties);
    }
    match required {
        Some(None) => drop(schema.take("required")),
        Some(Some(names)) => schema.set("required", names),
        None => {}
    }
    Some(schema.to_text())
}

fn properties_of(properties: &str, choice: &Choice) -> Option<String> {
    let mut properties = RawObject::parse_lenient(properties).ok()?;
    for (name, argument) in &choice.arguments {
        if !argument.shown {
            properties.take(name);
        } else if let Some(shown) = properties.get(name).and_then(|property| property_of(property, argument))
        {
            properties.set(name, shown);
        }
    }
    Some(properties.to_text())
}

fn property_of(property: &str, argument: &Argument) -> Option<String> {
    // `true` is a schema, too: it says nothing.
    let property = if property == "true" { "{}" } else { property };
    let mut property = RawObject::parse_lenient(property).ok()?;
    match &argument.fill {
        Fill::Fixed(value) => property.set("const", value.to_string()),
        Fill::Default(value) => property.set("default", value.to_string()),
        Fill::Caller | Fill::Never => {}
    }
    if let Some(description) = &argument.description {
        property.set("description", string(description));
    }
    Some(property.to_text())
}

/// The names that the caller must give, as they are written: not those that are filled in or kept back.
fn required_of<'a>(required: &'a str, choice: &Choice) -> Option<Vec<&'a str>> {
    let names: Vec<&RawValue> = serde_json::from_str(required).ok()?;
    let asked = |name: &&RawValue| {
        let fill = as_str(name.get()).and_then(|name| choice.arguments.get(&*name)).map(|of| &of.fill);
        fill.is_none_or(|fill| *fill == Fill::Caller)
    };
    Some(names.into_iter().filter(asked).map(RawValue::get).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolset::arguments::tests::choice;

    const DEFINITION: &str = r#"{"name":"get","description":"old","inputSchema":{"type":"object","properties":{"id":{"type":"string","x":1.0},"region":{"type":"string"},"any":true,"verbose":{"type":"boolean"}},"required":["id","region","verbose"],"additionalProperties":false},"x-big":123456789012345678901}"#;

    #[test]
    fn only_what_the_toolset_says_changes() {
        let choice = choice(
            r#"title: T, description: New, arguments: { region: { value: eu }, any: { default: [1], description: Any }, verbose: { value: true, hide: false }, id: { description: Which } }"#,
        );
        assert_eq!(
            define(DEFINITION, "lookup", &choice),
            r#"{"name":"lookup","description":"New","inputSchema":{"type":"object","properties":{"id":{"type":"string","x":1.0,"description":"Which"},"any":{"default":[1],"description":"Any"},"verbose":{"type":"boolean","const":true}},"required":["id"],"additionalProperties":false},"x-big":123456789012345678901,"title":"T"}"#
        );
    }

    #[test]
    fn a_list_of_required_arguments_that_becomes_empty_goes() {
        let choice = choice("arguments: { a: { hide: true } }");
        let definition = r#"{"name":"x","inputSchema":{"properties":{"a":{}},"required":["a"]}}"#;
        assert_eq!(define(definition, "x", &choice), r#"{"name":"x","inputSchema":{"properties":{}}}"#);
        let odd = r#"{"name":"x","inputSchema":true}"#;
        assert_eq!(define(odd, "y", &choice), r#"{"name":"y","inputSchema":true}"#);
    }
}
