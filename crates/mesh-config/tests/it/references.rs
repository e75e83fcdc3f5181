use crate::support::{bad, good};

#[test]
fn references_are_replaced() {
    let mesh = good(
        r#"
agents:
  a:
    listen: "127.0.0.1:${PORT:-8090}"
    worker: { command: [run, "$${HOME}", "$5", "a${EMPTY}b", "${EMPTY:-default}", "${EIGHT:-9}"] }
"#,
    );
    let mesh_config::Launch::Command(command) = &mesh.agents["a"].worker.launch else { panic!() };
    assert_eq!(command, &["run", "${HOME}", "$5", "ab", "default", "8"]);
    assert_eq!(mesh.agents["a"].listen.port(), 8090);
}

#[test]
fn an_unset_variable_is_named_with_its_place() {
    insta::assert_snapshot!(bad(r#"
model:
  base_url: "http://${HOST}/v1"
  name: ${MODEL}
"#), @r#"
    error: the variable `HOST` is not set (model.base_url)
     --> mesh.yaml:2:21
      |
    2 |   base_url: "http://${HOST}/v1"
      |                     ^^^^^^^ set it, or give a default: `${HOST:-…}`

    error: the variable `MODEL` is not set (model.name)
     --> mesh.yaml:3:9
      |
    3 |   name: ${MODEL}
      |         ^^^^^^^^ set it, or give a default: `${MODEL:-…}`
    "#);
}

#[test]
fn a_reference_must_be_well_formed() {
    insta::assert_snapshot!(bad(r#"
gateway: { listen: "${open", audit: "${not a name}" }
mesh: ${A:-${B}}
"#), @r#"
    error: this reference has no closing `}` (gateway.listen)
     --> mesh.yaml:1:21
      |
    1 | gateway: { listen: "${open", audit: "${not a name}" }
      |                     ^^

    error: `${not a name}` is not a reference (gateway.audit)
     --> mesh.yaml:1:38
      |
    1 | gateway: { listen: "${open", audit: "${not a name}" }
      |                                      ^^^^^^^^^^^^^ write `${NAME}` or `${NAME:-default}`, or `$${` for the characters themselves

    error: the default of `A` cannot be a reference itself (mesh)
     --> mesh.yaml:2:7
      |
    2 | mesh: ${A:-${B}}
      |       ^^^^^^^^
    "#);
}

#[test]
fn the_value_of_a_variable_is_not_shown() {
    insta::assert_snapshot!(bad("gateway: { call_timeout: \"${BAD}\" }"), @r#"
    error: expected a duration like 30s, found the value of `${BAD}`
     --> mesh.yaml:1:26
      |
    1 | gateway: { call_timeout: "${BAD}" }
      |                          ^^^^^^^^^
    "#);
}

#[test]
fn an_agent_outside_has_one_place_and_a_name_of_its_own() {
    let agents = "agents: { sales: { listen: \"127.0.0.1:8090\", worker: { command: [w] } } }";
    let outside = |agent: &str| format!("{agents}\ndirectory: {{ agents: {{ {agent} }} }}\n");
    let mesh = good(&outside("far: { targets: [\"http://a:1\", \"http://b:1\"], card_path: /c.json }"));
    assert_eq!(mesh.directory.agents["far"].targets, ["http://a:1", "http://b:1"]);
    for (agent, why) in [
        ("sales: { url: \"http://a:1\" }", "directory.agents.sales has the name of agents.sales"),
        ("far: { tags: [x] }", "needs `url` or `targets`"),
        ("far: { url: \"http://a:1\", targets: [\"http://b:1\"] }", "has both `url` and `targets`"),
        ("far: { url: \"http://a:1\", card_path: c.json }", "begins with `/`"),
    ] {
        let report = bad(&outside(agent));
        assert!(report.contains(why), "{report}");
    }
}
