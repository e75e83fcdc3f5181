//! Fuzz target: frames.

use super::frame::{Frame, Kind, encode};
use crate::contract::{Append, NewEvent, StoredEvent};
use bytes::Bytes;

/// A frame that was read is written as the same.
pub fn frame(data: &[u8]) {
    let Ok(frame) = Frame::decode(Bytes::copy_from_slice(data)) else { return };
    assert_eq!(frame.own_events(), frame.events);
    let Ok(head) = frame.head() else { return };
    if frame.kind != Kind::Append {
        return;
    }
    let new = |event: &StoredEvent| NewEvent { public: event.public.clone(), private: event.private.clone() };
    let append = Append {
        expected_seq: frame.after,
        events: frame.events.iter().map(new).collect(),
        head: head.clone(),
        creates: None,
    };
    let again = encode(frame.id, append).and_then(Frame::decode);
    assert!(again.is_ok(), "{again:?}");
    let Ok(again) = again else { return };
    assert_eq!((again.id, again.after, &again.events), (frame.id, frame.after, &frame.events));
    assert_eq!(again.head().ok(), Some(head));
}
