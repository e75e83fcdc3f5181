//! An event stream gives the same events however its bytes are cut, and no event is larger than the limit.

use crate::decoder::{Decoder, Event, TooLarge};

const LIMIT: usize = 256;

/// The first byte says how the rest is cut.
pub(crate) fn fuzz(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    let (whole, piecewise) = (decode(stream, stream.len()), decode(stream, usize::from(*step)));
    for event in whole.0.iter().chain(&piecewise.0) {
        // A byte that is no UTF-8 becomes a sign of three bytes.
        assert!(event.data.len() <= 3 * LIMIT, "an event of {} bytes", event.data.len());
    }
    let common = whole.0.len().min(piecewise.0.len());
    assert_eq!(whole.0[..common], piecewise.0[..common]);
    if whole.1.is_ok() && piecewise.1.is_ok() {
        assert_eq!(whole.0.len(), piecewise.0.len());
    }
    assert_eq!(whole.1, piecewise.1, "whether it is too large must not depend on the cuts");
}

fn decode(stream: &[u8], step: usize) -> (Vec<Event>, Result<(), TooLarge>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut events = Vec::new();
    for chunk in stream.chunks(step.max(1)) {
        let pushed = decoder.push(chunk);
        events.extend(std::iter::from_fn(|| decoder.next()));
        if pushed.is_err() {
            return (events, pushed);
        }
    }
    (events, Ok(()))
}
