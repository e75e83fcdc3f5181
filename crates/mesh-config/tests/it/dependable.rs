//! What keeps an upstream dependable.

use std::time::Duration;

use mesh_config::{Endpoint, Target, Upstream};

use crate::support::{bad, good};

fn upstream(text: &str) -> Upstream {
    good(&format!("tools: {{ crm: {text} }}")).tools["crm"].clone()
}

#[test]
fn an_upstream_has_several_targets_or_one_in_short() {
    let several = upstream(
        r#"{ targets: [ { url: "http://a/", headers: { x: y }, weight: 3, zone: west }, { command: [run, it] } ] }"#,
    );
    let Endpoint::Several(targets) = &several.endpoint else { panic!() };
    assert_eq!((targets[0].weight, targets[0].zone.as_deref()), (3, Some("west")));
    assert_eq!((targets[1].weight, targets[1].zone.as_deref()), (1, None));
    assert!(matches!(&targets[0].endpoint, Endpoint::Http { url, .. } if url == "http://a/"));
    assert!(matches!(&targets[1].endpoint, Endpoint::Process { command, .. } if command.len() == 2));
    let short = upstream(r#"{ url: "http://a/" }"#);
    assert_eq!(short, Upstream::new(short.endpoint.clone()), "what nobody says has its default");
    assert_eq!(Target::new(short.endpoint).weight, 1);
}

#[test]
fn everything_about_it_can_be_said_and_written_out() {
    let text = r#"
gateway: { zone: west }
tools:
  crm:
    targets: [ { url: "http://a/", weight: 2, zone: east }, { command: [run] } ]
    connect_timeout: 1s
    idle_timeout: 20s
    health: { failures: 5, eject: 1s, longest: 1m, most: 30, interval: 0s, timeout: 1s, threshold: 3, slow_start: 0s }
    breaker: { failures: 20, volume: 5, window: 30s, open: 1s, probes: 1, per_tool: true }
    retries: { attempts: 2, backoff: 10ms, longest: 100ms, budget: 10, tools: [ get_*, one ], trust_hints: true,
               attempt_timeout: 2s, hedge_after: 200ms }
    cache: { tools: { get_*: 30s }, resources: 1m, hints: true, public: [ get_rates, "docs://*" ], max_bytes: 1MiB }
"#;
    let mesh = good(text);
    let crm = &mesh.tools["crm"];
    assert!(crm.cache.is_used() && crm.cache.tools["get_*"] == Duration::from_secs(30));
    assert!(crm.cache.public[1].matches("docs://x") && crm.retries.tools[0].matches("get_one"));
    assert_eq!(crm.retries.hedge_after, Some(Duration::from_millis(200)));
    assert_eq!(good(&serde_json::to_string(&mesh).unwrap()), mesh);
}

#[test]
fn by_default_nothing_is_kept_and_no_tool_is_called_again() {
    let crm = upstream("{ command: [run] }");
    assert!(!crm.cache.is_used());
    assert!(crm.retries.tools.is_empty() && !crm.retries.trust_hints && crm.retries.hedge_after.is_none());
}

#[test]
fn more_targets_than_a_set_can_hold_are_refused() {
    let targets = vec![r#"{ url: "http://a/" }"#; 65].join(", ");
    let report = bad(&format!("tools: {{ crm: {{ targets: [ {targets} ] }} }}"));
    assert!(report.contains("tools.crm has 65 targets, and 64 are the most"), "{report}");
    let report = bad("tools: { crm: { targets: [] } }");
    assert!(report.contains("at least one item"), "{report}");
}
