//! Arguments of a tool, as a person writes them.

use crate::directory::nearest;
use crate::exit::{Failure, Outcome};
use serde_json::{Map, Value};

/// The most `$ref`s that are followed from one place.
const MAX_REFS: usize = 16;

/// Arguments written as one JSON object.
pub(crate) fn from_json(text: &str) -> Outcome<Value> {
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => {
            Err(Failure::usage("the arguments of a tool are a JSON object, like '{\"key\": \"value\"}'"))
        }
        Err(error) => Err(Failure::usage(format!("the arguments are not JSON: {error}"))),
    }
}

/// Arguments written as `key=value`, typed by the tool's input schema.
pub(crate) fn from_pairs(pairs: &[String], schema: &Value) -> Outcome<Value> {
    let mut arguments = Map::new();
    for pair in pairs {
        let Some((key, text)) = pair.split_once('=') else {
            return Err(Failure::usage(format!("`{pair}` is not of the form key=value"))
                .hint("all arguments together can also be one JSON object"));
        };
        let value = typed(key, text, schema)?;
        if arguments.insert(key.to_owned(), value).is_some() {
            return Err(Failure::usage(format!("`{key}` is given twice")));
        }
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing: Vec<&str> = required.filter(|name| !arguments.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(Failure::usage(format!("missing arguments: {}", missing.join(", "))));
    }
    Ok(Value::Object(arguments))
}

fn typed(key: &str, text: &str, schema: &Value) -> Outcome<Value> {
    let Some(property) = schema["properties"].get(key) else {
        if schema["additionalProperties"] == Value::Bool(false) {
            let failure = Failure::usage(format!("the tool has no argument `{key}`"));
            let names = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
            return Err(match nearest(key, names.clone()) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint(format!("it has: {}", names.collect::<Vec<_>>().join(", "))),
            });
        }
        return Ok(guess(text));
    };
    let mut types = Vec::new();
    collect_types(property, schema, &mut types, MAX_REFS);
    if types.is_empty() {
        return Ok(guess(text));
    }
    let fits = |value: &Value| types.iter().any(|name| is_of(value, name));
    match serde_json::from_str::<Value>(text) {
        // `key="12"` is text even where a number would do.
        Ok(value) if !value.is_string() && fits(&value) => Ok(value),
        Ok(value @ Value::String(_)) if fits(&value) && types.len() > 1 => Ok(value),
        _ if types.contains(&"string") => Ok(Value::String(text.to_owned())),
        _ => Err(Failure::usage(format!("`{key}` must be {}, not `{text}`", types.join(" or ")))),
    }
}

/// The types that a schema allows; none if it does not say.
fn collect_types<'a>(of: &'a Value, root: &'a Value, types: &mut Vec<&'a str>, refs: usize) {
    let listed = of["type"].as_array().into_iter().flatten().chain([&of["type"]]);
    types.extend(listed.filter_map(Value::as_str));
    for choice in ["anyOf", "oneOf"].into_iter().filter_map(|name| of[name].as_array()).flatten() {
        if let Some(left) = refs.checked_sub(1) {
            collect_types(choice, root, types, left);
        }
    }
    for value in of["enum"].as_array().into_iter().flatten().chain(of.get("const")) {
        types.push(type_name(value));
    }
    let target =
        of["$ref"].as_str().and_then(|path| path.strip_prefix('#')).and_then(|path| root.pointer(path));
    if let (Some(target), Some(left)) = (target, refs.checked_sub(1)) {
        collect_types(target, root, types, left);
    }
    types.dedup();
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    type_name(value) == name || (name == "number" && value.is_number())
}

/// Without a schema: JSON if it is a number, truth value, null, list or object; text otherwise.
fn guess(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::String(_)) | Err(_) => Value::String(text.to_owned()),
        Ok(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pairs(all: &[&str], schema: &Value) -> Outcome<Value> {
        from_pairs(&all.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>(), schema)
    }

    #[test]
    fn values_take_the_type_that_the_schema_says() {
        let schema = json!({
            "properties": {
                "id": {"type": "string"}, "days": {"type": "integer"}, "ratio": {"type": "number"},
                "all": {"type": "boolean"}, "tags": {"type": "array"}, "max": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "unit": {"$ref": "#/$defs/unit"},
            },
            "$defs": {"unit": {"enum": ["day", "week"]}},
        });
        let given =
            ["id=42", "days=30", "ratio=1", "all=true", "tags=[\"a\"]", "max=null", "unit=day", "free=1=2"];
        assert_eq!(
            pairs(&given, &schema).unwrap(),
            json!({"id": "42", "days": 30, "ratio": 1, "all": true, "tags": ["a"], "max": null, "unit": "day", "free": "1=2"})
        );
    }

    #[test]
    fn wrong_arguments_are_refused_before_the_call() {
        let schema = json!({
            "properties": {"days": {"type": "integer"}}, "required": ["days"], "additionalProperties": false,
        });
        let message = |all: &[&str]| {
            let failure = pairs(all, &schema).unwrap_err();
            format!("{failure}|{}", failure.hint.as_deref().unwrap_or_default())
        };
        assert_eq!(message(&["days=many"]), "`days` must be integer, not `many`|");
        assert_eq!(message(&["days=1.5"]), "`days` must be integer, not `1.5`|");
        assert_eq!(message(&["dasy=1"]), "the tool has no argument `dasy`|did you mean `days`?");
        assert_eq!(message(&["days=1", "days=2"]), "`days` is given twice|");
        assert_eq!(message(&[]), "missing arguments: days|");
        assert!(message(&["days"]).starts_with("`days` is not of the form key=value"));
        assert!(from_json("[1]").is_err());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"properties": {"x": {"$ref": "#/properties/x"}}});
        assert_eq!(pairs(&["x=1"], &schema).unwrap(), json!({"x": 1}));
    }
}
