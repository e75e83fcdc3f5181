//! A full-text index over documents with fields, ranked by BM25F.
//!
//! What counts as rare, and how long a text is on average, is reckoned over the documents that the caller may see and no others: what is hidden from
//! somebody does not show in the scores either.

use super::words::words;
use std::collections::HashMap;

/// How fast further occurrences of a word count less.
const SATURATION: f64 = 1.2;
/// How much a long text counts against an occurrence: 0 not at all, 1 in proportion.
const LENGTH: f64 = 0.6;
/// How many different words of a query are looked up; what comes after them is not.
const QUERY_WORDS: usize = 32;

/// What a text of a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Name,
    Title,
    Description,
    Tags,
    Category,
    Parameters,
}

/// How many fields there are.
const FIELDS: usize = 6;

impl Field {
    /// How much a word counts here.
    fn weight(self) -> f64 {
        match self {
            Self::Name => 3.0,
            Self::Title => 2.5,
            Self::Tags | Self::Category => 2.0,
            Self::Description => 1.0,
            Self::Parameters => 0.7,
        }
    }

    /// What a reason calls it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Title => "title",
            Self::Description => "description",
            Self::Tags => "tags",
            Self::Category => "category",
            Self::Parameters => "parameters",
        }
    }
}

/// The texts of one thing that can be found.
#[derive(Debug, Default)]
pub(crate) struct Document {
    texts: Vec<(Field, String)>,
}

impl Document {
    /// With one more text; a field may have several.
    pub(crate) fn with(mut self, field: Field, text: impl Into<String>) -> Self {
        self.texts.push((field, text.into()));
        self
    }
}

/// A document that has to do with the need.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hit {
    /// Its place among the documents of the index.
    pub(crate) document: usize,
    /// Comparable within one search only; more is better.
    pub(crate) score: f64,
    /// The words of the need that are in it, as they were written, and where.
    pub(crate) matched: Vec<(String, Vec<Field>)>,
}

/// Documents by their words.
#[derive(Debug, Default)]
pub(crate) struct Index {
    postings: HashMap<String, Vec<Posting>>,
    /// How many words each field of each document has.
    lengths: Vec<[u32; FIELDS]>,
}

#[derive(Debug)]
struct Posting {
    document: usize,
    field: Field,
    count: u32,
}

impl Index {
    pub(crate) fn new(documents: impl IntoIterator<Item = Document>) -> Self {
        let mut index = Self::default();
        for (at, document) in documents.into_iter().enumerate() {
            let mut lengths = [0; FIELDS];
            for (field, text) in document.texts {
                for word in words(&text) {
                    lengths[field as usize] += 1;
                    let postings = index.postings.entry(word.stem).or_default();
                    let same = |posting: &&mut Posting| posting.document == at && posting.field == field;
                    // Those of this document are at the end, one for each field at most.
                    match postings.iter_mut().rev().take(FIELDS).find(same) {
                        Some(posting) => posting.count += 1,
                        None => postings.push(Posting { document: at, field, count: 1 }),
                    }
                }
            }
            index.lengths.push(lengths);
        }
        index
    }

    /// The documents that have to do with a need, best first; those with the same score in the order of the index. `visible` says for each
    /// document whether the caller may see it.
    pub(crate) fn search(&self, need: &str, visible: &[bool]) -> Vec<Hit> {
        let visible = |document: usize| visible.get(document).copied().unwrap_or_default();
        let scale = Scale::of(&self.lengths, visible);
        let mut hits: HashMap<usize, Hit> = HashMap::new();
        let mut asked: Vec<String> = Vec::new();
        for word in words(need) {
            if asked.len() == QUERY_WORDS {
                break;
            }
            if asked.contains(&word.stem) {
                continue;
            }
            let postings = self.postings.get(&word.stem).map(Vec::as_slice).unwrap_or_default();
            let mut found: Vec<(usize, f64, Vec<Field>)> = Vec::new();
            for posting in postings.iter().filter(|posting| visible(posting.document)) {
                let length = self.lengths[posting.document][posting.field as usize];
                let weight = f64::from(posting.count) * scale.weight(posting.field, length);
                match found.last_mut() {
                    Some((document, sum, fields)) if *document == posting.document => {
                        *sum += weight;
                        fields.push(posting.field);
                    }
                    _ => found.push((posting.document, weight, vec![posting.field])),
                }
            }
            let rarity = scale.rarity(found.len());
            for (document, weight, mut fields) in found {
                fields.sort_unstable();
                let hit =
                    hits.entry(document).or_insert_with(|| Hit { document, score: 0.0, matched: Vec::new() });
                hit.score += rarity * weight * (SATURATION + 1.0) / (SATURATION + weight);
                hit.matched.push((word.written.clone(), fields));
            }
            asked.push(word.stem);
        }
        let mut hits: Vec<Hit> = hits.into_values().collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.document.cmp(&b.document)));
        hits
    }
}

/// What the weights of a search are measured by.
struct Scale {
    documents: f64,
    average: [f64; FIELDS],
}

impl Scale {
    #[allow(clippy::cast_precision_loss, reason = "there are fewer documents than 2^52")]
    fn of(lengths: &[[u32; FIELDS]], visible: impl Fn(usize) -> bool) -> Self {
        let mut documents = 0.0;
        let mut average = [0.0; FIELDS];
        for (_, lengths) in lengths.iter().enumerate().filter(|(at, _)| visible(*at)) {
            documents += 1.0;
            for (sum, length) in average.iter_mut().zip(lengths) {
                *sum += f64::from(*length);
            }
        }
        for sum in &mut average {
            *sum /= f64::max(documents, 1.0);
        }
        Self { documents, average }
    }

    /// What one occurrence counts in a field of this length.
    fn weight(&self, field: Field, length: u32) -> f64 {
        let average = self.average[field as usize];
        field.weight() / (1.0 - LENGTH + LENGTH * f64::from(length) / average.max(f64::MIN_POSITIVE))
    }

    #[allow(clippy::cast_precision_loss, reason = "there are fewer documents than 2^52")]
    fn rarity(&self, having: usize) -> f64 {
        let having = having as f64;
        (1.0 + (self.documents - having + 0.5) / (having + 0.5)).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let tool = |name: &str, description: &str| {
            Document::default().with(Field::Name, name).with(Field::Description, description)
        };
        Index::new([
            tool("get_customer", "Looks up one customer by its number"),
            tool("create_invoice", "Writes an invoice for a customer"),
            tool("sendMail", "Sends a message to an address").with(Field::Tags, "email outgoing"),
            tool("list_invoices", "All invoices, newest first"),
        ])
    }

    fn found(need: &str, visible: &[bool]) -> Vec<usize> {
        index().search(need, visible).iter().map(|hit| hit.document).collect()
    }

    #[test]
    fn the_best_is_first_and_what_has_nothing_to_do_with_it_is_not_there() {
        let all = [true; 4];
        assert_eq!(found("look up a customer", &all), [0, 1]);
        assert_eq!(found("create an invoice for our customers", &all)[0], 1);
        assert_eq!(found("send an email", &all), [2]);
        assert!(
            found("weather", &all).is_empty()
                && found("", &all).is_empty()
                && found("to the", &all).is_empty()
        );
    }

    #[test]
    fn the_reason_names_the_words_as_asked_and_their_fields() {
        let hits = index().search("Customers customer mailing", &[true; 4]);
        assert_eq!(hits[0].matched, [("mailing".to_owned(), vec![Field::Name])]);
        let customer = hits.iter().find(|hit| hit.document == 0).unwrap();
        assert_eq!(customer.matched, [("customers".to_owned(), vec![Field::Name, Field::Description])]);
    }

    #[test]
    fn what_is_hidden_neither_appears_nor_shows_in_the_scores() {
        let visible = [true, true, false, false];
        let with_hidden = index().search("customer invoice", &visible);
        let tool = |name: &str, description: &str| {
            Document::default().with(Field::Name, name).with(Field::Description, description)
        };
        let without = Index::new([
            tool("get_customer", "Looks up one customer by its number"),
            tool("create_invoice", "Writes an invoice for a customer"),
        ]);
        assert_eq!(with_hidden, without.search("customer invoice", &[true; 2]));
        assert!(found("mail", &visible).is_empty() && found("customer", &[]).is_empty());
    }
}
