//! What several sources say, as one.

use super::{Problem, UpstreamSet};
use std::collections::BTreeMap;

/// Sets that are in force, by name, in the order of their precedence.
pub(super) type Sets = Vec<(String, UpstreamSet)>;

/// Decides which sets of one source are in force, after those that `taken` knows: new ones that are whole, and of broken ones what was in
/// force before. A set with a name that is taken is broken, too. Writes its names into `taken`.
pub(super) fn choose(
    before: &Sets,
    found: Vec<(String, Result<UpstreamSet, String>)>,
    taken: &mut BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Sets {
    let mut chosen = Sets::new();
    for (name, set) in found {
        let fits = |set: &UpstreamSet| {
            let clash = set.names().find_map(|id| Some((id, taken.get(id)?)));
            clash
                .map(|(id, place)| format!("`{id}` is already the name of an upstream or toolset of {place}"))
        };
        let checked = set.and_then(|set| fits(&set).map_or(Ok(set), Err));
        let set = match checked {
            Ok(set) => Some(set),
            Err(message) => {
                problems.push(Problem { source: name.clone(), message });
                let last = before.iter().find(|(other, _)| *other == name).map(|(_, set)| set.clone());
                last.filter(|last| fits(last).is_none())
            }
        };
        let Some(set) = set else { continue };
        taken.extend(set.names().map(|id| (id.clone(), name.clone())));
        chosen.push((name, set));
    }
    chosen
}

/// All sets as one, and mentions of upstreams that nobody has.
pub(super) fn join(sets: &[Sets], problems: &mut Vec<Problem>) -> UpstreamSet {
    let mut joined = UpstreamSet::default();
    for (_, set) in sets.iter().flatten() {
        joined.upstreams.extend(set.upstreams.clone());
        joined.toolsets.extend(set.toolsets.clone());
    }
    for (name, set) in sets.iter().flatten() {
        let mut missing = |what: String, upstream: &str| {
            if !joined.upstreams.contains_key(upstream) {
                let message = format!("{what} names the upstream `{upstream}`, which nobody has");
                let problem = Problem { source: name.clone(), message };
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        };
        for (id, toolset) in &set.toolsets {
            for choice in &toolset.tools {
                missing(format!("toolsets.{id}"), &choice.tool.upstream);
            }
        }
        for (id, upstream) in &set.upstreams {
            for to in
                upstream.split.iter().map(|split| &split.to).chain(upstream.shadow.iter().map(|s| &s.to))
            {
                missing(format!("tools.{id}"), to);
            }
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> UpstreamSet {
        let options = mesh_config::LoadOptions::new(&|_| None);
        let fragment = mesh_config::parse_fragment(text, "x.yaml", &BTreeMap::new(), &options).unwrap();
        UpstreamSet { upstreams: fragment.tools, toolsets: fragment.toolsets }
    }

    fn upstream(id: &str) -> UpstreamSet {
        set(&format!("tools: {{ {id}: {{ url: \"http://{id}\" }} }}"))
    }

    fn names(sets: &Sets) -> Vec<String> {
        sets.iter()
            .map(|(name, set)| format!("{name}:{}", set.names().cloned().collect::<Vec<_>>().join(",")))
            .collect()
    }

    #[test]
    fn a_broken_set_leaves_what_was_in_force_and_one_that_is_gone_is_gone() {
        let before = vec![("a".to_owned(), upstream("one")), ("b".to_owned(), upstream("two"))];
        let mut problems = Vec::new();
        let found = vec![("a".to_owned(), Err("broken".to_owned())), ("c".to_owned(), Err("new".to_owned()))];
        let chosen = choose(&before, found, &mut BTreeMap::new(), &mut problems);
        assert_eq!(names(&chosen), ["a:one"]);
        assert_eq!(problems.iter().map(|problem| &*problem.message).collect::<Vec<_>>(), ["broken", "new"]);
    }

    #[test]
    fn a_name_belongs_to_the_first_that_uses_it() {
        let mut taken = BTreeMap::from([("crm".to_owned(), "mesh.yaml".to_owned())]);
        let mut problems = Vec::new();
        let before = vec![("b".to_owned(), upstream("old"))];
        let found = vec![
            ("a".to_owned(), Ok(upstream("crm"))),
            ("b".to_owned(), Ok(upstream("crm"))),
            ("c".to_owned(), Ok(upstream("old"))),
        ];
        let chosen = choose(&before, found, &mut taken, &mut problems);
        assert_eq!(names(&chosen), ["b:old"], "what is in force keeps its names against later sets");
        assert_eq!(problems.len(), 3);
        assert_eq!(problems[0].message, "`crm` is already the name of an upstream or toolset of mesh.yaml");
    }

    #[test]
    fn a_mention_of_an_upstream_that_nobody_has_is_told_once() {
        let sets = [
            vec![("m".to_owned(), set("toolsets: { kit: { tools: [a/x, a/y, erp/z] } }"))],
            vec![("d".to_owned(), set("tools: { a: { url: \"http://a\", split: { to: b, percent: 1 } } }"))],
        ];
        let mut problems = Vec::new();
        let joined = join(&sets, &mut problems);
        assert_eq!((joined.upstreams.len(), joined.toolsets.len()), (1, 1));
        let told: Vec<_> =
            problems.iter().map(|problem| format!("{}: {}", problem.source, problem.message)).collect();
        assert_eq!(
            told,
            [
                "m: toolsets.kit names the upstream `erp`, which nobody has",
                "d: tools.a names the upstream `b`, which nobody has"
            ]
        );
    }
}
