//! `{{…}}` in texts and arguments.

use serde_json::Value;

/// A text with places to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Capture(String),
    Result { number: usize, pointer: Option<String> },
}

/// What a template is filled in from.
pub(super) trait Source {
    /// The text that a capture found.
    fn capture(&self, name: &str) -> Result<String, String>;
    /// The text of a tool result.
    fn result(&self, number: usize) -> Result<&str, String>;
}

impl Template {
    /// Reads a text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").ok_or("`{{` without `}}`")?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(piece(inside.trim())?);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// Whether step `step` can fill everything in: it sees the results of the steps before it.
    pub(super) fn check(&self, step: usize, is_capture: &dyn Fn(&str) -> bool) -> Result<(), String> {
        for piece in &self.0 {
            match piece {
                Piece::Capture(name) if !is_capture(name) => {
                    return Err(format!("`{{{{{name}}}}}` is neither a capture nor `result.N`"));
                }
                Piece::Result { number, .. } if *number >= step => {
                    return Err(format!("`{{{{result.{number}}}}}` does not exist yet in step {step}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The text with everything filled in.
    pub(super) fn fill(&self, source: &dyn Source) -> Result<String, String> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Capture(name) => filled.push_str(&source.capture(name)?),
                Piece::Result { number, pointer: None } => filled.push_str(source.result(*number)?),
                Piece::Result { number, pointer: Some(pointer) } => {
                    match look_up(source, *number, pointer)? {
                        Value::String(text) => filled.push_str(&text),
                        other => filled.push_str(&other.to_string()),
                    }
                }
            }
        }
        Ok(filled)
    }
}

/// Fills in every string of a JSON value.
pub(super) fn fill_value(value: &Value, source: &dyn Source) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => {
            let template = Template::parse(text)?;
            match template.0.as_slice() {
                [Piece::Result { number, pointer: Some(pointer) }] => look_up(source, *number, pointer)?,
                _ => Value::String(template.fill(source)?),
            }
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| fill_value(item, source)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let filled = fields.iter().map(|(k, v)| Ok((k.clone(), fill_value(v, source)?)));
            Value::Object(filled.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

fn look_up(source: &dyn Source, number: usize, pointer: &str) -> Result<Value, String> {
    let text = source.result(number)?;
    let value: Value = serde_json::from_str(text).map_err(|_| {
        format!("{{{{result.{number}.{pointer}}}}}: tool result {number} is not JSON: {}", cut(text))
    })?;
    value
        .pointer(pointer)
        .cloned()
        .ok_or_else(|| format!("{{{{result.{number}.{pointer}}}}}: nothing there in {}", cut(text)))
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

fn piece(inside: &str) -> Result<Piece, String> {
    let Some(rest) = inside.strip_prefix("result.") else {
        return Ok(Piece::Capture(inside.to_owned()));
    };
    let (number, pointer) = match rest.split_once('.') {
        Some((number, pointer)) if pointer.starts_with('/') => (number, Some(pointer.to_owned())),
        Some(_) => return Err(format!("`{{{{{inside}}}}}`: a JSON pointer begins with `/`")),
        None => (rest, None),
    };
    let number = number.parse().map_err(|_| format!("`{{{{{inside}}}}}`: `{number}` is no number"))?;
    Ok(Piece::Result { number, pointer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Fixed;

    impl Source for Fixed {
        fn capture(&self, name: &str) -> Result<String, String> {
            Ok(format!("<{name}>"))
        }

        fn result(&self, _: usize) -> Result<&str, String> {
            Ok(r#"{"name": "Ada", "total": 42, "a": ["x"]}"#)
        }
    }

    fn filled(text: &str) -> Result<String, String> {
        Template::parse(text)?.fill(&Fixed)
    }

    #[test]
    fn places_are_filled_in_without_the_quotes_of_json() {
        let text = "{{ customer }}: {{result.0./name}} owes {{result.0./total}} {{result.0./a}}";
        assert_eq!(filled(text).unwrap(), r#"<customer>: Ada owes 42 ["x"]"#);
    }

    #[test]
    fn a_lone_pointer_keeps_its_type_in_arguments() {
        let value = json!({"n": "{{result.0./total}}", "t": ["no {{result.0./total}}"], "b": true});
        assert_eq!(fill_value(&value, &Fixed).unwrap(), json!({"n": 42, "t": ["no 42"], "b": true}));
    }

    #[test]
    fn what_cannot_be_filled_in_is_named() {
        assert!(filled("{{result.0./age}}").unwrap_err().contains("{{result.0./age}}: nothing there"));
        assert!(filled("{{open").is_err());
        assert!(filled("{{result.x}}").is_err());
        assert!(filled("{{result.0.name}}").unwrap_err().contains("begins with `/`"));
    }
}
