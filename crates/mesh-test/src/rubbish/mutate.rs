//! One wrong value somewhere in a JSON document.

use crate::random::Random;
use serde_json::{Map, Value, json};

/// Replaces, removes or adds one value somewhere below the given one.
pub(super) fn mutate(value: &mut Value, random: &mut Random) {
    let go_down = !random.one_in(3);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let Some(key) = fields.keys().nth(random.below(fields.len())).cloned() else { return };
            match (go_down, random.below(6)) {
                (true, _) => fields.get_mut(&key).into_iter().for_each(|below| mutate(below, random)),
                (_, 0..=1) => drop(fields.remove(&key)),
                (_, 2) => drop(fields.insert(format!("{key}{}", random.below(10)), strange(random))),
                _ => drop(fields.insert(key, strange(random))),
            }
        }
        Value::Array(items) if !items.is_empty() && go_down => {
            let n = random.below(items.len());
            mutate(&mut items[n], random);
        }
        other => *other = strange(random),
    }
}

/// A value that few fields expect.
pub(super) fn strange(random: &mut Random) -> Value {
    match random.below(18) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(i64::MIN),
        4 => json!(u64::MAX),
        5 => json!(1e308),
        6 => json!(0.5),
        7 => json!(""),
        8 => json!([]),
        9 => json!({}),
        10 => json!([[], {}, null]),
        11 => json!({"": {"": null}}),
        12 => json!("\u{0}\u{1f}\u{202e}\u{feff}\u{10ffff}"),
        13 => json!("x".repeat(10_000)),
        14 => json!("../../../../etc/passwd"),
        15 => json!("'; DROP TABLE tasks; --"),
        16 => json!("TASK_STATE_UNSPECIFIED"),
        _ => Value::Object((0..100).map(|n| (n.to_string(), json!(n))).collect::<Map<_, _>>()),
    }
}
