//! Server-sent events, as far as a client of JSON events needs them.

use bytes::{Buf as _, BytesMut};

/// Cuts a byte stream into the `data` of its events.
#[derive(Default)]
pub(crate) struct SseReader {
    pending: BytesMut,
    data: Vec<u8>,
    /// The number in the `id` of the last event, or of the one that has begun.
    id: Option<u64>,
}

impl SseReader {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The number of the last event, if it has one.
    pub(crate) fn id(&self) -> Option<u64> {
        self.id
    }

    /// The data of the next complete event. Comments, ids and events without data are skipped.
    pub(crate) fn next_event(&mut self) -> Option<Vec<u8>> {
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line = self.pending.split_to(end);
            self.pending.advance(1);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                if !self.data.is_empty() {
                    return Some(std::mem::take(&mut self.data));
                }
            } else if let Some(id) = line.strip_prefix(b"id:") {
                self.id = std::str::from_utf8(id).ok().and_then(|id| id.trim().parse().ok());
            } else if let Some(data) = line.strip_prefix(b"data:") {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_stream_is_cut() {
        let stream = b": hi\n\nid: 1\ndata: one\n\ndata:two\r\ndata: more\r\n\r\nevent: ping\n\ndata: cut";
        for size in 1..stream.len() {
            let mut reader = SseReader::default();
            let mut events = Vec::new();
            for piece in stream.chunks(size) {
                reader.push(piece);
                events.extend(std::iter::from_fn(|| reader.next_event()));
            }
            assert_eq!(events, [&b"one"[..], b"two\nmore"], "{size}");
        }
    }
}
