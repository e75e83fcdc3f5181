//! `x-mcp-header`: arguments that a modern server wants mirrored in HTTP headers.

use crate::wire::header_value;
use crate::wire::object::RawObject;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// How deep annotations are looked for.
const MAX_DEPTH: usize = 8;

/// One annotated argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    path: Vec<String>,
    header: HeaderName,
}

/// The annotations of a tool's `inputSchema`.
pub(crate) fn of_schema(schema: &str) -> Vec<ParamHeader> {
    let mut found = Vec::new();
    if schema.contains("x-mcp-header")
        && let Ok(Value::Object(schema)) = serde_json::from_str(schema)
    {
        collect(&schema, &mut Vec::new(), &mut found);
    }
    found
}

fn collect(schema: &Map<String, Value>, path: &mut Vec<String>, found: &mut Vec<ParamHeader>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if path.len() == MAX_DEPTH {
        return;
    }
    for (name, property) in properties {
        let Some(property) = property.as_object() else { continue };
        path.push(name.clone());
        if let Some(suffix) = property.get("x-mcp-header").and_then(Value::as_str)
            && let Ok(header) = HeaderName::try_from(format!("mcp-param-{suffix}"))
        {
            found.push(ParamHeader { path: path.clone(), header });
        }
        collect(property, path, found);
        path.pop();
    }
}

/// The headers for these arguments.
pub(crate) fn of_arguments(headers: &[ParamHeader], arguments: Option<&str>) -> Vec<(HeaderName, HeaderValue)> {
    let Some(arguments) = arguments else { return Vec::new() };
    headers
        .iter()
        .filter_map(|wanted| {
            let text = value_at(arguments, &wanted.path)?;
            let value = HeaderValue::from_str(&header_value::encode(&text)).ok()?;
            Some((wanted.header.clone(), value))
        })
        .collect()
}

fn value_at(json: &str, path: &[String]) -> Option<String> {
    let Some((first, rest)) = path.split_first() else {
        return match serde_json::from_str(json).ok()? {
            Value::String(text) => Some(text),
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(_) => Some(json.to_owned()),
            _ => None,
        };
    };
    value_at(RawObject::parse_lenient(json).ok()?.get(first)?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotated_arguments_become_headers() {
        let schema = r#"{"type":"object","properties":{
            "region":{"type":"string","x-mcp-header":"Region"},
            "a":{"type":"object","properties":{"n":{"type":"integer","x-mcp-header":"N"}}},
            "plain":{"type":"string"}}}"#;
        let headers = of_schema(schema);
        let values = of_arguments(&headers, Some(r#"{"region":"é","a":{"n":42},"plain":"p"}"#));
        let values: Vec<_> = values.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(values, [("mcp-param-region", "=?base64?w6k=?="), ("mcp-param-n", "42")]);
        assert!(of_arguments(&headers, Some(r#"{"region":null}"#)).is_empty());
        assert!(of_schema(r#"{"type":"object"}"#).is_empty());
    }
}
