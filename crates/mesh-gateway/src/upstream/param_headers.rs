//! `x-mcp-header`: arguments that a modern server wants mirrored in HTTP headers.

use crate::wire::header_value;
use crate::wire::object::RawObject;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// How deep annotations are looked for.
const MAX_DEPTH: usize = 8;

/// One annotated argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    path: Vec<String>,
    header: HeaderName,
}

impl ParamHeader {
    /// The argument that has the value, or has it in it.
    pub(crate) fn argument(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }
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
pub(crate) fn of_arguments(
    headers: &[ParamHeader],
    arguments: Option<&str>,
) -> Vec<(HeaderName, HeaderValue)> {
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

/// Checks that a modern client's headers say the same as its arguments; otherwise says which does not.
pub(crate) fn check(
    headers: &[ParamHeader],
    arguments: Option<&str>,
    sent: &HeaderMap,
) -> Result<(), String> {
    for wanted in headers {
        let body = arguments.and_then(|arguments| value_at(arguments, &wanted.path));
        let mut values = sent.get_all(&wanted.header).iter();
        let agrees = match (values.next(), values.next(), &body) {
            (None, _, None) => true,
            (Some(header), None, Some(body)) => {
                header_value::decode(header.as_bytes()).is_some_and(|header| same(&header, body))
            }
            _ => false,
        };
        if !agrees {
            return Err(format!("`{}` and the argument `{}` differ", wanted.header, wanted.path.join(".")));
        }
    }
    Ok(())
}

/// Numbers are compared as numbers: `42.0` is `42`.
fn same(header: &str, body: &str) -> bool {
    header == body || header.parse::<f64>().is_ok_and(|header| body.parse() == Ok(header))
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

        let sent = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            check(&headers, Some(r#"{"region":"eu","a":{"n":42}}"#), &pairs.collect())
        };
        assert!(sent(&[("mcp-param-region", "eu"), ("mcp-param-n", "42.0")]).is_ok());
        assert!(sent(&[("mcp-param-region", "=?base64?ZXU=?="), ("mcp-param-n", "42")]).is_ok());
        for (region, n) in [("us", "42"), ("eu", "43"), ("=?base64?ZXU?=", "42"), ("=?base64?Z*U=?=", "42")] {
            assert!(sent(&[("mcp-param-region", region), ("mcp-param-n", n)]).is_err(), "{region} {n}");
        }
        assert!(sent(&[("mcp-param-region", "eu")]).is_err());
        assert!(of_schema(r#"{"type":"object"}"#).is_empty());
    }
}
