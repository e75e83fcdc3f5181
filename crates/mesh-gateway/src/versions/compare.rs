//! Whether two versions of an upstream answered the same.

use serde_json::Value;

/// Whether two results say the same: as JSON, without what differs between the revisions and from call to call.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    let read = |text: &[u8]| {
        let mut value: Value = serde_json::from_slice(text).ok()?;
        let object = value.as_object_mut()?;
        for member in ["_meta", "resultType"] {
            object.remove(member);
        }
        // Left out, it means the same as false.
        if object.get("isError") == Some(&Value::Bool(false)) {
            object.remove("isError");
        }
        Some(value)
    };
    matches!((read(one), read(other)), (Some(one), Some(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_only_in_form_is_the_same() {
        let one = br#"{"content":[{"type":"text","text":"a"}],"isError":false,"_meta":{"a":1}}"#;
        let other = br#"{ "resultType":"complete","content":[{"text":"a","type":"text"}]}"#;
        assert!(same(one, other));
        for different in [
            &br#"{"content":[]}"#[..],
            b"[]",
            b"nothing",
            br#"{"content":[{"type":"text","text":"a"}],"isError":true}"#,
        ] {
            assert!(!same(one, different));
        }
    }
}
