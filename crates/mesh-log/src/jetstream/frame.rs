//! One append as one message, so that its events and its head are stored together or not at all.
//!
//! ```text
//!   1 byte    format: 1              4 bytes  length of the head
//!   16 bytes  id of the append       …        the head, JSON
//!   8 bytes   number of the event    4 bytes  number of events
//!             before the first       …        each: length of the public part, length of the private part or
//!                                             FFFFFFFF for none (4 bytes each), then the two parts
//! ```
//!
//! Numbers are big-endian. The message that begins a task names the message of the client that created it in its head.

use crate::contract::{Append, LogError, NewEvent, StoredEvent, TaskHead};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use mesh_core::lifecycle::Control;
use mesh_core::model::TaskState;
use mesh_core::{ContextId, MessageId, Seq, TaskId, TaskKey, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const FORMAT: u8 = 1;
const NONE: u32 = u32::MAX;
/// Bytes of an event beside its parts, and of a frame beside its events and its head.
const EVENT_BYTES: usize = 8;
const FRAME_BYTES: usize = 33;

/// A head as it is written.
#[derive(Serialize, Deserialize)]
struct WrittenHead {
    tenant: Tenant,
    task: TaskId,
    context: ContextId,
    state: TaskState,
    /// Milliseconds.
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    creates: Option<MessageId>,
    control: Control,
}

/// What one message of a task says.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Who wrote it: every append has its own.
    pub(super) id: Uuid,
    /// The number of the last event before it.
    pub(super) after: Seq,
    pub(super) head: Bytes,
    pub(super) events: Vec<StoredEvent>,
}

impl Frame {
    /// The number of the task's last event.
    pub(super) fn last(&self) -> Seq {
        self.after + self.events.len() as Seq
    }

    pub(super) fn head(&self) -> Result<TaskHead, LogError> {
        read_head(&self.head, self.last())
    }

    /// The events in memory of their own: a decoded frame's are parts of all that was received with them.
    pub(super) fn own_events(&self) -> Vec<StoredEvent> {
        let private = |event: &StoredEvent| event.private.as_ref().map(Bytes::len);
        let size = self.events.iter().map(|event| event.public.len() + private(event).unwrap_or(0)).sum();
        let mut parts = BytesMut::with_capacity(size);
        for event in &self.events {
            parts.put_slice(&event.public);
            parts.put_slice(event.private.as_deref().unwrap_or_default());
        }
        let mut parts = parts.freeze();
        let own = |event: &StoredEvent| StoredEvent {
            seq: event.seq,
            public: parts.split_to(event.public.len()),
            private: private(event).map(|length| parts.split_to(length)),
        };
        self.events.iter().map(own).collect()
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, LogError> {
        let damaged = || LogError::Failed("a message in the stream is not one of ours".to_owned());
        let format = bytes.try_get_u8().map_err(|_| damaged())?;
        if format != FORMAT {
            let reason =
                format!("a message in the stream has format {format}; this is a program for {FORMAT}");
            return Err(LogError::Failed(reason));
        }
        let id = Uuid::from_u128(bytes.try_get_u128().map_err(|_| damaged())?);
        let after = bytes.try_get_u64().map_err(|_| damaged())?;
        let length = bytes.try_get_u32().map_err(|_| damaged())?;
        let head = take(&mut bytes, length).ok_or_else(damaged)?;
        let count = bytes.try_get_u32().map_err(|_| damaged())?;
        let mut events = Vec::with_capacity((count as usize).min(bytes.len() / EVENT_BYTES));
        for n in 0..count {
            let public = bytes.try_get_u32().map_err(|_| damaged())?;
            let private = bytes.try_get_u32().map_err(|_| damaged())?;
            let public = take(&mut bytes, public).ok_or_else(damaged)?;
            let private = match private {
                NONE => None,
                length => Some(take(&mut bytes, length).ok_or_else(damaged)?),
            };
            let seq = after.checked_add(u64::from(n) + 1).ok_or_else(damaged)?;
            events.push(StoredEvent { seq, public, private });
        }
        if bytes.has_remaining() { Err(damaged()) } else { Ok(Self { id, after, head, events }) }
    }
}

fn take(bytes: &mut Bytes, length: u32) -> Option<Bytes> {
    let length = length as usize;
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

/// The head in a frame, with the number of the task's last event.
pub(super) fn read_head(json: &[u8], seq: Seq) -> Result<TaskHead, LogError> {
    let head: WrittenHead = serde_json::from_slice(json)
        .map_err(|error| LogError::Failed(format!("a head in the stream is damaged: {error}")))?;
    Ok(TaskHead {
        key: TaskKey::new(head.tenant, head.task),
        context_id: head.context,
        state: head.state,
        status_at: Timestamp(head.at),
        seq,
        control: head.control,
    })
}

/// An append as a message.
pub(super) fn encode(id: Uuid, append: Append) -> Result<Bytes, LogError> {
    let Append { expected_seq, events, head, creates } = append;
    let head = WrittenHead {
        tenant: head.key.tenant,
        task: head.key.task,
        context: head.context_id,
        state: head.state,
        at: head.status_at.millis(),
        creates: creates.filter(|_| expected_seq == 0),
        control: head.control,
    };
    let head = serde_json::to_vec(&head)
        .map_err(|error| LogError::Failed(format!("head of task {}: {error}", head.task)))?;
    let size = FRAME_BYTES + head.len() + events.iter().map(event_bytes).sum::<usize>();
    let mut bytes = BytesMut::with_capacity(size);
    bytes.put_u8(FORMAT);
    bytes.put_u128(id.as_u128());
    bytes.put_u64(expected_seq);
    bytes.put_u32(length(head.len())?);
    bytes.put_slice(&head);
    bytes.put_u32(length(events.len())?);
    for event in events {
        bytes.put_u32(length(event.public.len())?);
        bytes.put_u32(event.private.as_ref().map_or(Ok(NONE), |private| length(private.len()))?);
        bytes.put_slice(&event.public);
        bytes.put_slice(event.private.as_deref().unwrap_or_default());
    }
    Ok(bytes.freeze())
}

fn event_bytes(event: &NewEvent) -> usize {
    EVENT_BYTES + event.public.len() + event.private.as_ref().map_or(0, Bytes::len)
}

/// A length that can be written, and is not the one for "none".
fn length(length: usize) -> Result<u32, LogError> {
    u32::try_from(length)
        .ok()
        .filter(|length| *length != NONE)
        .ok_or_else(|| LogError::Full(format!("{length} bytes do not fit into a message")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_core::lifecycle::Phase;
    use mesh_core::{Principal, TraceContext};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    fn append(expected_seq: Seq, events: Vec<NewEvent>) -> Append {
        let control = Control {
            agent: "sales".into(),
            owner: Principal::local(),
            phase: Phase::Queued,
            holder: None,
            attempts: 1,
            losses: 0,
            answers: Vec::new(),
            received: Vec::new(),
            trace: TraceContext { trace_id: 1, span_id: 1, flags: 1 },
            created: Timestamp(1),
            touched: std::collections::BTreeSet::new(),
        };
        let head = TaskHead {
            key: TaskKey::new("t".into(), "1".into()),
            context_id: "c".into(),
            state: TaskState::Working,
            status_at: Timestamp(-7),
            seq: 0,
            control,
        };
        Append { expected_seq, events, head, creates: Some("m".into()) }
    }

    fn events() -> impl Strategy<Value = Vec<NewEvent>> {
        let part = || vec(any::<u8>(), 0..20).prop_map(Bytes::from);
        vec((part(), option::of(part())).prop_map(|(public, private)| NewEvent { public, private }), 0..5)
    }

    proptest! {
        #[test]
        fn a_frame_comes_back_as_it_was(expected in 0..1u64 << 60, events in events()) {
            let id = Uuid::new_v4();
            let whole = encode(id, append(expected, events.clone())).unwrap();
            let frame = Frame::decode(whole.clone()).unwrap();
            prop_assert_eq!((frame.id, frame.after), (id, expected));
            let mut head = append(expected, Vec::new()).head;
            head.seq = expected + events.len() as Seq;
            prop_assert_eq!(frame.head().unwrap(), head);
            for ((event, stored), seq) in events.iter().zip(&frame.events).zip(expected + 1..) {
                prop_assert_eq!((seq, &event.public, &event.private), (stored.seq, &stored.public, &stored.private));
            }
            prop_assert_eq!(frame.own_events(), frame.events);
            for cut in 0..whole.len() {
                prop_assert!(Frame::decode(whole.slice(..cut)).is_err());
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Frame::decode(Bytes::from(bytes.clone()));
            let _ = Frame::decode(Bytes::from([&[FORMAT], &bytes[..]].concat()));
        }
    }
}
