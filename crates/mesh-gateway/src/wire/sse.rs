//! Server-sent events: reading those of an upstream, writing ours.

use bytes::{Bytes, BytesMut};
use std::time::Duration;

/// The data of an event, or a sign that one was longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Lines of `data`, joined.
    Data(Bytes),
    /// More than the limit; nothing after it can be read.
    TooLong,
}

/// Longest event id and event name that are kept; longer ones count as none.
const KEPT: usize = 1024;

/// Takes bytes as they come, gives the data of each event. Holds at most one event and one line.
#[derive(Debug)]
pub(crate) struct Reader {
    unread: BytesMut,
    scanned: usize,
    data: BytesMut,
    has_data: bool,
    limit: usize,
    at_start: bool,
    name: BytesMut,
    /// The id of the event under way, and of the last whole one.
    id: Option<Bytes>,
    last_id: Option<Bytes>,
    retry: Option<Duration>,
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
            name: BytesMut::new(),
            id: None,
            last_id: None,
            retry: None,
        }
    }

    /// A reader of the stream that goes on where this one's ended.
    pub(crate) fn resumed(&self) -> Self {
        Self { last_id: self.last_id.clone(), retry: self.retry, ..Self::new(self.limit) }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The id of the last whole event that had one: where to resume.
    pub(crate) fn last_id(&self) -> Option<&Bytes> {
        self.last_id.as_ref()
    }

    /// How long the server wants us to wait before we resume.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// What has arrived of the event under way, as long as it is one line of data whose end has not come.
    pub(crate) fn unfinished(&self) -> Option<&[u8]> {
        let value = self.unread.strip_prefix(b"data:")?;
        let whole = self.scanned == self.unread.len() && !self.has_data;
        whole.then(|| value.strip_prefix(b" ").unwrap_or(value))
    }

    /// The same, taken out. Nothing else can be read afterwards.
    pub(crate) fn into_unfinished(mut self) -> Bytes {
        let len = self.unfinished().map_or(0, <[u8]>::len);
        self.unread.split_off(self.unread.len() - len).freeze()
    }

    /// The next whole event, if it has arrived.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.next_named().map(|(_, event)| event)
    }

    /// The next whole event with its name, which is empty if it has none.
    pub(crate) fn next_named(&mut self) -> Option<(Bytes, Event)> {
        loop {
            let line = match self.line() {
                Some(line) => line,
                None if self.unread.len() > self.limit + 16 => return Some((Bytes::new(), Event::TooLong)),
                None => return None,
            };
            if line.is_empty() {
                if let Some(id) = self.id.take() {
                    self.last_id = Some(id).filter(|id| !id.is_empty());
                }
                let name = self.name.split().freeze();
                if std::mem::take(&mut self.has_data) {
                    return Some((name, Event::Data(std::mem::take(&mut self.data).freeze())));
                }
                continue;
            }
            let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default();
            let value = line.len() - value.strip_prefix(b" ").unwrap_or(value).len();
            match &line[..colon] {
                b"data" if self.data.len() + line.len() - value > self.limit => {
                    return Some((Bytes::new(), Event::TooLong));
                }
                b"data" => self.data(line, value),
                b"event" if line.len() - value <= KEPT => self.name = line.clone().split_off(value),
                b"id" if line.len() - value <= KEPT && !line[value..].contains(&0) => {
                    self.id = Some(Bytes::copy_from_slice(&line[value..]));
                }
                b"retry" => {
                    let text = std::str::from_utf8(&line[value..]).unwrap_or_default();
                    let is_number = text.bytes().all(|b| b.is_ascii_digit());
                    self.retry =
                        text.parse().ok().filter(|_| is_number).map(Duration::from_millis).or(self.retry);
                }
                _ => {}
            }
        }
    }

    /// Takes a line of data whose value begins at `value`. A single line is not copied.
    fn data(&mut self, mut line: BytesMut, value: usize) {
        if std::mem::replace(&mut self.has_data, true) {
            self.data.extend_from_slice(b"\n");
            self.data.extend_from_slice(&line[value..]);
        } else {
            self.data = line.split_off(value);
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
    fn the_id_and_the_pause_are_kept_for_resuming() {
        let mut reader = Reader::new(100);
        reader.push(b"id: 1\ndata: a\n\nretry: 250\nid: 2\n\nevent: endpoint\nid: 3\ndata: b\n");
        assert_eq!(reader.next_named(), Some((Bytes::new(), data("a"))));
        assert_eq!(reader.next_event(), None);
        assert_eq!(reader.last_id().unwrap(), "2", "an event that did not come whole does not count");
        assert_eq!(reader.retry(), Some(Duration::from_millis(250)));
        reader.push(b"\nid\n\n");
        assert_eq!(reader.next_named(), Some(("endpoint".into(), data("b"))));
        assert_eq!(reader.resumed().last_id().unwrap(), "3");
        assert_eq!(reader.next_event(), None);
        assert_eq!(reader.last_id(), None, "an empty id means none");
    }

    #[test]
    fn a_line_that_has_not_ended_can_be_taken_out() {
        let mut reader = Reader::new(100);
        reader.push(b": x\nevent: message\ndata: {\"a\":");
        assert_eq!(reader.next_event(), None);
        assert_eq!(reader.unfinished().unwrap(), b"{\"a\":");
        assert_eq!(reader.into_unfinished(), "{\"a\":");
        let mut reader = Reader::new(100);
        reader.push(b"data: 1\ndata: 2");
        assert_eq!(reader.next_event(), None);
        assert_eq!(reader.unfinished(), None);
    }

    #[test]
    fn an_event_has_a_limit_in_one_line_or_in_many() {
        assert_eq!(events(&[b"data: ", &[b'x'; 100]]), [Event::TooLong]);
        assert_eq!(events(&[&b"data: 1234567890\n".repeat(10)]), [Event::TooLong]);
    }
}
