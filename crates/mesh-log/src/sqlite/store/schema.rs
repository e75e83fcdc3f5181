//! The tables and indexes that a store of a format has.

use crate::sqlite::migrate::steps_of;
use crate::sqlite::open::SCHEMA;
use rusqlite::{Connection, Result};
use std::collections::BTreeMap;

/// What a schema has: the words that made each object, by its kind and name.
type Objects = BTreeMap<(String, String), String>;

/// How the schema of a store differs from that of its format; empty if it does not.
pub(super) fn differences(connection: &Connection, version: i32) -> Result<Vec<String>> {
    let expected = Connection::open_in_memory()?;
    expected.execute_batch(SCHEMA)?;
    expected.execute_batch(&steps_of(version).join("\n"))?;
    let (expected, found) = (objects(&expected)?, objects(connection)?);
    let mut differences = Vec::new();
    for (object @ (kind, name), words) in &expected {
        match found.get(object) {
            None => differences.push(format!("{kind} {name} is missing")),
            Some(other) if other != words => differences.push(format!("{kind} {name} is another one")),
            Some(_) => {}
        }
    }
    let foreign = found.keys().filter(|object| !expected.contains_key(*object));
    differences.extend(foreign.map(|(kind, name)| format!("{kind} {name} is not ours")));
    Ok(differences)
}

/// Without what SQLite keeps for itself, and however it is set.
fn objects(connection: &Connection) -> Result<Objects> {
    connection
        .prepare("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")?
        .query_map((), |row| {
            let words: Option<String> = row.get(2)?;
            let words = words.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
            Ok(((row.get(0)?, row.get(1)?), words))
        })?
        .collect()
}
