//! Entry points of the fuzz targets: each takes any bytes and must not panic.

use crate::wire::splice::Splicer;
use crate::wire::sse::{Event, Reader};

/// Longest event that the fuzzed reader holds.
const LIMIT: usize = 256;

/// What is cut out of an answer does not depend on how the answer is cut, and is JSON. The first byte says how.
pub fn splice(data: &[u8]) {
    let Some((step, answer)) = data.split_first() else { return };
    let whole = spliced(answer, answer.len());
    assert_eq!(whole, spliced(answer, usize::from(*step)));
    if let Some(result) = whole {
        let read = serde_json::from_slice::<&serde_json::value::RawValue>(&result);
        assert!(read.is_ok(), "what was cut out is not JSON");
    }
}

fn spliced(answer: &[u8], step: usize) -> Option<Vec<u8>> {
    let mut splicer = Splicer::new(7);
    let mut result = Vec::new();
    for piece in answer.chunks(step.max(1)) {
        let range = splicer.push(piece).ok()?;
        result.extend_from_slice(&piece[range]);
    }
    splicer.finish().ok()?;
    Some(result)
}

/// A stream gives the same events however it is cut, none larger than the limit. The first byte says how.
pub fn upstream_sse(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let (whole, cut) = (events(stream, stream.len()), events(stream, usize::from(*step)));
    let common = whole.len().min(cut.len());
    // Where one is too long, how much came before is a matter of the cuts.
    if !whole.contains(&Event::TooLong) && !cut.contains(&Event::TooLong) {
        assert_eq!(whole, cut);
    }
    for (one, other) in whole.iter().zip(&cut).take(common) {
        assert!(one == other || *one == Event::TooLong || *other == Event::TooLong);
    }
}

fn events(stream: &[u8], step: usize) -> Vec<Event> {
    let mut reader = Reader::new(LIMIT);
    let mut events = Vec::new();
    for piece in stream.chunks(step.max(1)) {
        reader.push(piece);
        while let Some(event) = reader.next_event() {
            if let Event::Data(data) = &event {
                assert!(data.len() <= 2 * LIMIT, "an event of {} bytes", data.len());
            }
            let over = event == Event::TooLong;
            events.push(event);
            if over {
                return events;
            }
        }
    }
    events
}
