//! The JSON Canonicalization Scheme (RFC 8785).

use serde_json::{Map, Number, Value};

/// Deepest nesting that is written. Nothing in a card comes near it.
const MAX_DEPTH: usize = 128;

/// The value is nested too deep to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nested deeper than {MAX_DEPTH} levels")]
pub struct TooDeep;

/// Writes a value in its canonical form.
///
/// Numbers are those of the value: doubles, as RFC 8785 has them, so integers beyond 2^53 lose digits.
///
/// # Errors
/// The value is nested deeper than 128 levels.
pub fn canonical(value: &Value) -> Result<String, TooDeep> {
    let mut text = String::new();
    write(value, &mut text, MAX_DEPTH)?;
    Ok(text)
}

fn write(value: &Value, text: &mut String, levels: usize) -> Result<(), TooDeep> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => write_number(number, text),
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            let below = levels.checked_sub(1).ok_or(TooDeep)?;
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(item, text, below)?;
            }
            text.push(']');
        }
        Value::Object(fields) => write_object(fields, text, levels.checked_sub(1).ok_or(TooDeep)?)?,
    }
    Ok(())
}

/// Names are sorted by their UTF-16 code units (section 3.2.3).
fn write_object(fields: &Map<String, Value>, text: &mut String, below: usize) -> Result<(), TooDeep> {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    text.push('{');
    for (at, (name, field)) in sorted.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        write_string(name, text);
        text.push(':');
        write(field, text, below)?;
    }
    text.push('}');
    Ok(())
}

/// As ECMAScript writes a double (section 3.2.2.3). JSON has no infinite ones.
fn write_number(number: &Number, text: &mut String) {
    let double = number.as_f64().filter(|double| double.is_finite()).unwrap_or_default();
    text.push_str(ryu_js::Buffer::new().format_finite(double));
}

/// serde_json escapes exactly what section 3.2.2.2 wants escaped, and in the same way.
fn write_string(string: &str, text: &mut String) {
    text.push_str(&Value::from(string).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(json: &str) -> String {
        canonical(&serde_json::from_str(json).unwrap()).unwrap()
    }

    /// Section 3.2.2.
    #[test]
    fn the_example_of_the_rfc_comes_out_as_the_rfc_has_it() {
        let json = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        assert_eq!(
            of(json),
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
             \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
    }

    /// Section 3.2.3.
    #[test]
    fn names_are_sorted_by_their_utf_16_code_units() {
        let json = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
            "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let canonical = of(json);
        let order = ["Carriage Return", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
        let places: Vec<usize> = order.iter().map(|name| canonical.find(name).unwrap()).collect();
        assert!(places.is_sorted(), "{canonical}");
    }

    /// Appendix B, by the bits of the double.
    #[test]
    fn numbers_are_written_as_ecmascript_writes_them() {
        for (bits, text) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let number = Value::from(f64::from_bits(bits));
            assert_eq!(canonical(&number).unwrap(), text);
        }
        assert_eq!(of("-0"), "0");
        assert_eq!(of("10"), "10");
    }

    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let nested = |levels: usize| (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert!(canonical(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(canonical(&nested(MAX_DEPTH + 1)), Err(TooDeep));
    }

    proptest! {
        #[test]
        fn text_comes_back_whatever_it_is(text in any::<String>()) {
            let canonical = canonical(&Value::from(text.as_str())).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&canonical).unwrap(), text);
        }
    }
}
