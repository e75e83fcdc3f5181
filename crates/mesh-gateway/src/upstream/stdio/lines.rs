//! Lines of a child process, each with a limit.

use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of a line that is too long is kept, to find out whose it is.
pub(super) const HEAD: usize = 256;

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Bytes),
    /// The beginning of a line that was longer than the limit; the rest is skipped.
    TooLong(Bytes),
}

/// Reads lines. Holds at most one of them.
pub(super) struct Lines<R> {
    source: R,
    buffer: BytesMut,
    scanned: usize,
    skipping: bool,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(source: R, limit: usize) -> Self {
        Self { source, buffer: BytesMut::with_capacity(8 << 10), scanned: 0, skipping: false, limit }
    }

    /// The next line; `None` at the end. A last line without a line end counts as one.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(at) = self.buffer[self.scanned..].iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(self.scanned + at + 1);
                self.scanned = 0;
                if std::mem::take(&mut self.skipping) {
                    continue;
                }
                return Ok(Some(Line::Whole(trimmed(line))));
            }
            self.scanned = self.buffer.len();
            if self.skipping {
                self.buffer.clear();
                self.scanned = 0;
            } else if self.buffer.len() > self.limit {
                self.skipping = true;
                let head = Bytes::copy_from_slice(&self.buffer[..HEAD.min(self.buffer.len())]);
                self.buffer = BytesMut::with_capacity(8 << 10);
                self.scanned = 0;
                return Ok(Some(Line::TooLong(head)));
            }
            self.buffer.reserve(8 << 10);
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                let rest = self.buffer.split();
                self.scanned = 0;
                let whole = !rest.is_empty() && !self.skipping;
                return Ok(whole.then(|| Line::Whole(trimmed(rest))));
            }
        }
    }
}

fn trimmed(mut line: BytesMut) -> Bytes {
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.truncate(line.len() - 1);
    }
    line.freeze()
}

/// What a child process writes: its lines are those of the text, but for those that are too long.
#[cfg(feature = "fuzzing")]
pub fn fuzz(data: &[u8]) {
    use futures_util::FutureExt as _;
    const LIMIT: usize = 64;
    let mut lines = Lines::new(data, LIMIT);
    // Everything is there, so nothing waits.
    while let Some(Ok(Some(line))) = lines.next().now_or_never() {
        match line {
            Line::Whole(line) => assert!(!line.contains(&b'\n')),
            Line::TooLong(head) => assert!(head.len() <= HEAD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_is_too_long_is_reported_once_and_skipped() {
        let text = format!("one\r\n{}\n\nlast", "x".repeat(100_000));
        let mut lines = Lines::new(text.as_bytes(), 1000);
        assert_eq!(lines.next().await.unwrap(), Some(Line::Whole("one".into())));
        let Some(Line::TooLong(head)) = lines.next().await.unwrap() else { panic!() };
        assert_eq!(head, "x".repeat(HEAD));
        assert_eq!(lines.next().await.unwrap(), Some(Line::Whole("".into())));
        assert_eq!(lines.next().await.unwrap(), Some(Line::Whole("last".into())));
        assert_eq!(lines.next().await.unwrap(), None);
    }
}
