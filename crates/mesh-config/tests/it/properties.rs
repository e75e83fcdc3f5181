use mesh_config::{LoadOptions, check};
use proptest::prelude::*;

use crate::support::{FULL, env};

/// Looks at `text`, and at the report as a person would.
fn look(text: &str) {
    let checked = check(text, "mesh.yaml", &LoadOptions::new(&env));
    let shown = checked.report.to_string();
    assert_eq!(checked.mesh.is_none(), checked.report.errors() > 0, "{shown}");
    assert!(!shown.contains(|char: char| char.is_control() && char != '\n'), "{shown:?}");
    for place in checked.report.diagnostics.iter().filter_map(|found| found.position.as_ref()) {
        assert!(place.line > 0 && place.column > 0 && place.length > 0, "{place:?}");
    }
}

/// Pieces that mean something in YAML or in a mesh file.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\n".to_owned()),
        proptest::sample::select(vec![
            " ",
            "  ",
            ": ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "&a ",
            "*a",
            "!!str ",
            "|\n",
            ">\n",
            "'",
            "\"",
            "#",
            "---",
            "...",
            "%YAML 1.2\n",
            "? ",
            "<<: ",
            "${",
            "${A}",
            "}",
            "$$",
            "\t",
            "\r\n",
            "\u{feff}",
            "~",
            "é",
            "\u{0}",
            "\u{85}",
            "\\x",
            "tools",
            "agents",
            "sales",
            "listen",
            "worker",
            "command",
            "url",
            "tasks",
            "storage",
            "model",
            "base_url",
            "key",
            "limits",
            "body",
            "4MiB",
            "127.0.0.1:80",
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_looked_at_without_panic(text in any::<String>()) {
        look(&text);
    }

    #[test]
    fn anything_like_yaml_is_looked_at_without_panic(pieces in prop::collection::vec(piece(), 0..60)) {
        look(&pieces.concat());
    }

    #[test]
    fn a_damaged_file_is_looked_at_without_panic(at in 0..FULL.len(), cut in 0_usize..40, put in piece()) {
        let mut text: String = FULL.chars().take(at).collect();
        text.push_str(&put);
        text.extend(FULL.chars().skip(at + cut));
        look(&text);
    }
}
