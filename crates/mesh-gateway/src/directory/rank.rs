//! Which agents fit a need in words, best first. The one place to put another ranking into.

use super::agent::Agent;
use super::cards::Card;
use std::collections::HashSet;

/// Longest text that is looked at, in words.
const WORDS: usize = 64;

/// The words of an agent by how much they say about it.
pub(super) struct Fields {
    /// Weight and words.
    words: Vec<(f64, HashSet<String>)>,
}

/// What an agent is found by.
pub(super) fn fields(agent: &Agent, card: Option<&Card>) -> Fields {
    let mut tags: Vec<&str> = agent.site.tags.iter().map(String::as_str).collect();
    tags.extend(card.iter().flat_map(|card| card.tags.iter().map(String::as_str)));
    let skills = card.map(|card| card.skills.to_string()).unwrap_or_default();
    Fields {
        words: vec![
            (4.0, words(&agent.name).collect()),
            (3.0, words(&tags.join(" ")).collect()),
            (2.0, words(&agent.description(card)).collect()),
            (1.0, words(&skills).collect()),
        ],
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// The places of those that fit, with their scores between 0 and 1. Without words, everybody fits.
pub(super) fn rank(text: &str, agents: &[Fields]) -> Vec<(usize, f64)> {
    let wanted: HashSet<String> = words(text).take(WORDS).collect();
    if wanted.is_empty() {
        return (0..agents.len()).map(|at| (at, 1.0)).collect();
    }
    // A word that few have says more.
    let rarity = |word: &String| {
        let have = agents.iter().filter(|fields| fields.words.iter().any(|(_, words)| words.contains(word)));
        (1.0 + agents.len() as f64 / (1.0 + have.count() as f64)).ln()
    };
    let wanted: Vec<(f64, String)> = wanted.into_iter().map(|word| (rarity(&word), word)).collect();
    let most: f64 = wanted.iter().map(|(rarity, _)| rarity * 4.0).sum();
    let score = |fields: &Fields| -> f64 {
        let word = |(rarity, word): &(f64, String)| {
            let weights =
                fields.words.iter().filter(|(_, words)| words.contains(word)).map(|(weight, _)| *weight);
            rarity * weights.fold(0.0, f64::max)
        };
        wanted.iter().map(word).sum::<f64>() / most
    };
    let mut found: Vec<_> = agents.iter().map(score).enumerate().filter(|(_, score)| *score > 0.0).collect();
    found.sort_by(|one, other| other.1.total_cmp(&one.1));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields_of(name: &str, description: &str) -> Fields {
        Fields { words: vec![(4.0, words(name).collect()), (2.0, words(description).collect())] }
    }

    #[test]
    fn the_best_comes_first_and_who_has_no_word_does_not_come() {
        let agents = [
            fields_of("writer", "writes about sales"),
            fields_of("sales", "sells things"),
            fields_of("cook", "cooks"),
        ];
        let found: Vec<usize> = rank("Sales!", &agents).into_iter().map(|(at, _)| at).collect();
        assert_eq!(found, [1, 0]);
        assert_eq!(rank("", &agents).len(), 3);
        assert!(rank("sales writes", &agents).iter().all(|(_, score)| (0.0..=1.0).contains(score)));
    }
}
