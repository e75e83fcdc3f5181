//! A JSON object of which only the top level is looked at.

use super::write_string;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// How many members an object may have that we look into; more is refused.
const MAX_MEMBERS: usize = 256;

/// The members of an object, in order, each value as the text it arrived in.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawObject<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> RawObject<'a> {
    /// Reads an object of a client. A name that occurs twice is an error: two readers could take different ones.
    pub(crate) fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        Self::read(json, true)
    }

    /// Reads an object of an upstream, as it is.
    pub(crate) fn parse_lenient(json: &'a str) -> Result<Self, serde_json::Error> {
        Self::read(json, false)
    }

    fn read(json: &'a str, strict: bool) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let object = (&mut deserializer).deserialize_map(Members { strict })?;
        deserializer.end()?;
        Ok(object)
    }

    /// The value's text.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Names and the texts of their values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Removes a member and returns its value's text.
    pub(crate) fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.members.iter().position(|(key, _)| key == name)?;
        Some(self.members.remove(at).1)
    }

    /// Puts a value in the place of the old one, or at the end.
    pub(crate) fn set(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) {
        let value = value.into();
        match self.members.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.members.push((Cow::Borrowed(name), value)),
        }
    }

    /// Appends the object.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (name, value)) in self.members.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_string(out, name);
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
        out.push(b'}');
    }

    /// The object as text.
    pub(crate) fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        // Every piece is a `str`.
        String::from_utf8(out).unwrap_or_default()
    }
}

struct Members {
    strict: bool,
}

impl<'de> Visitor<'de> for Members {
    type Value = RawObject<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = RawObject::default();
        while let Some(Name(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            if self.strict {
                if object.get(&name).is_some() {
                    let shown: String = name.chars().take(64).collect();
                    return Err(A::Error::custom(format_args!("`{shown}` occurs twice")));
                }
                if object.members.len() == MAX_MEMBERS {
                    return Err(A::Error::custom(format_args!("more than {MAX_MEMBERS} members")));
                }
            }
            object.members.push((name, Cow::Borrowed(value.get())));
        }
        Ok(object)
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor).map(Name)
    }
}

/// A string, borrowed where it has no escapes; `None` if `json` is anything else.
pub(crate) fn as_str(json: &str) -> Option<Cow<'_, str>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let text = (&mut deserializer).deserialize_str(NameVisitor).ok()?;
    deserializer.end().ok()?;
    Some(text)
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_keeps_its_text() {
        let json = r#"{"n":1.0e5,"big":123456789012345678901234567890,"\u0061":{"x" : null},"name":"a"}"#;
        let mut object = RawObject::parse(json).unwrap();
        object.set("name", "\"b\"");
        assert_eq!(object.take("n").as_deref(), Some("1.0e5"));
        assert_eq!(object.to_text(), r#"{"big":123456789012345678901234567890,"a":{"x" : null},"name":"b"}"#);
    }

    #[test]
    fn a_name_that_occurs_twice_is_refused_even_when_escaped() {
        assert!(RawObject::parse(r#"{"name":1,"n\u0061me":2}"#).unwrap_err().is_data());
        assert!(RawObject::parse_lenient(r#"{"name":1,"name":2}"#).is_ok());
        assert!(RawObject::parse("[]").unwrap_err().is_data());
        assert!(RawObject::parse("{} x").unwrap_err().is_syntax());
    }
}
