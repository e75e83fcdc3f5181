//! What is refused although each field is right: unsafe settings, plans, and text that is not a mesh file.

use mesh_config::{LoadOptions, Severity, check};

use crate::support::{bad, env, good};

#[test]
fn what_is_planned_is_refused_by_name() {
    insta::assert_snapshot!(bad(r#"
access: { auth: oidc }
"#), @r#"
    error: `oidc` is not supported yet (planned: API keys and OpenID Connect)
     --> mesh.yaml:1:17
      |
    1 | access: { auth: oidc }
      |                 ^^^^ write off
    "#);
}

#[test]
fn storage_is_a_directory_or_nats_servers() {
    insta::assert_snapshot!(bad("storage: postgres://h/db"), @r"
    error: storage must be a directory or NATS servers
     --> mesh.yaml:1:10
      |
    1 | storage: postgres://h/db
      |          ^^^^^^^^^^^^^^^ like .agentmesh or nats://host:4222
    ");
    for storage in ["nats://h:4222/path", "{ nats: h }", "nats://", "\"nats://h,http://h\""] {
        let report = bad(&format!("storage: {storage}"));
        assert!(report.contains("expected NATS servers like nats://host:4222"), "{report}");
    }
    let report = bad("storage: nats://me:word@h:4222");
    assert!(
        report.contains("a password is given only by reference") && !report.contains("word@"),
        "{report}"
    );
}

#[test]
fn secrets_are_given_by_reference_and_never_shown() {
    let report = bad(r#"
model: { base_url: "http://h/", name: m, key: sk-literal, nmae: x }
tools:
  a: { url: "http://h/", headers: { authorization: Bearer literal, X-Api-Key: literal, accept: "*/*" } }
"#);
    assert!(!report.contains("literal"));
    insta::assert_snapshot!(report, @r#"
    error: `key` holds a secret, and secrets are given only by reference
     --> mesh.yaml:1:47
      |
    1 | model: { base_url: "http://h/", name: m, key: **********, nmae: x }
      |                                               ^^^^^^^^^^ write "${NAME_OF_A_VARIABLE}"

    error: unknown field `nmae` in model
     --> mesh.yaml:1:59
      |
    1 | model: { base_url: "http://h/", name: m, key: **********, nmae: x }
      |                                                           ^^^^ did you mean `name`?

    error: `authorization` holds a secret, and secrets are given only by reference
     --> mesh.yaml:3:52
      |
    3 |   a: { url: "http://h/", headers: { authorization: **************, X-Api-Key: *******, accept: "*/*" } }
      |                                                    ^^^^^^^^^^^^^^ write "${NAME_OF_A_VARIABLE}"

    error: `X-Api-Key` holds a secret, and secrets are given only by reference
     --> mesh.yaml:3:79
      |
    3 |   a: { url: "http://h/", headers: { authorization: **************, X-Api-Key: *******, accept: "*/*" } }
      |                                                                               ^^^^^^^ write "${NAME_OF_A_VARIABLE}"
    "#);
}

#[test]
fn listening_to_the_world_needs_a_decision() {
    let text = "gateway: { listen: '0.0.0.0:3003' }\n";
    insta::assert_snapshot!(bad(text), @r#"
    error: gateway.listen is open to other machines, and auth is off: everybody who reaches 0.0.0.0:3003 may do everything
     --> mesh.yaml:1:20
      |
    1 | gateway: { listen: '0.0.0.0:3003' }
      |                    ^^^^^^^^^^^^^^^ listen on 127.0.0.1, or start with --insecure
    "#);
    let checked = check(text, "mesh.yaml", &LoadOptions::new(&env).insecure(true));
    assert!(checked.mesh.is_some());
    assert_eq!(checked.report.diagnostics[0].severity, Severity::Warning);
}

#[test]
fn broken_yaml_is_reported_with_its_place() {
    insta::assert_snapshot!(bad("mesh: demo\ngateway: { listen: ${A} \nadmin:\n"), @r#"
    error: this is not YAML: while parsing a flow mapping, did not find expected ',' or '}'
     --> mesh.yaml:2:21
      |
    2 | gateway: { listen: ${A}
      |                     ^ text with `{`, `}`, `[`, `]`, `,` or `: ` in it needs quotes
    "#);
    insta::assert_snapshot!(bad("mesh: demo\n  gateway: {}\n"), @r#"
    error: this is not YAML: mapping values are not allowed in this context
     --> mesh.yaml:2:10
      |
    2 |   gateway: {}
      |          ^
    "#);
    insta::assert_snapshot!(bad("mesh: \"demo\n"), @r#"
    error: this is not YAML: while scanning a quoted scalar, found unexpected end of stream
     --> mesh.yaml:1:7
      |
    1 | mesh: "demo
      |       ^
    "#);
    insta::assert_snapshot!(bad("mesh: *nothing\n"), @r#"
    error: this is not YAML: while parsing node, found unknown anchor
     --> mesh.yaml:1:7
      |
    1 | mesh: *nothing
      |       ^
    "#);
}

#[test]
fn yaml_that_means_nothing_here_is_reported() {
    insta::assert_snapshot!(bad(r#"
mesh: !secret demo
[a]: b
tools: { <<: {} }
gateway: { <<: {} }
"#), @r#"
    error: YAML tags (`!…`) have no meaning in a mesh file
     --> mesh.yaml:1:7
      |
    1 | mesh: !secret demo
      |       ^^^^^^^^^^^^

    error: a field name must be text
     --> mesh.yaml:2:1
      |
    2 | [a]: b
      | ^^^

    error: `<<` cannot be an upstream id
     --> mesh.yaml:3:10
      |
    3 | tools: { <<: {} }
      |          ^^ allowed: a-z first, then a-z, 0-9 or -, at most 31 characters

    error: tools.<< needs `command`, `url` or `targets`
     --> mesh.yaml:3:10
      |
    3 | tools: { <<: {} }
      |          ^^ exactly one of them says where it is

    error: merge keys (`<<`) are not supported, use an alias for a whole value
     --> mesh.yaml:4:12
      |
    4 | gateway: { <<: {} }
      |            ^^
    "#);
    insta::assert_snapshot!(bad("mesh: a\n---\nmesh: b\n"), @r#"
    error: a mesh file holds one document, a second one begins here
     --> mesh.yaml:2:1
      |
    2 | ---
      | ^^^
    "#);
    insta::assert_snapshot!(bad("just text\n"), @r#"
    error: expected a mapping, found `just text`
     --> mesh.yaml:1:1
      |
    1 | just text
      | ^^^^^^^^^
    "#);
}

#[test]
fn a_long_line_is_shown_in_part() {
    let report = bad(&format!("gateway: {{ {}lisen: x{} }}", " ".repeat(300), " ".repeat(300)));
    assert!(report.lines().all(|line| line.chars().count() < 180), "{report}");
    assert!(
        report.contains("mesh.yaml:1:312") && report.contains("^^^^^ did you mean `listen`?"),
        "{report}"
    );
}

#[test]
fn control_characters_of_the_file_do_not_reach_the_terminal() {
    let report = bad(
        "tools: { \"an\\e[31malytics\": { url: 'http://h/' } }\nagents: { a: { tools: [analytics/x] } }\n",
    );
    assert!(!report.contains('\u{1b}'), "{report:?}");
}

#[test]
fn a_card_is_signed_with_one_key_that_is_given_by_reference() {
    let agent = |signing: &str| {
        format!(
            "agents: {{ a: {{ listen: 127.0.0.1:8090, worker: {{ command: [x] }}, card: {{ signing: {signing} }} }} }}"
        )
    };
    for (signing, said) in [
        ("{ key: literal }", "`key` holds a secret"),
        ("{ kid: a }", "agents.a.card.signing needs `key` or `key_file`"),
        (r#"{ key: "${TOKEN}", key_file: k.pem }"#, "agents.a.card.signing has both `key` and `key_file`"),
    ] {
        let report = bad(&agent(signing));
        assert!(report.contains(said), "{report}");
        assert!(!report.contains("literal"), "{report}");
    }
    assert_eq!(good(&agent(r#"{ key: "${EMPTY}" }"#)).agents["a"].card.signing, None);
}

#[test]
fn an_extension_needs_a_uri_and_parameters_that_have_names() {
    let card = |extension: &str| {
        format!(
            "agents: {{ a: {{ listen: 127.0.0.1:8090, worker: {{ command: [x] }}, card: {{ extensions: [{extension}] }} }} }}"
        )
    };
    assert!(bad(&card("{ required: true }")).contains("`uri` is missing"));
    for uri in ["''", "'a,b'", "'a b'", "é"] {
        assert!(bad(&card(&format!("{{ uri: {uri} }}"))).contains("cannot be used as a name"), "{uri}");
    }
    assert!(bad(&card("{ uri: u, required: maybe }")).contains("expected true or false"));
    assert!(bad(&card("{ uri: u, params: [1] }")).contains("expected a mapping"));
}

#[test]
fn a_bound_of_retention_is_a_bound_or_forever() {
    let report = |text: &str| {
        bad(&format!(
            "agents: {{ a: {{ listen: 127.0.0.1:8090, worker: {{ command: [x] }}, tasks: {{ retention: {text} }} }} }}"
        ))
    };
    for (text, why) in [
        ("{ age: 30 }", ["expected a duration like 30s, found `30`", "add a unit"]),
        ("{ age: 0s }", ["expected a duration greater than zero", "or write forever"]),
        ("{ events: never }", ["expected a duration like 30s, found `never`", "or write forever"]),
        ("{ count: many }", ["expected a whole number, found `many`", "or write forever"]),
        ("{ count: -1 }", ["expected a whole number", "or write forever"]),
        ("{ cuont: 3 }", ["unknown field `cuont`", "count"]),
    ] {
        let report = report(text);
        assert!(why.iter().all(|why| report.contains(why)), "{text}: {report}");
    }
}
