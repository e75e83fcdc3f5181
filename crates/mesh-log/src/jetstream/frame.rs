//! One append as one message, so that its events and its head are stored together or not at all.
//!
//! ```text
//!   1 byte    what it is             4 bytes  length of the head
//!   16 bytes  id of the append       …        the head, JSON
//!   8 bytes   number of the event    4 bytes  number of events
//!             before the first       …        each: length of the public part, length of the private part or
//!                                             FFFFFFFF for none (4 bytes each), then the two parts
//! ```
//!
//! Numbers are big-endian. The message that begins a task names the message of the client that created it in its head.
//!
//! What it is: 1 an append; 2 a snapshot: its one event stands for all up to its number, and what was before it counts no
//! more; 3 the end of a task that was removed: its head holds nothing but tenant and task, and it has no event.

use crate::contract::{Append, LogError, NewEvent, StoredEvent, TaskHead};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use mesh_core::lifecycle::Control;
use mesh_core::model::TaskState;
use mesh_core::{ContextId, MessageId, Seq, TaskId, TaskKey, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events that were appended.
    Append,
    /// One event instead of all before.
    Snapshot,
    /// There is no such task any more.
    Removed,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Append, Self::Snapshot, Self::Removed];

    /// Its number in a message; part of the format.
    const fn number(self) -> u8 {
        match self {
            Self::Append => 1,
            Self::Snapshot => 2,
            Self::Removed => 3,
        }
    }
}

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

/// What is left to say of a task that was removed.
#[derive(Serialize, Deserialize)]
struct WrittenKey {
    tenant: Tenant,
    task: TaskId,
}

/// What one message of a task says.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
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

    /// The number of the first event that can be read, once this is the task's last message.
    pub(super) fn first(&self) -> Seq {
        if self.kind == Kind::Append { 1 } else { self.last() }
    }

    /// The head of a task that is there.
    pub(super) fn head(&self) -> Result<TaskHead, LogError> {
        read_head(&self.head, self.first(), self.last())
    }

    /// Whose it is.
    pub(super) fn key(&self) -> Result<TaskKey, LogError> {
        let key: WrittenKey = serde_json::from_slice(&self.head).map_err(|error| damaged_head(&error))?;
        Ok(TaskKey::new(key.tenant, key.task))
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
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.number() == format) else {
            let newest = Kind::ALL.len();
            let reason = format!(
                "a message in the stream has format {format}; this program knows those up to {newest}"
            );
            return Err(LogError::Failed(reason));
        };
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
        let fits = match kind {
            Kind::Append => true,
            Kind::Snapshot => events.len() == 1,
            Kind::Removed => events.is_empty(),
        };
        if bytes.has_remaining() || !fits {
            Err(damaged())
        } else {
            Ok(Self { kind, id, after, head, events })
        }
    }
}

fn take(bytes: &mut Bytes, length: u32) -> Option<Bytes> {
    let length = length as usize;
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

fn damaged_head(error: &serde_json::Error) -> LogError {
    LogError::Failed(format!("a head in the stream is damaged: {error}"))
}

/// The head in a frame, with the numbers of the task's first and last event.
pub(super) fn read_head(json: &[u8], first: Seq, seq: Seq) -> Result<TaskHead, LogError> {
    let head: WrittenHead = serde_json::from_slice(json).map_err(|error| damaged_head(&error))?;
    Ok(TaskHead {
        key: TaskKey::new(head.tenant, head.task),
        context_id: head.context,
        state: head.state,
        status_at: Timestamp(head.at),
        seq,
        first,
        control: head.control,
    })
}

/// What replaces a task, as a message: its snapshot with the last head as it is, or that there is no such task.
pub(super) fn encode_trim(
    id: Uuid,
    key: &TaskKey,
    seq: Seq,
    left: Option<(&[u8], Bytes)>,
) -> Result<Bytes, LogError> {
    let Some((head, public)) = left else {
        let key = WrittenKey { tenant: key.tenant.clone(), task: key.task.clone() };
        let head = serde_json::to_vec(&key)
            .map_err(|error| LogError::Failed(format!("name of task {}: {error}", key.task)))?;
        return put(Kind::Removed, id, seq, &head, Vec::new());
    };
    put(Kind::Snapshot, id, seq.saturating_sub(1), head, vec![NewEvent { public, private: None }])
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
    put(Kind::Append, id, expected_seq, &head, events)
}

fn put(kind: Kind, id: Uuid, after: Seq, head: &[u8], events: Vec<NewEvent>) -> Result<Bytes, LogError> {
    let size = FRAME_BYTES + head.len() + events.iter().map(event_bytes).sum::<usize>();
    let mut bytes = BytesMut::with_capacity(size);
    bytes.put_u8(kind.number());
    bytes.put_u128(id.as_u128());
    bytes.put_u64(after);
    bytes.put_u32(length(head.len())?);
    bytes.put_slice(head);
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
            first: 1,
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
            for kind in Kind::ALL {
                let _ = Frame::decode(Bytes::from([&[kind.number()], &bytes[..]].concat()));
            }
        }

        #[test]
        fn what_is_left_of_a_task_comes_back_as_it_was(seq in 1..1u64 << 60, snapshot in option::of(vec(any::<u8>(), 0..20))) {
            let (id, task) = (Uuid::new_v4(), TaskKey::new("t".into(), "1".into()));
            let whole = encode(id, append(seq - 1, vec![NewEvent { public: Bytes::new(), private: None }])).unwrap();
            let last = Frame::decode(whole).unwrap();
            let left = snapshot.clone().map(|snapshot| (&last.head[..], Bytes::from(snapshot)));
            let frame = Frame::decode(encode_trim(id, &task, seq, left).unwrap()).unwrap();
            prop_assert_eq!((frame.last(), frame.key().unwrap()), (seq, task));
            match snapshot {
                Some(snapshot) => {
                    prop_assert_eq!((frame.kind, &frame.events[0].public[..]), (Kind::Snapshot, &snapshot[..]));
                    prop_assert_eq!(frame.events[0].seq, seq);
                    prop_assert_eq!(frame.head().unwrap(), TaskHead { first: seq, ..last.head().unwrap() });
                }
                None => prop_assert_eq!((frame.kind, frame.events.len()), (Kind::Removed, 0)),
            }
        }
    }
}
