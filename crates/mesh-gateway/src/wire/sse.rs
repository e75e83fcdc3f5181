//! Server-sent events: reading those of an upstream, writing ours.

use bytes::{Bytes, BytesMut};

/// The data of an event, or a sign that one was longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Lines of `data`, joined.
    Data(Bytes),
    /// More than the limit; nothing after it can be read.
    TooLong,
}

/// Takes bytes as they come, gives the data of each event. Holds at most one event and one line.
#[derive(Debug)]
pub(crate) struct Reader {
    unread: BytesMut,
    scanned: usize,
    data: BytesMut,
    has_data: bool,
    limit: usize,
    at_start: bool,
}

impl Reader {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            unread: BytesMut::new(),
            scanned: 0,
            data: BytesMut::new(),
            has_data: false,
            limit,
            at_start: true,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next whole event, if it has arrived.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        loop {
            let line = match self.line() {
                Some(line) => line,
                None if self.unread.len() > self.limit + 16 => return Some(Event::TooLong),
                None => return None,
            };
            if line.is_empty() {
                if std::mem::take(&mut self.has_data) {
                    return Some(Event::Data(self.data.split().freeze()));
                }
                continue;
            }
            let Some(value) = line.strip_prefix(b"data") else { continue };
            let value = match value {
                [] => value,
                [b':', b' ', rest @ ..] | [b':', rest @ ..] => rest,
                _ => continue,
            };
            if self.data.len() + value.len() > self.limit {
                return Some(Event::TooLong);
            }
            if self.has_data {
                self.data.extend_from_slice(b"\n");
            }
            self.data.extend_from_slice(value);
            self.has_data = true;
        }
    }

    /// The next line without its end: LF, CR or CRLF. A CR at the end of what arrived waits for a possible LF.
    fn line(&mut self) -> Option<BytesMut> {
        let found = self.unread[self.scanned..].iter().position(|b| matches!(b, b'\n' | b'\r'));
        let Some(at) = found.map(|at| at + self.scanned) else {
            self.scanned = self.unread.len();
            return None;
        };
        let ending = match (self.unread[at], self.unread.get(at + 1)) {
            (b'\r', Some(b'\n')) => 2,
            (b'\r', None) => {
                self.scanned = at;
                return None;
            }
            _ => 1,
        };
        let mut line = self.unread.split_to(at + ending);
        line.truncate(at);
        self.scanned = 0;
        if std::mem::take(&mut self.at_start) && line.starts_with(b"\xef\xbb\xbf") {
            line = line.split_off(3);
        }
        Some(line)
    }
}

/// An event that carries a JSON-RPC message. The message has no line ends: JSON escapes them, and those between
/// tokens are replaced by spaces.
pub(crate) fn message(json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() + 24);
    out.extend_from_slice(b"event: message\ndata: ");
    out.extend(json.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }));
    out.extend_from_slice(b"\n\n");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<Event> {
        let mut reader = Reader::new(32);
        let mut events = Vec::new();
        for piece in pieces {
            reader.push(piece);
            while let Some(event) = reader.next_event() {
                let end = event == Event::TooLong;
                events.push(event);
                if end {
                    return events;
                }
            }
        }
        events
    }

    fn data(text: &'static str) -> Event {
        Event::Data(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn events_are_whole_however_they_are_cut() {
        let stream = b"\xef\xbb\xbf: hello\nid: 1\r\nevent: message\rdata: {\"a\":\r\ndata:1}\n\ndata\n\nretry: 5\n\ndata: x\r\n\r\n";
        let whole = events(&[stream]);
        assert_eq!(whole, [data("{\"a\":\n1}"), data(""), data("x")]);
        for at in 0..stream.len() {
            assert_eq!(events(&[&stream[..at], &stream[at..]]), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(events(&bytes), whole);
    }

    #[test]
    fn an_event_has_a_limit_in_one_line_or_in_many() {
        assert_eq!(events(&[b"data: ", &[b'x'; 100]]), [Event::TooLong]);
        assert_eq!(events(&[&b"data: 1234567890\n".repeat(10)]), [Event::TooLong]);
    }
}
