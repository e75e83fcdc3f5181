//! From a finding inside the decoder to a [`Diagnostic`] with its excerpt.

use crate::diagnostic::{Diagnostic, Position, Report, Severity};
use crate::source::{Source, Span};

/// Most characters of a line that are shown.
const EXCERPT_WIDTH: usize = 160;
/// Characters shown before the place when the line is longer than that.
const EXCERPT_LEAD: usize = 60;
/// Most findings that are listed.
pub(crate) const MAX_FINDINGS: usize = 100;

/// A finding before the text around it is known.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// Lists findings by line, with what is written under `masks` hidden.
pub(crate) fn report(
    mut findings: Vec<Finding>,
    omitted: usize,
    source: &Source<'_>,
    masks: &[Span],
) -> Report {
    findings.sort_by_key(|finding| (finding.span.line, finding.span.column));
    let diagnostics = findings
        .into_iter()
        .map(|finding| Diagnostic {
            severity: finding.severity,
            message: finding.message,
            help: finding.help,
            file: source.name.clone(),
            position: position(finding.span, source, masks),
        })
        .collect();
    Report { diagnostics, omitted }
}

fn position(span: Span, source: &Source<'_>, masks: &[Span]) -> Option<Position> {
    if !span.is_written() {
        return None;
    }
    let text = source.line(span.line).unwrap_or_default();
    let width = text.chars().count();
    let at = (span.column - 1).min(width);
    let from = if width <= EXCERPT_WIDTH { 0 } else { at.saturating_sub(EXCERPT_LEAD) };
    let to = width.min(from + EXCERPT_WIDTH);
    let end = if span.end_line > span.line { to } else { (span.end_column - 1).min(to) };
    let masks: Vec<&Span> = masks.iter().filter(|mask| overlaps(mask, span.line, from + 1, to)).collect();
    let is_masked = |column| masks.iter().any(|mask| overlaps(mask, span.line, column, column));
    let shown = text.chars().enumerate().skip(from).take(to - from);
    let excerpt: String =
        shown.map(|(index, char)| if is_masked(index + 1) { '*' } else { printable(char) }).collect();
    Some(Position {
        line: span.line,
        column: span.column,
        excerpt: excerpt.trim_end().to_owned(),
        offset: at - from,
        length: end.saturating_sub(at).max(1),
    })
}

/// Keeps control characters (a terminal would obey them) out of the excerpt.
fn printable(char: char) -> char {
    if char.is_control() { ' ' } else { char }
}

/// Whether `mask` covers any of the columns `from..=to` of `line`.
fn overlaps(mask: &Span, line: usize, from: usize, to: usize) -> bool {
    (mask.line, mask.column) <= (line, to) && (line, from) < (mask.end_line, mask.end_column)
}
