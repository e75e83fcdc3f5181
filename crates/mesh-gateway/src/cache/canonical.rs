//! One text for all ways to write the same JSON: no space, names in order, strings with the same escapes.
//!
//! Close to RFC 8785, but numbers keep their text: whether 1 and 1.0 mean the same is for the server to say, and digits
//! that do not fit into a double must not be lost. Two texts that mean the same may so become two keys, but never the
//! other way round.

use crate::wire::write_string;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Longest arguments, in bytes, for which an answer is kept: longer ones hardly come twice, and cost time to compare.
pub(crate) const LONGEST: usize = 64 << 10;

/// Appends the canonical text of one JSON value. `None` if it is none, or too long.
pub(crate) fn write(out: &mut Vec<u8>, json: &str) -> Option<()> {
    if json.len() > LONGEST {
        return None;
    }
    value(out, json.trim_matches([' ', '\t', '\n', '\r']))
}

fn value(out: &mut Vec<u8>, json: &str) -> Option<()> {
    match json.as_bytes().first()? {
        b'{' => {
            let Object(mut members) = serde_json::from_str(json).ok()?;
            // Stable: of a name that occurs twice, the order stays.
            members.sort_by(|(one, _), (two, _)| one.cmp(two));
            out.push(b'{');
            for (at, (name, raw)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_string(out, name);
                out.push(b':');
                value(out, raw.get())?;
            }
            out.push(b'}');
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            out.push(b'[');
            for (at, raw) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                value(out, raw.get())?;
            }
            out.push(b']');
        }
        b'"' => write_string(out, &crate::wire::object::as_str(json)?),
        _ => out.extend_from_slice(json.as_bytes()),
    }
    Some(())
}

struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    members.push((name.0, map.next_value()?));
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn canonical(json: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, json).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ways_to_write_the_same_are_one() {
        for (one, two) in [
            (r#"{"b":1,"a":[true,null]}"#, " {\"a\" : [ true,null ],\n\"b\":1}"),
            (r#"{"x":{"z":"\u0041","y":"/"}}"#, r#"{"x":{"y":"\/","z":"A"}}"#),
            (r#"{"\u0061":1}"#, r#"{"a":1}"#),
        ] {
            assert_eq!(canonical(one), canonical(two));
        }
    }

    #[test]
    fn what_may_differ_stays_different() {
        for (one, two) in [
            ("1", "1.0"),
            ("12345678901234567890", "12345678901234567891"),
            ("[1,2]", "[2,1]"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#),
            (r#""1""#, "1"),
            (r#"{"a":"b\",\"c\":\"d"}"#, r#"{"a":"b","c":"d"}"#),
        ] {
            assert_ne!(canonical(one), canonical(two));
        }
    }

    #[test]
    fn what_is_too_long_or_no_json_is_refused() {
        let long = format!("\"{}\"", "x".repeat(LONGEST));
        for json in [long.as_str(), "", "{", "[1,]"] {
            assert!(write(&mut Vec::new(), json).is_none());
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().rev().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_means_the_same_and_is_its_own_canonical_text(value in json()) {
            let compact = canonical(&value.to_string());
            prop_assert_eq!(serde_json::from_str::<Value>(&compact).unwrap(), value.clone());
            prop_assert_eq!(&canonical(&compact), &compact);
            prop_assert_eq!(canonical(&serde_json::to_string_pretty(&value).unwrap()), compact);
        }
    }
}
