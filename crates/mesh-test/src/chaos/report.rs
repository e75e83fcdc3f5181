//! What a run came to.

use super::checker::{Count, Job};
use super::client::Counters;
use super::plan::Setup;
use super::run::Options;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The summary of a run.
#[derive(Clone, Debug)]
pub struct Report {
    setup: Setup,
    seed: u64,
    took: Duration,
    lease: Duration,
    clients: usize,
    faults: BTreeMap<&'static str, u64>,
    gave_up: u64,
    messages: usize,
    transcripts: usize,
    seen: u64,
    reconnects: u64,
    repeated: u64,
    behind: u64,
    refusals: BTreeMap<String, u64>,
    count: Count,
    /// Every promise that was broken.
    pub wrong: Vec<String>,
}

impl Report {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        options: &Options,
        took: Duration,
        faults: BTreeMap<&'static str, u64>,
        gave_up: u64,
        jobs: &[Job],
        count: Count,
        counters: &Counters,
        wrong: Vec<String>,
    ) -> Self {
        Self {
            setup: options.setup,
            seed: options.seed,
            took,
            lease: options.lease,
            clients: options.clients,
            faults,
            gave_up,
            messages: jobs.len(),
            transcripts: jobs.iter().map(|job| job.transcripts.len()).sum(),
            seen: counters.seen.load(Ordering::Relaxed),
            reconnects: counters.reconnects.load(Ordering::Relaxed),
            repeated: counters.repeated.load(Ordering::Relaxed),
            behind: counters.behind.load(Ordering::Relaxed),
            refusals: counters.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            count,
            wrong,
        }
    }

    /// How many faults there were.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.values().sum()
    }

    /// A section of a document in Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = "| | |\n|---|---:|\n".to_owned();
        for (name, value) in self.rows() {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        text
    }

    /// The heading of its section.
    #[must_use]
    pub fn title(&self) -> String {
        let mut title = self.setup.to_string();
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        title
    }

    fn rows(&self) -> Vec<(String, String)> {
        let row = |name: &str, value: String| (name.to_owned(), value);
        let mut rows = vec![
            row("seed", self.seed.to_string()),
            row("time", format!("{} s", self.took.as_secs())),
            row("messages at a time", self.clients.to_string()),
        ];
        if self.setup == Setup::Jetstream {
            rows.push(row("lease", format!("{} ms", self.lease.as_millis())));
        }
        rows.push(row("faults", self.faults().to_string()));
        rows.extend(self.faults.iter().map(|(kind, count)| row(&format!("– {kind}"), count.to_string())));
        if self.setup == Setup::Jetstream {
            rows.push(row(
                "hosts that gave up because NATS did not answer, and were started again",
                self.gave_up.to_string(),
            ));
        }
        rows.push(row("messages", self.messages.to_string()));
        rows.push(row("– sent again after a broken answer, or to see", self.repeated.to_string()));
        let states = self.count.states.iter();
        rows.extend(states.map(|(state, count)| row(&format!("– tasks {state}"), count.to_string())));
        rows.push(row("events in the logs", self.count.events.to_string()));
        rows.push(row("transcripts", self.transcripts.to_string()));
        rows.push(row("events seen", self.seen.to_string()));
        rows.push(row("connections lost and resumed", self.reconnects.to_string()));
        rows.push(row("attempts", self.count.attempts.to_string()));
        let losses = self.count.losses.iter();
        rows.extend(
            losses.map(|(why, count)| row(&format!("– over without an end: {why}"), count.to_string())),
        );
        rows.push(row(
            "answers that were behind an earlier one, and right when asked again",
            self.behind.to_string(),
        ));
        rows.push(row("**promises broken**", format!("**{}**", self.wrong.len())));
        rows
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title())?;
        for (name, value) in self.rows() {
            writeln!(f, "  {:<70} {:>8}", name.replace("**", ""), value.replace("**", ""))?;
        }
        for (text, count) in &self.refusals {
            writeln!(f, "  refused: {text:<61} {count:>8}")?;
        }
        for wrong in self.wrong.iter().take(20) {
            writeln!(f, "WRONG {wrong}")?;
        }
        match self.wrong.len() {
            0..=20 => Ok(()),
            all => writeln!(f, "… and {} more", all - 20),
        }
    }
}
