//! The tools of all upstreams as documents.

use super::index::{Document, Field, Index};
use crate::pins::{Fingerprint, hidden_text};
use crate::upstream::catalog::ToolSet;
use mesh_core::Tenant;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the tools of one upstream were read from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) upstream: Arc<str>,
    pub(super) tenant: Tenant,
    pub(super) tools: Arc<ToolSet>,
    /// What the mesh file says of all its tools.
    pub(super) category: Option<String>,
    pub(super) tags: Vec<String>,
}

/// A tool that can be found. What is only passed on stays raw.
pub(super) struct Entry {
    pub(super) upstream: Arc<str>,
    pub(super) tenant: Tenant,
    pub(super) tool: String,
    pub(super) name: String,
    pub(super) category: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) input_schema: Option<Box<RawValue>>,
    pub(super) annotations: Option<Box<RawValue>>,
    /// Of what a model reads of it; `None` if the definition cannot be read in one way only.
    pub(super) fingerprint: Option<String>,
    /// Where it has text that people do not see: JSON pointer, character, kind.
    pub(super) hidden: Vec<String>,
}

/// Tools, and the index over them.
#[derive(Default)]
pub(super) struct Catalogue {
    pub(super) entries: Vec<Entry>,
    pub(super) index: Index,
}

/// Keeps the catalogue that was made last.
#[derive(Default)]
pub(crate) struct Finder {
    last: Mutex<Option<(Vec<Source>, Arc<Catalogue>)>>,
}

impl Finder {
    /// The catalogue of these lists. Made again only when one of them is another.
    pub(super) fn catalogue(&self, sources: Vec<Source>) -> Arc<Catalogue> {
        let same = |a: &Source, b: &Source| {
            Arc::ptr_eq(&a.tools, &b.tools)
                && (&a.upstream, &a.category, &a.tags) == (&b.upstream, &b.category, &b.tags)
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, made)) = &*last
            && of.len() == sources.len()
            && of.iter().zip(&sources).all(|(a, b)| same(a, b))
        {
            return Arc::clone(made);
        }
        let made = Arc::new(Catalogue::of(&sources));
        *last = Some((sources, Arc::clone(&made)));
        made
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Definition {
    title: Option<serde_json::Value>,
    description: Option<serde_json::Value>,
    input_schema: Option<Box<RawValue>>,
    annotations: Option<Box<RawValue>>,
    #[serde(rename = "_meta")]
    meta: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Schema {
    properties: BTreeMap<String, serde::de::IgnoredAny>,
}

impl Catalogue {
    fn of(sources: &[Source]) -> Self {
        let (mut entries, mut documents) = (Vec::new(), Vec::new());
        for source in sources {
            for tool in source.tools.iter() {
                let entry = entry(source, &tool.name, &tool.federated, &tool.definition);
                documents.push(document(&entry));
                entries.push(entry);
            }
        }
        Self { entries, index: Index::new(documents) }
    }
}

fn entry(source: &Source, tool: &str, name: &str, definition: &str) -> Entry {
    let fingerprint = Fingerprint::of(definition).ok().map(|fingerprint| fingerprint.to_string());
    let hidden = serde_json::from_str(definition).map(|value| hidden_text(&value)).unwrap_or_default();
    let definition: Definition = serde_json::from_str(definition).unwrap_or_default();
    let text = |value: Option<serde_json::Value>| value.as_ref().and_then(|v| v.as_str()).map(str::to_owned);
    let meta = definition.meta.unwrap_or_default();
    let mut tags = source.tags.clone();
    let own = meta["agentmesh/tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str());
    for tag in own {
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    let category = meta["agentmesh/category"].as_str().map(str::to_owned);
    Entry {
        upstream: Arc::clone(&source.upstream),
        tenant: source.tenant.clone(),
        tool: tool.to_owned(),
        name: name.to_owned(),
        category: category.or_else(|| source.category.clone()),
        tags,
        title: text(definition.title),
        description: text(definition.description),
        fingerprint,
        hidden: hidden.iter().map(ToString::to_string).collect(),
        input_schema: definition.input_schema,
        annotations: definition.annotations,
    }
}

fn document(entry: &Entry) -> Document {
    let mut document = Document::default().with(Field::Name, entry.tool.as_str());
    let texts = [
        (Field::Title, &entry.title),
        (Field::Description, &entry.description),
        (Field::Category, &entry.category),
    ];
    for (field, text) in texts {
        if let Some(text) = text {
            document = document.with(field, text.as_str());
        }
    }
    for tag in &entry.tags {
        document = document.with(Field::Tags, tag.as_str());
    }
    let schema =
        entry.input_schema.as_ref().and_then(|schema| serde_json::from_str::<Schema>(schema.get()).ok());
    for name in schema.unwrap_or_default().properties.into_keys() {
        document = document.with(Field::Parameters, name);
    }
    document
}
