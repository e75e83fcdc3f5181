use std::path::Path;

use serde_json::Value;

#[test]
fn the_committed_schema_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/mesh.schema.json");
    let current = serde_json::to_string_pretty(&mesh_config::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &current).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == current, "run UPDATE_SCHEMA=1 cargo test -p mesh-config schema");
}

#[test]
fn everything_in_the_schema_is_described() {
    fn walk(value: &Value, path: &str) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                let described = property.get("description").and_then(Value::as_str);
                let is_empty_model = property.get("const").is_some();
                assert!(is_empty_model || described.is_some_and(|text| text.ends_with('.')), "{path}.{name}");
            }
        }
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| walk(value, &format!("{path}.{name}"))),
            Value::Array(items) => items.iter().for_each(|value| walk(value, path)),
            _ => {}
        }
    }
    walk(&mesh_config::schema(), "");
}

#[test]
fn the_schema_says_which_version_it_follows() {
    let schema = mesh_config::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["gateway"]["default"], serde_json::json!({}));
    assert_eq!(schema["$defs"]["Limits"]["properties"]["body"]["default"], "4MiB");
    assert_eq!(schema["$defs"]["Agent"]["required"], serde_json::json!(["listen", "worker"]));
}
