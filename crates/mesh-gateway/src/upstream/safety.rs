//! Which requests may reach a server twice, or be answered from memory.

use super::Outgoing;
use mesh_config::Glob;
use serde::Deserialize;

/// What a tool says about itself. Whether to believe it is up to the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ToolHints {
    pub(crate) read_only_hint: Option<bool>,
    pub(crate) idempotent_hint: Option<bool>,
}

impl ToolHints {
    /// Reads the `annotations` of a tool's definition. What cannot be read says nothing.
    pub(super) fn of(annotations: Option<&str>) -> Self {
        annotations.and_then(|annotations| serde_json::from_str(annotations).ok()).unwrap_or_default()
    }

    /// It changes nothing, as it says.
    pub(crate) fn says_read_only(self) -> bool {
        self.read_only_hint == Some(true)
    }

    /// It may be called twice, as it says.
    fn says_repeatable(self) -> bool {
        self.says_read_only() || self.idempotent_hint == Some(true)
    }

    /// It changes something each time, as it says.
    fn says_not_repeatable(self) -> bool {
        self.read_only_hint == Some(false) && self.idempotent_hint != Some(true)
    }
}

/// Whether a method only reads.
pub(super) fn is_read(method: &str) -> bool {
    matches!(
        method,
        "tools/list"
            | "prompts/list"
            | "prompts/get"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
            | "completion/complete"
            | "server/discover"
            | "ping"
            | "tasks/get"
            | "tasks/list"
    )
}

/// Which calls may be made again.
#[derive(Clone, Debug)]
pub(super) struct Repeatable {
    pub(super) tools: Vec<Glob>,
    pub(super) trust_hints: bool,
}

impl Repeatable {
    /// Whether this one may be. A request that answers what the server asked before belongs to what the server
    /// remembers, and is never safe.
    pub(super) fn allows(&self, outgoing: &Outgoing<'_>, hints: ToolHints) -> bool {
        if continues(outgoing) {
            return false;
        }
        if outgoing.method != "tools/call" {
            return is_read(outgoing.method);
        }
        let Some(name) = outgoing.name.filter(|_| self.trust_hints || !self.tools.is_empty()) else {
            return false;
        };
        let (mut exact, mut covered) = (false, false);
        for glob in self.tools.iter().filter(|glob| glob.matches(name)) {
            covered = true;
            exact |= glob.is_exact();
        }
        if exact {
            return true;
        }
        covered && !hints.says_not_repeatable() || self.trust_hints && hints.says_repeatable()
    }
}

/// Whether a request goes on with an earlier one.
pub(super) fn continues(outgoing: &Outgoing<'_>) -> bool {
    ["inputResponses", "requestState"].iter().any(|name| outgoing.params.get(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::object::RawObject;

    const READS: &str = r#"{"readOnlyHint":true}"#;
    const WRITES: &str = r#"{"readOnlyHint":false}"#;
    const AGAIN: &str = r#"{"readOnlyHint":false,"idempotentHint":true}"#;
    const SILENT: &str = "{}";

    fn globs(patterns: &[&str]) -> Vec<Glob> {
        // The only way to make one is the mesh file.
        let yaml = format!("tools: {{ a: {{ command: [x], retries: {{ tools: {patterns:?} }} }} }}");
        let env = |_: &str| None;
        let mesh = mesh_config::parse(&yaml, "m.yaml", &mesh_config::LoadOptions::new(&env)).unwrap();
        mesh.tools["a"].retries.tools.clone()
    }

    fn allows(patterns: &[&str], trust_hints: bool, annotations: &str) -> bool {
        let params = RawObject::parse(r#"{"name":"get","arguments":{}}"#).unwrap();
        let outgoing = Outgoing { name: Some("get"), ..Outgoing::own("tools/call", params) };
        Repeatable { tools: globs(patterns), trust_hints }.allows(&outgoing, ToolHints::of(Some(annotations)))
    }

    #[test]
    fn a_tool_is_called_again_only_when_somebody_says_so() {
        for annotations in [READS, WRITES, AGAIN, SILENT, "nonsense"] {
            assert!(!allows(&[], false, annotations), "{annotations}");
            assert!(!allows(&["set_*"], false, annotations), "{annotations}");
            assert!(allows(&["get"], false, annotations), "by name, whatever it says: {annotations}");
            assert_eq!(allows(&["g*"], false, annotations), annotations != WRITES, "{annotations}");
            assert_eq!(
                allows(&[], true, annotations),
                [READS, AGAIN].contains(&annotations),
                "{annotations}"
            );
        }
    }

    #[test]
    fn reads_are_safe_and_what_goes_on_with_an_earlier_call_never_is() {
        let policy = Repeatable { tools: globs(&["get"]), trust_hints: true };
        let own = |method| policy.allows(&Outgoing::own(method, RawObject::default()), ToolHints::default());
        assert!(own("resources/read") && own("tools/list"));
        assert!(!own("logging/setLevel") && !own("tools/call") && !own("vendor/method"));
        let params = RawObject::parse(r#"{"name":"get","requestState":"s"}"#).unwrap();
        let outgoing = Outgoing { name: Some("get"), ..Outgoing::own("tools/call", params) };
        assert!(!policy.allows(&outgoing, ToolHints::default()));
    }
}
