//! Fuzz targets: protobuf requests, and events as protobuf.

use super::{decode, encode};
use a2a_pb::proto as pb;
use mesh_core::model::Message;
use prost::Message as _;

/// The first byte says which request the rest is.
pub fn requests(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 4 {
        0 | 1 => {
            let Ok(request) = pb::SendMessageRequest::decode(bytes) else { return };
            if let Ok(params) = decode::send(request) {
                message(params.message);
            }
        }
        2 => {
            if let Ok(request) = pb::ListTasksRequest::decode(bytes) {
                let _ = decode::list(request);
            }
        }
        _ => {
            if let Ok(request) = pb::GetTaskRequest::decode(bytes) {
                let _ = decode::get(request);
            }
        }
    }
}

/// A message that was taken comes back from protobuf and from JSON as it was.
fn message(message: Message) {
    let json = serde_json::to_vec(&message).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<Message>(&json).ok().as_ref(), Some(&message), "through JSON");
    let request =
        pb::SendMessageRequest { message: Some(encode::message(message.clone())), ..Default::default() };
    let again = pb::SendMessageRequest::decode(&*request.encode_to_vec());
    assert_eq!(again.as_ref(), Ok(&request), "what is sent out can be read");
    let again = again.ok().and_then(|again| decode::send(again).ok()).map(|params| params.message);
    assert_eq!(again.as_ref(), Some(&message), "through protobuf");
}

/// An event of the log can be sent out, and read by who gets it.
pub(crate) fn event(public: &[u8]) {
    for number in [None, Some(7)] {
        let event = encode::event(public, number);
        assert!(event.is_ok(), "{event:?}");
        let Ok(event) = event else { return };
        assert_eq!(pb::StreamResponse::decode(&*event.encode_to_vec()).as_ref(), Ok(&event));
    }
}
