//! Text as the words that are compared: split, in small letters, without those that say nothing, each as its stem.

use rust_stemmers::{Algorithm, Stemmer};

/// Longer ones are not words.
const LONGEST: usize = 64;
/// Words of English that are in every sentence.
const SAY_NOTHING: &[&str] = &[
    "a", "an", "and", "any", "are", "as", "at", "be", "by", "can", "do", "for", "from", "has", "have", "how",
    "i", "if", "in", "into", "is", "it", "its", "me", "my", "need", "of", "on", "or", "our", "please",
    "should", "so", "some", "that", "the", "their", "this", "to", "want", "we", "what", "when", "which",
    "will", "with", "would", "you", "your",
];

/// A word as it was written, in small letters, and its stem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) written: String,
    pub(super) stem: String,
}

/// Splits text at everything that is neither a letter nor a digit, and inside names that are written `likeThis` or `HTTPLikeThis`.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word> {
    let stemmer = Stemmer::create(Algorithm::English);
    text.split(|c: char| !c.is_alphanumeric())
        .flat_map(humps)
        .map(str::to_lowercase)
        .filter(|word| {
            !word.is_empty() && word.len() <= LONGEST && SAY_NOTHING.binary_search(&word.as_str()).is_err()
        })
        .map(move |written| Word { stem: stemmer.stem(&written).into_owned(), written })
}

/// The parts of a name that is written with capitals inside.
fn humps(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let chars: Vec<(usize, char)> = name.char_indices().collect();
    for (at, &(byte, here)) in chars.iter().enumerate().skip(1) {
        let before = chars[at - 1].1;
        let after = chars.get(at + 1).map(|(_, c)| *c);
        let rises = here.is_uppercase() && !before.is_uppercase();
        let run_ends = here.is_uppercase() && before.is_uppercase() && after.is_some_and(char::is_lowercase);
        if rises || run_ends {
            parts.push(&name[start..byte]);
            start = byte;
        }
    }
    parts.push(&name[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(text: &str) -> Vec<String> {
        words(text).map(|word| word.stem).collect()
    }

    #[test]
    fn names_are_split_however_they_are_written() {
        for name in ["list_open_invoices", "list-open.invoices", "listOpenInvoices", "ListOpenInvoices"] {
            assert_eq!(stems(name), ["list", "open", "invoic"], "{name}");
        }
        assert_eq!(stems("parseHTTPRequest v2"), ["pars", "http", "request", "v2"]);
    }

    #[test]
    fn words_that_say_nothing_are_left_out_and_forms_of_a_word_are_one() {
        assert_eq!(stems("I need to look up the customers"), ["look", "up", "custom"]);
        assert_eq!(stems("Straße ÄRGER"), ["straße", "ärger"]);
        assert!(stems("--- , to the").is_empty());
        assert!(stems(&"x".repeat(LONGEST + 1)).is_empty());
    }

    #[test]
    fn the_words_that_say_nothing_are_sorted() {
        assert!(SAY_NOTHING.is_sorted());
    }
}
