//! Log lines on standard error.

use crate::exit::{Failure, Outcome};
use mesh_config::{Level, LogFormat};
use mesh_core::{Clock as _, SystemClock};
use serde_json::{Map, Value, json};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What decides which lines are written, in place of the configured level.
const VARIABLE: &str = "AGENTMESH_LOG";
/// Libraries that say more than anybody wants to know, unless asked to in the variable.
const QUIET: [&str; 8] =
    ["h2", "hyper", "hyper_util", "opentelemetry", "opentelemetry_sdk", "reqwest", "rustls", "tower"];

/// Sets the process's subscriber up.
pub(crate) fn init(format: LogFormat, level: Level) -> Outcome<()> {
    let filter = filter(std::env::var(VARIABLE).ok().as_deref(), level)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match format {
        LogFormat::Text => {
            let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let color = color && std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_ansi(color).with_target(true).finish().try_init()
        }
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(JsonLine).finish().try_init(),
    };
    set.map_err(|error| Failure::failed(format!("cannot set up logs: {error}")))
}

fn filter(variable: Option<&str>, level: Level) -> Outcome<EnvFilter> {
    if let Some(directives) = variable.filter(|text| !text.is_empty()) {
        return EnvFilter::builder().parse(directives).map_err(|error| {
            Failure::usage(format!("{VARIABLE}: {error}"))
                .hint("write it like `info` or `mesh_host=debug,warn`")
        });
    }
    let level = match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let quiet = QUIET.map(|name| format!(",{name}=warn")).concat();
    Ok(EnvFilter::new(format!("{level}{}", if level == "error" { "" } else { &quiet })))
}

/// One JSON object a line. Fields of the event and of all spans around it stand at the top level, so that
/// `trace_id`, `task`, `context` and `tenant` are found wherever they were set; the innermost wins.
struct JsonLine;

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("time".to_owned(), json!(SystemClock.now()));
        line.insert("level".to_owned(), json!(metadata.level().as_str().to_ascii_lowercase()));
        line.insert("target".to_owned(), json!(metadata.target()));
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        if let Some(message) = fields.0.shift_remove("message") {
            line.insert("message".to_owned(), message);
        }
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let formatted = extensions.get::<FormattedFields<JsonFields>>();
            if let Some(Ok(Value::Object(of_span))) =
                formatted.map(|fields| serde_json::from_str(&fields.fields))
            {
                of_span.into_iter().for_each(|(name, value)| insert(&mut line, name, value));
            }
        }
        fields.0.into_iter().for_each(|(name, value)| insert(&mut line, name, value));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// A field must not hide what every line has.
fn insert(line: &mut Map<String, Value>, name: String, value: Value) {
    let name = if matches!(name.as_str(), "time" | "level" | "target" | "message") {
        format!("{name}_")
    } else {
        name
    };
    line.insert(name, value);
}

/// The fields of an event.
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), json!(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), json!(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let chain = std::iter::successors(Some(value), |error| error.source());
        let chain: Vec<String> = chain.map(ToString::to_string).collect();
        self.0.insert(field.name().to_owned(), json!(chain.join(": ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Buffer;

    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let buffer = Buffer::default();
        let to = buffer.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || to.clone())
            .fmt_fields(JsonFields::new())
            .event_format(JsonLine)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        buffer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn ids_of_outer_spans_are_on_every_line() {
        let lines = lines(|| {
            let outer = tracing::info_span!("task", trace_id = "t1", task = "a", tenant = "default");
            let _outer = outer.enter();
            let inner = tracing::info_span!("append", task = "b", level = 3_u64);
            let _inner = inner.enter();
            tracing::warn!(count = 2_u64, "half \"done\"");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        let mut line = line.clone();
        assert!(line["time"].take().is_string());
        assert_eq!(
            line,
            json!({
                "time": null, "level": "warn", "target": module_path!(), "message": "half \"done\"",
                "trace_id": "t1", "task": "b", "tenant": "default", "level_": 3, "count": 2,
            })
        );
    }

    #[test]
    fn the_variable_wins_over_the_level_and_must_be_right() {
        assert_eq!(filter(Some("mesh_host=debug"), Level::Error).unwrap().to_string(), "mesh_host=debug");
        assert!(filter(None, Level::Info).unwrap().to_string().contains("info"));
        assert!(filter(Some("mesh_host=loud"), Level::Info).is_err());
    }
}
