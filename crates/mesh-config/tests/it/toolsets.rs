//! Toolsets, selections, other versions, and files of the watched directory.

use std::collections::BTreeMap;
use std::path::Path;

use mesh_config::{Fill, LoadOptions, SplitBy, parse_fragment};
use serde_json::json;

use crate::support::{FULL, bad, env, good};

#[test]
fn the_arguments_of_a_chosen_tool_come_from_four_places() {
    let mesh = good(FULL);
    let tools = &mesh.toolsets["kit"].tools;
    assert_eq!((tools[0].tool.to_string(), &tools[0].name), ("crm/get_*".to_owned(), &None));
    let arguments = &tools[1].arguments;
    let of = |name: &str| (arguments[name].fill.clone(), arguments[name].shown);
    assert_eq!(of("region"), (Fill::Fixed(json!("eu")), false));
    assert_eq!(of("verbose"), (Fill::Fixed(json!([1, { "a": "$x" }])), true));
    assert_eq!(of("limit"), (Fill::Default(json!(10)), true));
    assert_eq!(of("debug"), (Fill::Never, false));
}

#[test]
fn what_is_excluded_is_excluded_and_the_nearest_pattern_says_what_a_tool_is() {
    let selection = &good(FULL).tools["crm"].selection;
    let admitted = ["get_customer", "find", "get_secret", "put"].map(|tool| selection.admits(tool));
    assert_eq!(admitted, [true, true, false, false]);
    let old = selection.rule("get_old");
    assert_eq!(
        (old.category.as_deref(), old.read_only, old.hidden),
        (Some("people"), Some(true), Some(true))
    );
    assert_eq!(selection.rule("find").category, None);
}

#[test]
fn other_versions_are_chosen_by_call_unless_said_otherwise() {
    let mesh =
        good("tools: { a: { url: \"http://x\", split: { to: b, percent: 10 } }, b: { url: \"http://y\" } }");
    assert_eq!(mesh.tools["a"].split.as_ref().map(|split| split.by), Some(SplitBy::Call));
    assert_eq!(good(FULL).gateway.watch.as_deref(), Some(Path::new("/demo/tools.d")));
}

#[test]
fn what_cannot_be_meant_is_told_with_its_place() {
    insta::assert_snapshot!(bad(r#"
tools:
  crm: { url: "http://x", split: { to: crm, percent: 101 }, exclude: ["a b"], shadow: { to: nobody, percent: 1 } }
toolsets:
  crm: { tools: [crm/get] }
  kit:
    tools:
      - { tool: crm/a, name: same }
      - { tool: crm/b, name: same }
      - { tool: "crm/*", name: all }
      - { tool: crm/c, name: "no spaces" }
      - tool: crm/d
        arguments: { x: {}, y: { value: 1, default: 2 }, z: { default: 1, hide: true } }
      - erp/get
  empty: { tools: [] }
"#), @r#"
    error: tools.crm.split.to names the upstream itself
     --> mesh.yaml:2:40
      |
    2 |   crm: { url: "http://x", split: { to: crm, percent: 101 }, exclude: ["a b"], shadow: { to: nobody, percent: 1 } }
      |                                        ^^^

    error: expected a number from 0 to 100, found `101`
     --> mesh.yaml:2:54
      |
    2 |   crm: { url: "http://x", split: { to: crm, percent: 101 }, exclude: ["a b"], shadow: { to: nobody, percent: 1 } }
      |                                                      ^^^

    error: expected the name of a tool, like get_customer or get_*, found the text "a b"
     --> mesh.yaml:2:71
      |
    2 |   crm: { url: "http://x", split: { to: crm, percent: 101 }, exclude: ["a b"], shadow: { to: nobody, percent: 1 } }
      |                                                                       ^^^^^

    error: tools.crm.shadow.to names the upstream `nobody`, which is not in `tools`
     --> mesh.yaml:2:93
      |
    2 |   crm: { url: "http://x", split: { to: crm, percent: 101 }, exclude: ["a b"], shadow: { to: nobody, percent: 1 } }
      |                                                                                             ^^^^^^

    error: the toolset `crm` has the id of an upstream (line 2)
     --> mesh.yaml:4:3
      |
    4 |   crm: { tools: [crm/get] }
      |   ^^^ upstreams and toolsets share the paths below /mcp/: choose another id

    error: toolsets.kit has two tools with the name `same` (line 7)
     --> mesh.yaml:8:30
      |
    8 |       - { tool: crm/b, name: same }
      |                              ^^^^

    error: `name` can be said of one tool only, and `crm/*` stands for several
     --> mesh.yaml:9:26
      |
    9 |       - { tool: "crm/*", name: all }
      |                          ^^^^

    error: expected a name of 1 to 64 letters, digits, _ or -, found the text "no spaces"
      --> mesh.yaml:10:30
       |
    10 |       - { tool: crm/c, name: "no spaces" }
       |                              ^^^^^^^^^^^^

    error: toolsets.kit.tools[4].arguments.x says nothing: it needs `value`, `default`, `hide` or `description`
      --> mesh.yaml:12:22
       |
    12 |         arguments: { x: {}, y: { value: 1, default: 2 }, z: { default: 1, hide: true } }
       |                      ^

    error: toolsets.kit.tools[4].arguments.y has both `value` and `default`
      --> mesh.yaml:12:29
       |
    12 |         arguments: { x: {}, y: { value: 1, default: 2 }, z: { default: 1, hide: true } }
       |                             ^

    error: toolsets.kit.tools[4].arguments.z hides what has a `default`: a hidden argument needs a `value`
      --> mesh.yaml:12:58
       |
    12 |         arguments: { x: {}, y: { value: 1, default: 2 }, z: { default: 1, hide: true } }
       |                                                          ^

    error: toolsets.kit.tools[5] names the upstream `erp`, which is not in `tools`
      --> mesh.yaml:13:9
       |
    13 |       - erp/get
       |         ^^^^^^^

    error: expected a list with at least one item
      --> mesh.yaml:14:19
       |
    14 |   empty: { tools: [] }
       |                   ^^^
    "#);
}

#[test]
fn a_number_that_would_change_is_refused() {
    let argument = |value: &str| {
        let text = format!(
            "tools: {{ crm: {{ url: \"http://x\" }} }}\ntoolsets: {{ kit: {{ tools: [{{ tool: crm/x, arguments: {{ a: {{ value: {value} }} }} }}] }} }}"
        );
        mesh_config::parse(&text, "mesh.yaml", &LoadOptions::new(&env)).map_err(|report| report.to_string())
    };
    for good in [
        "18446744073709551615",
        "-9223372036854775808",
        "1.5e300",
        "0.000000123456789",
        "\"1234567890123456789012\"",
    ] {
        assert!(argument(good).is_ok(), "{good}");
    }
    for bad in ["18446744073709551616", "1.2345678901234567890"] {
        assert!(argument(bad).unwrap_err().contains("more digits than a number keeps"), "{bad}");
    }
}

#[test]
fn an_upstream_that_may_come_from_the_watched_directory_is_only_worth_a_warning() {
    let text = "gateway: { watch: tools.d }\ntoolsets: { kit: { tools: [erp/get] } }";
    let checked = mesh_config::check(text, "mesh.yaml", &LoadOptions::new(&env));
    assert!(checked.mesh.is_some());
    assert!(checked.report.to_string().contains("it must come from `gateway.watch`"), "{}", checked.report);
}

fn fragment(text: &str) -> Result<mesh_config::Fragment, String> {
    let taken = BTreeMap::from([("crm".to_owned(), "mesh.yaml".to_owned())]);
    parse_fragment(text, "tools.d/x.yaml", &taken, &LoadOptions::new(&env))
        .map_err(|report| report.to_string())
}

#[test]
fn a_file_of_the_watched_directory_has_upstreams_and_toolsets() {
    let found =
        fragment("tools: { erp: { command: [x] } }\ntoolsets: { kit: { tools: [crm/get, erp/*] } }").unwrap();
    assert_eq!((found.tools.len(), found.toolsets["kit"].tools.len()), (1, 2));
    assert_eq!(fragment("").unwrap().tools.len(), 0);
    insta::assert_snapshot!(fragment("tools:\n  crm: { url: \"http://x\" }\nagents: {}\n").unwrap_err(), @r#"
    error: `crm` is already the name of an upstream or toolset of mesh.yaml
     --> tools.d/x.yaml:2:3
      |
    2 |   crm: { url: "http://x" }
      |   ^^^

    error: unknown field `agents` in a file of the watched directory
     --> tools.d/x.yaml:3:1
      |
    3 | agents: {}
      | ^^^^^^
    "#);
}

#[test]
fn what_a_running_mesh_does_not_take_over_is_named() {
    let old = good(FULL);
    let changed = |from: &str, to: &str| {
        assert!(FULL.contains(from));
        old.needs_restart(&good(&FULL.replace(from, to)))
    };
    assert_eq!(changed("percent: 10", "percent: 20"), Vec::<String>::new());
    assert_eq!(changed("depth: 64", "depth: 65"), ["limits"]);
    assert_eq!(changed("reload: manual", "reload: auto"), ["gateway.reload"]);
    assert_eq!(changed("call_timeout: 1m30s", "call_timeout: 1m"), ["gateway"]);
    assert_eq!(changed("listen: 127.0.0.1:8093", "listen: 127.0.0.1:8094"), ["agents.marketing"]);
}
