//! Entry points of the fuzz targets in `fuzz/`: each takes any bytes and must not panic. Beside "nothing crashes" they
//! check that what was decoded is encoded as the same, and that it does not matter how bytes are cut.

pub use crate::upstream::fuzz_lines as lines;

use crate::session::{Purpose, Seal, Session};
use crate::wire::envelope::{Message, decode};
use crate::wire::object::RawObject;
use crate::wire::splice::Splicer;
use crate::wire::sse::{Event, Reader};
use crate::wire::{depth, header_value};
use mesh_core::{Principal, Timestamp};

const DEPTH: usize = 64;
const LIMIT: usize = 256;

/// A message of a client.
pub fn message(data: &[u8]) {
    let _ = depth::exceeds(data, DEPTH);
    if let Ok(Message::Request { params, .. } | Message::Notification { params, .. }) = decode(data, DEPTH) {
        let text = params.to_text();
        let again = RawObject::parse(&text).map(|again| again.to_text());
        assert_eq!(again.ok().as_deref(), Some(&*text), "parameters must survive");
    }
}

/// The value of a header that has to be equal to something in the body.
pub fn header(data: &[u8]) {
    if let Some(text) = header_value::decode(data) {
        let encoded = header_value::encode(&text).into_owned();
        // Blanks around a plain value are those of HTTP.
        assert_eq!(header_value::decode(encoded.as_bytes()).as_deref(), Some(&*text));
    }
}

/// The events of an upstream; the first byte says how the rest is cut.
pub fn events(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let (whole, cut) = (read(stream, stream.len()), read(stream, (*step).into()));
    // Where one is too long, how much of it had come decides when that is noticed.
    let common = whole.len().min(cut.len());
    let is_whole = |events: &[Event]| !events.contains(&Event::TooLong);
    if is_whole(&whole) && is_whole(&cut) {
        assert_eq!(whole, cut);
    }
    assert!(
        whole
            .iter()
            .zip(&cut)
            .take(common)
            .all(|(a, b)| a == b || *a == Event::TooLong || *b == Event::TooLong)
    );
}

fn read(stream: &[u8], step: usize) -> Vec<Event> {
    let mut reader = Reader::new(LIMIT);
    let mut events = Vec::new();
    for piece in stream.chunks(step.max(1)) {
        reader.push(piece);
        while let Some(event) = reader.next_event() {
            let is_last = event == Event::TooLong;
            events.push(event);
            if is_last {
                return events;
            }
        }
    }
    events
}

/// An upstream's answer out of which the result is cut; the first byte says how the rest arrives.
pub fn answer(data: &[u8]) {
    let Some((step, text)) = data.split_first() else { return };
    let (whole, cut) = (splice(text, text.len()), splice(text, (*step).into()));
    assert_eq!(whole, cut);
    if let Some(result) = whole {
        assert!(std::str::from_utf8(&result).is_ok());
    }
}

/// The result, if the answer is one.
fn splice(text: &[u8], step: usize) -> Option<Vec<u8>> {
    let (mut splicer, mut result) = (Splicer::new(1), Vec::new());
    for piece in text.chunks(step.max(1)) {
        let range = splicer.push(piece).ok()?;
        result.extend_from_slice(piece.get(range)?);
    }
    splicer.finish().ok()?;
    Some(result)
}

/// A session id that somebody made up, and one that we sealed around these bytes.
pub fn session(data: &[u8]) {
    let (seal, own, now) = (Seal::new(Some(b"fuzzing")), Principal::local(), Timestamp(0));
    let sealed = seal.close(Purpose::Session, data);
    assert!(seal.open(Purpose::State, sealed.as_bytes()).is_none(), "made for another purpose");
    let _ = Session::open(sealed.as_bytes(), &seal, &own, now);
    assert!(Session::open(data, &seal, &own, now).is_none(), "nobody else can make one");
}
