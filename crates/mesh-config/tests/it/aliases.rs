use crate::support::{bad, good, parse};

#[test]
fn an_alias_stands_for_its_value() {
    let mesh =
        good("tools: { a: &a { command: [x], tags: &t [p, q] }, b: *a, c: { url: 'http://h/', tags: *t } }");
    assert_eq!(mesh.tools["a"], mesh.tools["b"]);
    assert_eq!(mesh.tools["c"].tags, ["p", "q"]);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "mesh: m\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{},", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let report = bad(&text);
    assert!(report.contains("more than 200000 values"), "{report}");
}

#[test]
fn an_alias_inside_itself_is_refused() {
    insta::assert_snapshot!(bad("tools: &t { a: *t }"), @r#"
    error: this alias is used inside the value that it stands for
     --> mesh.yaml:1:16
      |
    1 | tools: &t { a: *t }
      |                ^^
    "#);
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(1 << 20), "{a: ".repeat(1 << 18), "- ".repeat(1 << 19)] {
        let report = bad(&text);
        assert!(report.contains("nested deeper than 32 levels"), "{report}");
    }
}

#[test]
fn large_files_end_soon() {
    let many = (0..80_000).map(|n| format!("k{n}: 1\n")).collect::<String>();
    let report = parse(&many).unwrap_err();
    assert_eq!((report.diagnostics.len(), report.omitted), (100, 79_900));
    let one_line = format!("mesh: [{}]", "a, ".repeat(100_000));
    assert!(bad(&one_line).len() < 1000);
    let items = format!("agents: {{ a: {{ tools: [{}] }} }}", "!, ".repeat(100_000));
    assert!(parse(&items).is_err());
    let masked = format!("mesh: [{}]", "{token: x, tokn: y}, ".repeat(30_000));
    assert!(parse(&masked).is_err());
    let unknown = format!("model: {{ {} }}", (0..30_000).map(|n| format!("key{n}: x, ")).collect::<String>());
    assert!(parse(&unknown).is_err());
    let agents =
        (0..8_000).map(|n| format!("  a{n}: {{ listen: '127.0.0.1:8090', tools: [x/y], peers: [zz] }}\n"));
    assert!(parse(&format!("agents:\n{}", agents.collect::<String>())).is_err());
}
