//! Text in a definition that a model reads and people do not see.

use serde_json::Value;
use std::fmt;

/// How many places of one definition are told.
const MOST: usize = 16;

/// How a character hides something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hiding {
    /// Takes no room: zero-width characters, fillers, tags, repeated variation selectors.
    Invisible,
    /// Changes the direction in which text is shown.
    Direction,
    /// A control character other than tab, line feed and carriage return.
    Control,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hidden {
    /// The string it is in, as a JSON pointer (RFC 6901); for a member's name, that of the member. It is text of the
    /// upstream: hidden characters in it are written as `U+XXXX`.
    pub(crate) at: String,
    pub(crate) character: char,
    pub(crate) hiding: Hiding,
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hiding = match self.hiding {
            Hiding::Invisible => "invisible",
            Hiding::Direction => "direction",
            Hiding::Control => "control",
        };
        write!(f, "{}: U+{:04X}, {hiding}", self.at, u32::from(self.character))
    }
}

/// The first places with hidden text, at most one for each string and each member's name, at most 16.
pub(crate) fn hidden_text(definition: &Value) -> Vec<Hidden> {
    let mut found = Vec::new();
    walk(definition, &mut String::new(), &mut found);
    found
}

fn walk(value: &Value, at: &mut String, found: &mut Vec<Hidden>) {
    let here = at.len();
    match value {
        Value::String(text) => note(text, at, found),
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                at.push('/');
                at.push_str(&number.to_string());
                walk(item, at, found);
                at.truncate(here);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                at.push('/');
                push_visible(&name.replace('~', "~0").replace('/', "~1"), at);
                note(name, at, found);
                walk(member, at, found);
                at.truncate(here);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn note(text: &str, at: &str, found: &mut Vec<Hidden>) {
    if found.len() < MOST
        && let Some((character, hiding)) = first_hidden(text)
    {
        found.push(Hidden { at: at.to_owned(), character, hiding });
    }
}

fn push_visible(text: &str, out: &mut String) {
    for character in text.chars() {
        match hiding(character) {
            Some(_) => out.push_str(&format!("U+{:04X}", u32::from(character))),
            None => out.push(character),
        }
    }
}

fn first_hidden(text: &str) -> Option<(char, Hiding)> {
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let hidden = match character {
            // They join letters of some scripts, and parts of emoji; beside ASCII they join nothing.
            '\u{200c}' | '\u{200d}' => (joins_nothing(before) || joins_nothing(characters.peek().copied()))
                .then_some(Hiding::Invisible),
            // One chooses how the character before it looks; a row of them carries text.
            '\u{fe00}'..='\u{fe0f}' => before.is_none_or(is_selector).then_some(Hiding::Invisible),
            other => hiding(other),
        };
        if let Some(hiding) = hidden {
            return Some((character, hiding));
        }
        before = Some(character);
    }
    None
}

fn joins_nothing(neighbour: Option<char>) -> bool {
    neighbour.is_none_or(|character| character.is_ascii() || matches!(character, '\u{200c}' | '\u{200d}'))
}

fn is_selector(character: char) -> bool {
    matches!(character, '\u{fe00}'..='\u{fe0f}')
}

/// Of a character by itself.
fn hiding(character: char) -> Option<Hiding> {
    match character {
        '\t' | '\n' | '\r' => None,
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' => Some(Hiding::Invisible),
        '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}' => Some(Hiding::Invisible),
        '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' => Some(Hiding::Invisible),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(Hiding::Direction)
        }
        other if other.is_control() => Some(Hiding::Control),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn first(text: &str) -> Option<Hiding> {
        first_hidden(text).map(|(_, hiding)| hiding)
    }

    #[test]
    fn what_people_write_is_not_flagged() {
        for text in
            ["Adds two\n\tnumbers", "naïve café", "می\u{200c}خواهم", "👩\u{200d}💻 and ❤\u{fe0f}", "日本語"]
        {
            assert_eq!(first(text), None, "{text}");
        }
    }

    #[test]
    fn what_people_do_not_see_is_flagged() {
        assert_eq!(first("a\u{200b}b"), Some(Hiding::Invisible));
        assert_eq!(first("a\u{200d}b"), Some(Hiding::Invisible));
        assert_eq!(first("ok\u{e0049}\u{e0067}"), Some(Hiding::Invisible));
        assert_eq!(first("x\u{fe01}\u{fe02}"), Some(Hiding::Invisible));
        assert_eq!(first("pay \u{202e}001"), Some(Hiding::Direction));
        assert_eq!(first("a\u{1b}[8m"), Some(Hiding::Control));
    }

    #[test]
    fn a_place_is_named_where_it_is_in_schemas_and_names_too() {
        let definition = json!({
            "description": "fine",
            "inputSchema": {"properties": {"a/b": {"description": "x\u{2066}"}, "k\u{200b}": {"enum": ["y"]}}},
        });
        let places: Vec<_> = hidden_text(&definition).into_iter().map(|hidden| hidden.at).collect();
        assert_eq!(places, ["/inputSchema/properties/a~1b/description", "/inputSchema/properties/kU+200B"]);
    }

    #[test]
    fn places_are_bounded() {
        let definition = Value::Array(vec![json!("\u{200b}"); 1000]);
        assert_eq!(hidden_text(&definition).len(), MOST);
    }
}
