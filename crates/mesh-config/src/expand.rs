//! `${VAR}` and `${VAR:-default}` inside text.

/// Text with its references replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// The text to use.
    pub(crate) text: String,
    /// Whether it had a reference.
    pub(crate) referenced: bool,
}

/// Why a reference could not be replaced, and the piece of text to point at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadReference {
    pub(crate) at: String,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Replaces every reference in `text` by what `env` has; `$$` stands for `$`.
pub(crate) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Expanded, BadReference> {
    let mut result = Expanded { text: String::with_capacity(text.len()), referenced: false };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            result.text.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let Some(end) = after.find('}') else {
                return Err(bad("${", "this reference has no closing `}`".to_owned(), None));
            };
            result.text.push_str(&resolve(&after[..end], env)?);
            result.referenced = true;
            rest = &after[end + 1..];
        } else {
            result.text.push('$');
            rest = &rest[1..];
        }
    }
    result.text.push_str(rest);
    Ok(result)
}

fn resolve(reference: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, BadReference> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let written = format!("${{{reference}");
    if !is_variable(name) {
        let shown = crate::context::shorten(reference);
        let help = "write `${NAME}` or `${NAME:-default}`, or `$${` for the characters themselves";
        return Err(bad(&written, format!("`${{{shown}}}` is not a reference"), Some(help.to_owned())));
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(bad(&written, format!("the default of `{name}` cannot be a reference itself"), None));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let help = format!("set it, or give a default: `${{{name}:-…}}`");
            Err(bad(&written, format!("the variable `{name}` is not set"), Some(help)))
        }
    }
}

fn bad(at: &str, message: String, help: Option<String>) -> BadReference {
    BadReference { at: at.to_owned(), message, help }
}

/// Whether `name` can be the name of a variable.
pub(crate) fn is_variable(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|char| char.is_ascii_alphanumeric() || char == '_')
}
