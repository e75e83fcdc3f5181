//! What the peers have in common: the behaviour of `scripted-worker` with the text `bench`, and how an address is told.

use std::io::{self, Write as _};

/// Chunks of one task.
pub const CHUNKS: usize = 10;

/// The text of a chunk, counted from 1: 24 bytes.
#[must_use]
pub fn chunk(number: usize) -> String {
    format!("{:.<24}", format!("chunk {number} of {CHUNKS} "))
}

/// Tells the bench where the server listens.
///
/// # Errors
/// Standard output is closed.
pub fn announce(url: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{url}")?;
    out.flush()
}
