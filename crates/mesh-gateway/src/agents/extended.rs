//! The extended card: the one answer that is not passed on as it is, because it has addresses in it.

use super::grpc;
use super::refusal::Binding;
use crate::directory::{Door, rewritten_card};
use crate::wire::object::RawObject;
use bytes::Bytes;

/// The answer with the gateway's addresses; `None` if it cannot be read.
pub(super) fn card(body: &Bytes, binding: Binding, door: &Door) -> Option<Bytes> {
    match binding {
        Binding::Rest => rewritten_card(str::from_utf8(body).ok()?, door).map(Bytes::from),
        Binding::JsonRpc => {
            let mut envelope = RawObject::parse_lenient(str::from_utf8(body).ok()?).ok()?;
            let Some(card) = envelope.get("result").map(str::to_owned) else { return Some(body.clone()) };
            envelope.set("result", rewritten_card(&card, door)?);
            Some(envelope.to_text().into())
        }
        Binding::Grpc => {
            let message = grpc::message(body, false, body.len()).ok()?;
            let rewritten = grpc::rewritten_card(&message, |binding| door.place(binding, "1.0")).ok()?;
            Some(grpc::body(&rewritten))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_in_an_envelope_is_rewritten_and_an_error_is_not() {
        let door = Door::new("http://g", "sales");
        let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{"url":"http://in","x":1.0}}"#);
        let out = card(&body, Binding::JsonRpc, &door).unwrap();
        assert_eq!(out, r#"{"jsonrpc":"2.0","id":1,"result":{"url":"http://g/agents/sales","x":1.0}}"#);
        let error = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32007}}"#);
        assert_eq!(card(&error, Binding::JsonRpc, &door).unwrap(), error);
        assert_eq!(card(&Bytes::from_static(b"x"), Binding::Rest, &door), None);
    }
}
