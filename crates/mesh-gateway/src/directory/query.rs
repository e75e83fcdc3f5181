//! `filter`, `orderBy` and pages of lists.
//!
//! A filter is a list of conditions joined by `AND`: `field=value` or `field!=value`, a value with a star at its end
//! being a beginning. Of a field that is a list, one item has to fit. `orderBy` is one field, with ` desc` behind it or
//! not.

use serde_json::Value;

/// Agents on one page unless fewer are asked for.
const PAGE: usize = 1000;
/// Longest filter.
const LONGEST: usize = 1024;
/// What can be asked for.
const FIELDS: [&str; 6] = ["name", "description", "tags", "source", "health", "skills"];
/// What can be sorted by.
const ORDERS: [&str; 4] = ["name", "health", "source", "lastSeen"];

/// How a list is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    conditions: Vec<Condition>,
    order: Option<(String, bool)>,
    size: usize,
    /// Where the page begins.
    from: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Condition {
    field: String,
    value: String,
    negated: bool,
    beginning: bool,
}

impl Query {
    /// Reads the query of a URL.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (mut filter, mut order, mut size, mut token) = (None, None, None, None);
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            match &*name {
                "filter" => filter = Some(value.into_owned()),
                "orderBy" => order = Some(value.into_owned()),
                "pageSize" => {
                    size = Some(value.parse().map_err(|_| "`pageSize` must be a number".to_owned())?)
                }
                "pageToken" => token = Some(value.into_owned()),
                _ => {}
            }
        }
        Self::new(filter.as_deref(), order.as_deref(), size, token)
    }

    pub(super) fn new(
        filter: Option<&str>,
        order: Option<&str>,
        size: Option<usize>,
        token: Option<String>,
    ) -> Result<Self, String> {
        let filter = filter.unwrap_or_default();
        if filter.len() > LONGEST {
            return Err(format!("`filter` may have {LONGEST} bytes"));
        }
        let conditions = filter.split(" AND ").map(str::trim).filter(|text| !text.is_empty());
        let conditions = conditions.map(condition).collect::<Result<_, _>>()?;
        let order = order.filter(|order| !order.is_empty()).map(read_order).transpose()?;
        if size == Some(0) {
            return Err("`pageSize` must be at least 1".to_owned());
        }
        let from = match token.as_deref() {
            None | Some("") => 0,
            Some(token) => token.parse().map_err(|_| "`pageToken` is not one of ours".to_owned())?,
        };
        Ok(Self { conditions, order, size: size.unwrap_or(PAGE).min(PAGE), from })
    }

    /// The page of entries, and the token of the next.
    pub(super) fn page(&self, mut entries: Vec<Value>) -> Result<(Vec<Value>, Option<String>), String> {
        entries.retain(|entry| self.conditions.iter().all(|condition| condition.fits(entry)));
        if let Some((field, descending)) = &self.order {
            let key = |entry: &Value| entry[field].as_str().unwrap_or_default().to_owned();
            entries.sort_by_key(key);
            if *descending {
                entries.reverse();
            }
        }
        if self.from > entries.len() {
            return Err("`pageToken` is behind the end".to_owned());
        }
        let end = (self.from + self.size).min(entries.len());
        let next = (end < entries.len()).then(|| end.to_string());
        Ok((entries.drain(self.from..end).collect(), next))
    }
}

fn condition(text: &str) -> Result<Condition, String> {
    let (field, value, negated) = match text.split_once("!=") {
        Some((field, value)) => (field, value, true),
        None => {
            let (field, value) = text.split_once('=').ok_or_else(|| {
                format!(
                    "`{}` in `filter` is no condition like tags=sales",
                    text.chars().take(40).collect::<String>()
                )
            })?;
            (field, value, false)
        }
    };
    let (field, value) = (field.trim(), value.trim().trim_matches('"'));
    if !FIELDS.contains(&field) {
        return Err(format!("`filter` knows the fields {}", FIELDS.join(", ")));
    }
    let beginning = value.ends_with('*');
    let value = value.strip_suffix('*').unwrap_or(value).to_lowercase();
    Ok(Condition { field: field.to_owned(), value, negated, beginning })
}

fn read_order(text: &str) -> Result<(String, bool), String> {
    let mut words = text.split_whitespace();
    let field = words.next().unwrap_or_default();
    let descending = match words.next() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err("`orderBy` is a field, with ` desc` behind it or not".to_owned()),
    };
    if !ORDERS.contains(&field) || words.next().is_some() {
        return Err(format!("`orderBy` knows the fields {}", ORDERS.join(", ")));
    }
    Ok((field.to_owned(), descending))
}

impl Condition {
    fn fits(&self, entry: &Value) -> bool {
        let equal = |text: &str| {
            let text = text.to_lowercase();
            if self.beginning { text.starts_with(&self.value) } else { text == self.value }
        };
        let item = |item: &Value| {
            // A skill is found by its id, its name or its tags.
            let named = ["id", "name"].iter().any(|name| item[name].as_str().is_some_and(equal));
            let tags = item["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
            item.as_str().is_some_and(equal)
                || named
                || tags.iter().any(|tag| tag.as_str().is_some_and(equal))
        };
        let found = match &entry[&self.field] {
            Value::Array(items) => items.iter().any(item),
            Value::String(text) => equal(text),
            _ => false,
        };
        found != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entries() -> Vec<Value> {
        vec![
            json!({"name": "a", "tags": ["X", "y"], "health": "up", "skills": [{"id": "sell", "tags": ["deal"]}]}),
            json!({"name": "ab", "tags": [], "health": "down", "lastSeen": "2"}),
            json!({"name": "b", "tags": ["x"], "health": "down", "lastSeen": "1"}),
        ]
    }

    fn names(query: &str) -> Vec<String> {
        let (page, _) = Query::read(query).unwrap().page(entries()).unwrap();
        page.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn filters_orders_and_pages() {
        assert_eq!(names(""), ["a", "ab", "b"]);
        assert_eq!(names("filter=tags%3Dx"), ["a", "b"]);
        assert_eq!(names("filter=tags%3Dx+AND+health!%3Dup"), ["b"]);
        assert_eq!(names("filter=name%3Da*"), ["a", "ab"]);
        assert_eq!(names("filter=skills%3Ddeal"), ["a"]);
        assert_eq!(names("orderBy=lastSeen+desc"), ["ab", "b", "a"]);
        let (page, next) = Query::read("pageSize=2").unwrap().page(entries()).unwrap();
        assert_eq!((page.len(), next.as_deref()), (2, Some("2")));
        assert_eq!(names("pageSize=2&pageToken=2"), ["b"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for query in [
            "filter=x",
            "filter=secret%3D1",
            "orderBy=x",
            "orderBy=name+up",
            "pageSize=x",
            "pageSize=0",
            "pageToken=x",
        ] {
            assert!(Query::read(query).is_err(), "{query}");
        }
        assert!(Query::read("pageToken=9").unwrap().page(entries()).is_err());
    }
}
