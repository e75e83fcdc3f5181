//! Toolsets: chosen tools of several upstreams as one server, under other names, texts and arguments where that is wanted.
//!
//! - `definition`: what becomes of a tool's definition.
//! - `arguments`: what becomes of a call's arguments.
//! - here: which tools there are, and what a name means. Both follow from the toolset alone and the upstream's own list, so that a
//!   name does not change when another upstream comes or goes.

mod arguments;
mod definition;

pub(crate) use arguments::fill;

use crate::names;
use crate::upstream::RegisteredUpstream;
use crate::upstream::catalog::ToolSet;
use mesh_config::Choice;
use mesh_core::Tenant;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// One entry of `toolsets:` in the mesh file.
pub(crate) struct Toolset {
    pub(crate) id: Arc<str>,
    pub(crate) tenant: Tenant,
    choices: Vec<Choice>,
    /// Choices of one tool, by the name that it has here.
    named: HashMap<String, usize>,
    upstreams: Vec<String>,
    /// What was shown last, and of which lists it was made.
    shown: Mutex<Option<Made>>,
}

/// What was shown, and of which lists it was made.
type Made = (Vec<Option<Arc<ToolSet>>>, Arc<[Shown]>);

/// An upstream of a toolset with the tools that it is known to have.
pub(crate) struct Source<'a> {
    pub(crate) upstream: &'a Arc<RegisteredUpstream>,
    pub(crate) tools: Option<Arc<ToolSet>>,
}

/// A tool as a toolset shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Which of the sources has it.
    pub(crate) source: usize,
    /// Its name at the upstream.
    pub(crate) tool: Box<str>,
    pub(crate) definition: Box<str>,
}

impl Toolset {
    pub(crate) fn new(id: &str, config: &mesh_config::Toolset, tenant: Tenant) -> Self {
        let choices = config.tools.clone();
        let mut named = HashMap::new();
        // Names that the file gives come first; the first of two that are the same wins.
        for given in [true, false] {
            for (at, choice) in choices.iter().enumerate() {
                if choice.tool.tool.is_exact() && choice.name.is_some() == given {
                    named.entry(name_of(choice)).or_insert(at);
                }
            }
        }
        let mut upstreams: Vec<String> = Vec::new();
        for choice in &choices {
            if !upstreams.contains(&choice.tool.upstream) {
                upstreams.push(choice.tool.upstream.clone());
            }
        }
        Self { id: id.into(), tenant, choices, named, upstreams, shown: Mutex::default() }
    }

    /// The upstreams whose tools it has, in the order in which they are named.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &str> {
        self.upstreams.iter().map(String::as_str)
    }

    /// The one tool that has this name here.
    pub(crate) fn named(&self, name: &str) -> Option<&Choice> {
        self.named.get(name).map(|at| &self.choices[*at])
    }

    /// Whether a tool is here under its federated name because a pattern stands for it. One that is chosen by its name is
    /// here as that says, and only so.
    pub(crate) fn covers(&self, upstream: &str, tool: &str) -> bool {
        let of = |choice: &&Choice| choice.tool.upstream == upstream;
        let exact = |choice: &Choice| choice.tool.tool.is_exact() && choice.tool.tool.as_str() == tool;
        !self.choices.iter().filter(of).any(exact)
            && self.choices.iter().filter(of).any(|choice| choice.tool.tool.matches(tool))
    }

    /// Its tools, in the order of the choices. Made again only when an upstream has another list.
    pub(crate) fn shown(&self, sources: &[Source<'_>]) -> Arc<[Shown]> {
        let same = |a: &Option<Arc<ToolSet>>, b: &Option<Arc<ToolSet>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let mut last = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((lists, shown)) = &*last
            && lists.len() == sources.len()
            && lists.iter().zip(sources).all(|(list, source)| same(list, &source.tools))
        {
            return Arc::clone(shown);
        }
        let shown: Arc<[Shown]> = self.show(sources).into();
        *last = Some((sources.iter().map(|source| source.tools.clone()).collect(), Arc::clone(&shown)));
        shown
    }

    fn show(&self, sources: &[Source<'_>]) -> Vec<Shown> {
        let mut shown = Vec::new();
        let mut covered = HashSet::new();
        for (at, choice) in self.choices.iter().enumerate() {
            let found =
                sources.iter().enumerate().find(|(_, source)| *source.upstream.id == *choice.tool.upstream);
            let Some((source, Source { upstream, tools: Some(tools) })) = found else { continue };
            if choice.tool.tool.is_exact() {
                let name = name_of(choice);
                if let (Some(tool), true) =
                    (tools.by_name(choice.tool.tool.as_str()), self.named.get(&name) == Some(&at))
                {
                    let definition = definition::define(&tool.definition, &name, choice).into();
                    shown.push(Shown { source, tool: tool.name.as_str().into(), definition });
                }
                continue;
            }
            for tool in tools.iter() {
                let here = choice.tool.tool.matches(&tool.name)
                    && !upstream.selection.hides(&tool.name)
                    && self.covers(&upstream.id, &tool.name)
                    && !self.named.contains_key(&tool.federated);
                if here && covered.insert(tool.federated.clone()) {
                    let definition = tool.federated_definition.clone();
                    shown.push(Shown { source, tool: tool.name.as_str().into(), definition });
                }
            }
        }
        shown
    }
}

fn name_of(choice: &Choice) -> String {
    let federated = || names::federated(&choice.tool.upstream, choice.tool.tool.as_str());
    choice.name.clone().unwrap_or_else(federated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn toolset(tools: &str) -> Toolset {
        let text =
            format!("tools: {{ crm: {{ url: \"http://x\" }} }}\ntoolsets: {{ kit: {{ tools: {tools} }} }}");
        let options = mesh_config::LoadOptions::new(&|_| None);
        let mesh = mesh_config::parse(&text, "mesh.yaml", &options).unwrap();
        Toolset::new("kit", &mesh.toolsets["kit"], "default".into())
    }

    fn crm(tools: &str) -> Arc<RegisteredUpstream> {
        let text = format!("tools: {{ crm: {{ url: \"http://x\", tools: {tools} }} }}");
        let options = mesh_config::LoadOptions::new(&|_| None);
        let mesh = mesh_config::parse(&text, "mesh.yaml", &options).unwrap();
        Arc::new(crate::upstream::build("crm", &mesh.tools["crm"], &Settings::default()).unwrap())
    }

    fn list(names: &[&str]) -> Option<Arc<ToolSet>> {
        let definitions: Vec<_> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        Some(Arc::new(ToolSet::read("crm", definitions.iter().map(String::as_str))))
    }

    #[test]
    fn tools_come_in_the_order_of_the_choices_and_one_chosen_by_name_is_not_there_twice() {
        let toolset = toolset(
            r#"["crm/get_*", { tool: crm/get_b, name: b }, { tool: crm/get_b, name: bb }, crm/put, "crm/*"]"#,
        );
        let upstream = crm("{ get_old: { hidden: true } }");
        let tools = list(&["get_a", "get_b", "get_old", "put", "z"]);
        let shown = toolset.shown(&[Source { upstream: &upstream, tools: tools.clone() }]);
        let definitions: Vec<_> = shown.iter().map(|shown| &*shown.definition).collect();
        assert_eq!(
            definitions,
            [
                r#"{"name":"crm_get_a"}"#,
                r#"{"name":"b"}"#,
                r#"{"name":"bb"}"#,
                r#"{"name":"crm_put"}"#,
                r#"{"name":"crm_z"}"#
            ]
        );
        let again = toolset.shown(&[Source { upstream: &upstream, tools }]);
        assert!(Arc::ptr_eq(&shown, &again), "the same lists are not rewritten again");
        assert_eq!(toolset.shown(&[Source { upstream: &upstream, tools: list(&["z"]) }]).len(), 1);
        assert_eq!(toolset.shown(&[Source { upstream: &upstream, tools: None }]).len(), 0);
    }

    #[test]
    fn a_name_means_what_the_list_shows() {
        let toolset = toolset(r#"["crm/get_*", { tool: crm/get_b, name: b }]"#);
        assert_eq!(toolset.named("b").unwrap().tool.tool.as_str(), "get_b");
        assert!(toolset.named("crm_get_b").is_none() && !toolset.covers("crm", "get_b"));
        assert!(
            toolset.covers("crm", "get_a")
                && !toolset.covers("crm", "put")
                && !toolset.covers("erp", "get_a")
        );
    }

    #[test]
    fn a_name_that_the_file_gives_comes_before_one_that_is_made() {
        let toolset = toolset("[crm/lookup, { tool: crm/get, name: crm_lookup }]");
        assert_eq!(toolset.named("crm_lookup").unwrap().tool.tool.as_str(), "get");
        let upstream = crm("{}");
        let shown = toolset.shown(&[Source { upstream: &upstream, tools: list(&["lookup", "get"]) }]);
        assert_eq!(shown.iter().map(|shown| &*shown.tool).collect::<Vec<_>>(), ["get"]);
    }
}
