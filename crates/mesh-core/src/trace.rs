//! W3C trace context (<https://www.w3.org/TR/trace-context/>, level 1) and the way finished spans leave.
//!
//! Ids are made here whether or not anything is exported, so that logs always correlate and a task keeps its trace
//! across a crash. Exporting is the business of whoever implements [`SpanSink`].

use crate::clock::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// One position in a distributed trace: the trace, the current span, and the flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// 16 bytes, not all zero.
    pub trace_id: u128,
    /// 8 bytes, not all zero.
    pub span_id: u64,
    /// Bit 0: sampled.
    pub flags: u8,
}

impl TraceContext {
    /// A new trace with a new span, sampled.
    pub fn root() -> Self {
        Self { trace_id: uuid::Uuid::new_v4().as_u128(), span_id: new_span_id(), flags: 1 }
    }

    /// A new span in the same trace.
    pub fn child(&self) -> Self {
        Self { span_id: new_span_id(), ..*self }
    }

    /// Reads a `traceparent` header value; `None` for anything that the specification calls invalid.
    pub fn parse(value: &str) -> Option<Self> {
        let mut fields = value.trim().split('-');
        let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let lower_hex = |s: &str, n: usize| {
            s.len() == n && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if !(lower_hex(version, 2) && lower_hex(trace, 32) && lower_hex(span, 16) && lower_hex(flags, 2))
            || version == "ff"
            || (version == "00" && fields.next().is_some())
        {
            return None;
        }
        let context = Self {
            trace_id: u128::from_str_radix(trace, 16).ok()?,
            span_id: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// Continues the caller's trace with a new span, or starts one.
    pub fn continue_or_root(traceparent: Option<&str>) -> Self {
        traceparent.and_then(Self::parse).map_or_else(Self::root, |parent| parent.child())
    }

    /// The trace id as 32 lower-case hexadecimal digits, as logs carry it.
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

fn new_span_id() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    (high ^ low.rotate_left(17)).max(1)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TraceContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a traceparent"))
    }
}

/// A finished span.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its place in the trace.
    pub context: TraceContext,
    /// The span that caused it, if known.
    pub parent: Option<u64>,
    /// What was done, low in cardinality: `a2a SendMessage`, `mcp tools/call`.
    pub name: &'static str,
    /// Whether this process received the work (server) or sent it on (client).
    pub kind: SpanKind,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Names and values that describe it.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed, if it did; safe to show.
    pub error: Option<String>,
}

/// Which side of a call a span describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Work received.
    Server,
    /// Work sent on.
    Client,
    /// Work inside the process.
    Internal,
}

/// Takes finished spans. Must not block: a full queue drops the span.
pub trait SpanSink: Send + Sync + 'static {
    /// Hands one over.
    fn export(&self, span: Span);
}

/// Where spans go: nowhere, unless exporting is configured.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<dyn SpanSink>>);

impl Tracer {
    /// A tracer that exports to `sink`.
    pub fn new(sink: Arc<dyn SpanSink>) -> Self {
        Self(Some(sink))
    }

    /// Whether building a span is worth it.
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Exports the span that `make` builds, if anybody listens.
    pub fn record(&self, make: impl FnOnce() -> Span) {
        if let Some(sink) = &self.0 {
            sink.export(make());
        }
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.enabled()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_survives_the_round_trip_and_invalid_ones_are_refused() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceContext::parse(text).unwrap().to_string(), text);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_child_keeps_the_trace_and_changes_the_span() {
        let root = TraceContext::root();
        let child = root.child();
        assert_eq!(root.trace_id, child.trace_id);
        assert_ne!(root.span_id, child.span_id);
    }
}
