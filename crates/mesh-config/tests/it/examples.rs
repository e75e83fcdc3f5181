use std::path::Path;

use mesh_config::{LoadOptions, load};

#[test]
fn every_example_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut found = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path().join("mesh.yaml");
        if file.is_file() {
            found += 1;
            // Examples may name variables without default: those that people set before they start it.
            let env = |name: &str| {
                Some(if name.ends_with("URL") { "http://127.0.0.1:9".into() } else { "x".into() })
            };
            load(&file, &LoadOptions::new(&env)).unwrap_or_else(|report| panic!("{report}"));
        }
    }
    assert!(found > 0, "no example in {}", folder.display());
}
