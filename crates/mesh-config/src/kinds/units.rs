//! Durations and sizes with their units.

use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};

use crate::context::Context;
use crate::schema::{or_reference, pattern};
use crate::section::Kind;
use crate::tree::Node;

/// Longest duration that makes sense, and that clocks can add without overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Largest size that makes sense.
const LARGEST: u64 = 1 << 40;

const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A duration, which may be zero.
pub(crate) enum Dur {}

/// A duration greater than zero.
pub(crate) enum Timeout {}

impl Kind for Dur {
    type Value = Duration;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Duration> {
        const WHAT: &str = "a duration like 30s";
        let scalar = cx.scalar(node, WHAT)?;
        let Some(duration) = parse_duration(&scalar.text) else {
            if !scalar.text.is_empty() && scalar.text.bytes().all(|byte| byte.is_ascii_digit()) {
                let message = format!("expected {WHAT}, found {}", crate::context::describe(node));
                cx.error_with_help(node.span, message, "add a unit: ms, s, m, h or d");
            } else {
                cx.expected(node, WHAT);
            }
            return None;
        };
        if duration > LONGEST {
            cx.error(node.span, "a duration cannot be longer than 365d");
            return None;
        }
        Some(duration)
    }

    fn render(value: &Duration) -> Json {
        json!(render_duration(*value))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        pattern(r"^([0-9]+(ms|s|m|h|d))+$")
    }
}

impl Kind for Timeout {
    type Value = Duration;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<Duration> {
        let duration = Dur::decode(node, cx)?;
        if duration.is_zero() {
            cx.error(node.span, "expected a duration greater than zero");
            return None;
        }
        Some(duration)
    }

    fn render(value: &Duration) -> Json {
        Dur::render(value)
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        Dur::schema(generator)
    }
}

/// A number of bytes, at least `MIN` and at most `MAX`.
pub(crate) enum Size<const MIN: u64, const MAX: u64 = LARGEST> {}

impl<const MIN: u64, const MAX: u64> Kind for Size<MIN, MAX> {
    type Value = u64;

    fn decode(node: &Node, cx: &mut Context<'_>) -> Option<u64> {
        const WHAT: &str = "a size like 4MiB";
        let scalar = cx.scalar(node, WHAT)?;
        let Some(bytes) = parse_size(&scalar.text) else {
            cx.expected(node, WHAT);
            return None;
        };
        if !(MIN..=MAX).contains(&bytes) {
            let (least, most) = (render_size(MIN), render_size(MAX));
            cx.error(
                node.span,
                format!("expected a size from {least} to {most}, found `{}`", render_size(bytes)),
            );
            return None;
        }
        Some(bytes)
    }

    fn render(value: &u64) -> Json {
        json!(render_size(*value))
    }

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let _ = generator;
        or_reference(&json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": MIN, "maximum": MAX },
                { "type": "string", "pattern": r"^[0-9]+ ?(GiB|MiB|KiB|GB|MB|kB|B)$" },
            ]
        }))
    }
}

/// Splits a run of digits off the front.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut millis: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (count, after) = number(rest)?;
        let end = after.find(|char: char| char.is_ascii_digit()).unwrap_or(after.len());
        let (_, factor) = TIME_UNITS.iter().find(|(unit, _)| *unit == &after[..end])?;
        millis = millis.checked_add(count.checked_mul(*factor)?)?;
        rest = &after[end..];
    }
    Some(Duration::from_millis(millis))
}

fn parse_size(text: &str) -> Option<u64> {
    let (count, unit) = number(text.trim())?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Some(count);
    }
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    count.checked_mul(*factor)
}

/// Writes a duration with the largest unit that keeps it exact (to the millisecond).
fn render_duration(value: Duration) -> String {
    let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    let exact = TIME_UNITS.iter().find(|(_, factor)| millis > 0 && millis.is_multiple_of(*factor));
    exact.map_or_else(|| format!("{}s", millis / 1000), |(unit, factor)| format!("{}{unit}", millis / factor))
}

/// Writes a size with the largest binary unit that keeps it exact.
fn render_size(value: u64) -> String {
    let exact = SIZE_UNITS[..3].iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor));
    exact.map_or_else(|| format!("{value}B"), |(unit, factor)| format!("{}{unit}", value / factor))
}
