//! The command language.

use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// One step of a program; the module's table says what each does.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Step {
    Bench,
    Echo(String),
    Chunks { count: u32, bytes: usize },
    Status(u32),
    Ask { question: String, authorize: bool },
    CallTool { tool: String, arguments: Value },
    CallAgent { agent: String, text: String },
    Memory(Value),
    Count { key: String, times: u32 },
    History(Value),
    Discover(Value),
    Fail(String),
    Reject(String),
    Slow { count: u32, pause: Duration },
    Tell { count: u32, pause: Duration },
    Stamp { count: u32, pause: Duration, bytes: usize },
    WaitFile(PathBuf),
    Hang,
    Hog,
    Freeze,
    Crash { after: u32, attempts: u32 },
    Garbage,
    StdoutNoise,
    Huge,
}

impl Step {
    /// Ends within microseconds and waits for nobody, so that the reading thread may do it itself.
    pub(super) fn is_brief(&self) -> bool {
        match self {
            Self::Bench | Self::Echo(_) | Self::Fail(_) | Self::Reject(_) => true,
            Self::Crash { .. } | Self::Garbage | Self::StdoutNoise | Self::Freeze | Self::Hog => true,
            Self::Chunks { count, bytes } => *count <= 100 && *bytes <= 1024,
            Self::Status(count) => *count <= 100,
            _ => false,
        }
    }
}

/// Why a text is no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{step}`: {why}")]
pub struct ParseError {
    /// The step, cut to a readable length.
    pub step: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Reads a program.
///
/// # Errors
/// The first step that is none.
pub fn parse(text: &str) -> Result<Vec<Step>, ParseError> {
    let steps: Result<Vec<_>, _> = text
        .split('\n')
        .flat_map(|line| line.split(" && "))
        .map(str::trim)
        .filter(|step| !step.is_empty())
        .map(|step| parse_step(step).map_err(|why| ParseError { step: step.chars().take(80).collect(), why }))
        .collect();
    match steps {
        Ok(steps) if steps.is_empty() => {
            Err(ParseError { step: String::new(), why: "an empty message is no program" })
        }
        other => other,
    }
}

fn parse_step(step: &str) -> Result<Step, &'static str> {
    let (word, rest) = step.split_once(' ').map_or((step, ""), |(word, rest)| (word, rest.trim()));
    let text = || rest.to_owned();
    Ok(match word {
        "bench" => Step::Bench,
        "echo" => Step::Echo(text()),
        "chunks" => {
            let (count, bytes) = two(rest);
            let bytes = if bytes.is_empty() { 24 } else { number(bytes)? };
            Step::Chunks { count: number(count)?, bytes: bytes as usize }
        }
        "status" => Step::Status(number(rest)?),
        "ask" => Step::Ask { question: text(), authorize: false },
        "authorize" => Step::Ask { question: text(), authorize: true },
        "call" => {
            let (tool, arguments) = two(rest);
            let arguments = if arguments.is_empty() { "{}" } else { arguments };
            Step::CallTool { tool: required(tool)?, arguments: json(arguments)? }
        }
        "agent" => {
            let (agent, text) = two(rest);
            Step::CallAgent { agent: required(agent)?, text: text.to_owned() }
        }
        "memory" => Step::Memory(json(rest)?),
        "count" => {
            let (key, times) = two(rest);
            Step::Count { key: required(key)?, times: number(times)? }
        }
        "history" => Step::History(json(if rest.is_empty() { "{}" } else { rest })?),
        "discover" => Step::Discover(json(if rest.is_empty() { "{}" } else { rest })?),
        "fail" => Step::Fail(text()),
        "reject" => Step::Reject(text()),
        "slow" => {
            let (count, pause) = two(rest);
            Step::Slow { count: number(count)?, pause: Duration::from_millis(number(pause)?.into()) }
        }
        "tell" => {
            let (count, pause) = two(rest);
            Step::Tell { count: number(count)?, pause: Duration::from_millis(number(pause)?.into()) }
        }
        "stamp" => {
            let (count, rest) = two(rest);
            let (pause, bytes) = two(rest);
            let bytes = if bytes.is_empty() { 64 } else { number(bytes)? };
            let pause = Duration::from_millis(number(pause)?.into());
            Step::Stamp { count: number(count)?, pause, bytes: bytes as usize }
        }
        "wait-file" => Step::WaitFile(required(rest)?.into()),
        "hang" => Step::Hang,
        "hog" => Step::Hog,
        "freeze" => Step::Freeze,
        "crash" => Step::Crash { after: 0, attempts: u32::MAX },
        "crash-once" => Step::Crash { after: 3, attempts: 1 },
        "crash-at" => {
            let (after, attempts) = two(rest);
            let attempts = if attempts.is_empty() { u32::MAX } else { number(attempts)? };
            Step::Crash { after: number(after)?, attempts }
        }
        "garbage" => Step::Garbage,
        "stdout-noise" => Step::StdoutNoise,
        "huge" => Step::Huge,
        _ => return Err("unknown step; see the documentation of mesh_test::worker"),
    })
}

fn two(rest: &str) -> (&str, &str) {
    rest.split_once(' ').map_or((rest, ""), |(first, second)| (first, second.trim()))
}

fn number(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "a number is expected")
}

fn json(text: &str) -> Result<Value, &'static str> {
    serde_json::from_str(text).map_err(|_| "the arguments are not JSON")
}

fn required(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("a name is expected") } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn steps_are_separated_by_newlines_and_ampersands() {
        let steps = parse("status 2 && chunks 3 100\nask who are you?").unwrap();
        assert_eq!(
            steps,
            [
                Step::Status(2),
                Step::Chunks { count: 3, bytes: 100 },
                Step::Ask { question: "who are you?".into(), authorize: false },
            ]
        );
    }

    #[test]
    fn a_call_takes_json_with_spaces() {
        let steps = parse(r#"call crm/get_customer {"customer_id": "C-1"}"#).unwrap();
        let arguments = json!({"customer_id": "C-1"});
        assert_eq!(steps, [Step::CallTool { tool: "crm/get_customer".into(), arguments }]);
    }

    #[test]
    fn what_is_no_program_is_named() {
        assert_eq!(parse("bench && dance all night").unwrap_err().step, "dance all night");
        assert!(parse("").is_err());
        assert!(parse("chunks many").is_err());
        assert!(parse("stamp 5").is_err());
        assert!(parse("call tool {").is_err());
    }
}
