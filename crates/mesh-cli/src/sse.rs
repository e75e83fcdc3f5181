//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>), bounded.

use std::collections::VecDeque;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its own `id`; unlike in a browser, the id of an earlier event is not repeated.
    pub(crate) id: Option<String>,
    /// The lines of `data`, joined.
    pub(crate) data: String,
}

/// An event was larger than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge(pub(crate) usize);

/// Turns bytes into events, however they are cut.
#[derive(Debug)]
pub(crate) struct Decoder {
    limit: usize,
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    at_start: bool,
    data: Option<String>,
    id: Option<String>,
    ready: VecDeque<Event>,
}

impl Decoder {
    /// Takes events of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_return: false,
            at_start: true,
            data: None,
            id: None,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), TooLarge> {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
            if held + part.len() > self.limit {
                return Err(TooLarge(self.limit));
            }
            self.line.extend_from_slice(part);
            bytes = rest;
            if end.is_some() {
                self.after_return = bytes[0] == b'\r';
                bytes = &bytes[1..];
                self.end_line();
            }
        }
        Ok(())
    }

    /// The next complete event.
    pub(crate) fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let line = if std::mem::take(&mut self.at_start) {
            text.strip_prefix('\u{feff}').unwrap_or(&text)
        } else {
            &text
        };
        if line.is_empty() {
            let id = self.id.take();
            if let Some(data) = self.data.take() {
                self.ready.push_back(Event { id, data });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], step: usize) -> Vec<Event> {
        let mut decoder = Decoder::new(1000);
        let mut events = Vec::new();
        for chunk in bytes.chunks(step) {
            decoder.push(chunk).unwrap();
            events.extend(std::iter::from_fn(|| decoder.next()));
        }
        events
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let text =
            "\u{feff}: hello\r\nid: 1\ndata: {\"a\":\r\ndata:1}\r\rdata: ä\n\nid: 3\n\nevent: x\ndata\n\nda"
                .as_bytes();
        let expected = [
            Event { id: Some("1".into()), data: "{\"a\":\n1}".into() },
            Event { id: None, data: "ä".into() },
            Event { id: None, data: String::new() },
        ];
        for step in 1..=text.len() {
            assert_eq!(decode(text, step), expected, "in steps of {step}");
        }
    }

    #[test]
    fn an_event_that_is_too_large_is_refused_before_it_is_held() {
        let mut decoder = Decoder::new(10);
        assert_eq!(decoder.push(b"data: 0123456789"), Err(TooLarge(10)));
        let mut decoder = Decoder::new(12);
        decoder.push(b"data: 012\n").unwrap();
        decoder.push(b"data: 01\n").unwrap();
        assert_eq!(decoder.push(b"data: 0\n"), Err(TooLarge(12)));
    }
}
