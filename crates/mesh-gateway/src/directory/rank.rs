//! Which agents fit a need in words, best first. The one place to put another ranking into.

use super::agent::Agent;
use super::cards::Card;
use crate::find::{Document, Field, Index};

/// What an agent is found by.
pub(super) fn document(agent: &Agent, card: Option<&Card>) -> Document {
    let mut document = Document::default()
        .with(Field::Name, agent.name.as_str())
        .with(Field::Description, agent.description(card));
    let tags = card.map(|card| card.tags.as_slice()).unwrap_or_default();
    for tag in agent.site.tags.iter().chain(tags) {
        document = document.with(Field::Tags, tag.as_str());
    }
    let skills = card.and_then(|card| card.skills.as_array()).map(Vec::as_slice).unwrap_or_default();
    for skill in skills {
        for (member, field) in [("name", Field::Title), ("description", Field::Description)] {
            if let Some(text) = skill[member].as_str() {
                document = document.with(field, text);
            }
        }
    }
    document
}

/// The places of those that fit, with their scores: 1 is the best of this search, and none is 0. Without a need, everybody fits.
pub(super) fn rank(need: &str, agents: Vec<Document>) -> Vec<(usize, f64)> {
    let count = agents.len();
    if need.trim().is_empty() {
        return (0..count).map(|at| (at, 1.0)).collect();
    }
    let hits = Index::new(agents).search(need, &vec![true; count]);
    let best = hits.first().map_or(1.0, |hit| hit.score);
    hits.into_iter().map(|hit| (hit.document, hit.score / best)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, description: &str) -> Document {
        Document::default().with(Field::Name, name).with(Field::Description, description)
    }

    fn agents() -> Vec<Document> {
        vec![agent("writer", "writes about sales"), agent("sales", "sells things"), agent("cook", "cooks")]
    }

    #[test]
    fn the_best_comes_first_and_who_has_no_word_does_not_come() {
        let found: Vec<usize> = rank("Sales!", agents()).into_iter().map(|(at, _)| at).collect();
        assert_eq!(found, [1, 0]);
        assert_eq!(rank(" ", agents()).len(), 3);
        assert!(rank("the weather", agents()).is_empty());
    }

    #[test]
    fn scores_are_between_nothing_and_one() {
        let found = rank("who writes about sales", agents());
        assert_eq!(found[0], (0, 1.0));
        assert!(found.iter().all(|(_, score)| *score > 0.0 && *score <= 1.0), "{found:?}");
    }
}
