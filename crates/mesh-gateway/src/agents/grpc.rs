//! gRPC messages whose tenant names an agent: as little of protobuf as it takes to read one field and to put another in
//! its place.
//!
//! `/lf.a2a.v1.A2AService/{method}` has no room for a prefix, and no client of gRPC knows one. But A2A 1.0 has clients
//! send the `tenant` of the interface that they chose with every request, so the cards that we serve name the agent there
//! (decision 23). What the agent itself wants as its tenant is put back before the request is passed on.

use bytes::{BufMut, Bytes, BytesMut};
use std::io::Read as _;

/// The prefix of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Field of every request that has one, except for one.
const TENANT: u64 = 1;
/// In `ListTaskPushNotificationConfigsRequest`.
const TENANT_OF_LIST: u64 = 4;
/// Fields of `AgentCard`.
const INTERFACES: u64 = 3;
const SIGNATURES: u64 = 13;
/// Fields of `AgentInterface`.
const URL: u64 = 1;
const BINDING: u64 = 2;
const INTERFACE_TENANT: u64 = 3;
/// The wire type of text and messages.
const DELIMITED: u64 = 2;

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the body is not one message of gRPC")]
    Frame,
    #[error("the message is not protobuf")]
    Protobuf,
    #[error("the message is compressed in a way that is not known here; gzip is")]
    Compression,
    #[error("the message is larger than the limit when it is not compressed")]
    TooLarge,
}

/// Takes the one message out of a body, uncompressed.
pub(crate) fn message(body: &Bytes, gzip: bool, limit: usize) -> Result<Bytes, Broken> {
    let head = body.get(..PREFIX).ok_or(Broken::Frame)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let message = body.slice(PREFIX..);
    if message.len() != length {
        return Err(Broken::Frame);
    }
    match head[0] {
        0 => Ok(message),
        1 if gzip => {
            let mut plain = Vec::new();
            let read =
                flate2::read::GzDecoder::new(&message[..]).take(limit as u64 + 1).read_to_end(&mut plain);
            match read {
                Ok(_) if plain.len() > limit => Err(Broken::TooLarge),
                Ok(_) => Ok(plain.into()),
                Err(_) => Err(Broken::Frame),
            }
        }
        _ => Err(Broken::Compression),
    }
}

/// Puts a message, uncompressed, into a body.
pub(crate) fn body(message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(PREFIX + message.len());
    body.put_u8(0);
    // A message was in such a prefix before, and got shorter or a tenant longer.
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.extend_from_slice(message);
    body.freeze()
}

/// The number of the field `tenant` in the request of a method.
const fn tenant_field(list_push: bool) -> u64 {
    if list_push { TENANT_OF_LIST } else { TENANT }
}

/// The tenant of a request; empty if it has none. Of several, the last counts, as protobuf has it.
pub(crate) fn tenant(message: &[u8], list_push: bool) -> Result<String, Broken> {
    let mut tenant = String::new();
    for field in fields(message) {
        let field = field?;
        if field.number == tenant_field(list_push) && field.kind == DELIMITED {
            tenant = str::from_utf8(field.content).map_err(|_| Broken::Protobuf)?.to_owned();
        }
    }
    Ok(tenant)
}

/// The request with another tenant, or none; everything else as it was.
pub(crate) fn with_tenant(message: &[u8], list_push: bool, tenant: Option<&str>) -> Result<Vec<u8>, Broken> {
    let mut out = Vec::with_capacity(message.len());
    if let Some(tenant) = tenant {
        put_text(&mut out, tenant_field(list_push), tenant);
    }
    for field in fields(message) {
        let field = field?;
        if field.number != tenant_field(list_push) {
            out.extend_from_slice(field.whole);
        }
    }
    Ok(out)
}

/// A card with other interfaces and without signatures, which no longer fit; everything else as it was. `place` is asked
/// for the binding and says url and tenant; interfaces for which it has none are left out.
pub(crate) fn rewritten_card(
    message: &[u8],
    place: impl Fn(&str) -> Option<(String, Option<String>)>,
) -> Result<Vec<u8>, Broken> {
    let mut out = Vec::with_capacity(message.len());
    for field in fields(message) {
        let field = field?;
        match field.number {
            SIGNATURES => {}
            INTERFACES if field.kind == DELIMITED => {
                let mut binding = "";
                for inner in fields(field.content) {
                    let inner = inner?;
                    if inner.number == BINDING && inner.kind == DELIMITED {
                        binding = str::from_utf8(inner.content).map_err(|_| Broken::Protobuf)?;
                    }
                }
                let Some((url, tenant)) = place(binding) else { continue };
                let mut interface = Vec::with_capacity(field.content.len() + url.len());
                put_text(&mut interface, URL, &url);
                if let Some(tenant) = &tenant {
                    put_text(&mut interface, INTERFACE_TENANT, tenant);
                }
                for inner in fields(field.content) {
                    let inner = inner?;
                    let replaced =
                        inner.number == URL || inner.number == INTERFACE_TENANT && tenant.is_some();
                    if !replaced {
                        interface.extend_from_slice(inner.whole);
                    }
                }
                put_bytes(&mut out, INTERFACES, &interface);
            }
            _ => out.extend_from_slice(field.whole),
        }
    }
    Ok(out)
}

/// A field as it stands in a message.
struct Field<'a> {
    number: u64,
    kind: u64,
    /// Of text and messages, what is in them.
    content: &'a [u8],
    /// With its tag.
    whole: &'a [u8],
}

fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, Broken>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(rest);
        match &field {
            Ok(field) => rest = &rest[field.whole.len()..],
            Err(_) => rest = &[],
        }
        Some(field)
    })
}

fn field(from: &[u8]) -> Result<Field<'_>, Broken> {
    let (tag, mut at) = varint(from)?;
    let mut content: &[u8] = &[];
    let kind = tag & 7;
    match kind {
        0 => at += varint(&from[at..])?.1,
        1 => at += 8,
        5 => at += 4,
        DELIMITED => {
            let (length, size) = varint(&from[at..])?;
            at += size;
            let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length));
            content = end.and_then(|end| from.get(at..end)).ok_or(Broken::Protobuf)?;
            at += content.len();
        }
        _ => return Err(Broken::Protobuf),
    }
    let whole = from.get(..at).ok_or(Broken::Protobuf)?;
    Ok(Field { number: tag >> 3, kind, content, whole })
}

/// A number, and how many bytes it took.
fn varint(from: &[u8]) -> Result<(u64, usize), Broken> {
    let mut value = 0;
    for (at, byte) in from.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((value, at + 1));
        }
    }
    Err(Broken::Protobuf)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_text(out: &mut Vec<u8>, number: u64, text: &str) {
    put_bytes(out, number, text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | DELIMITED);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// An error of gRPC's as the value of `grpc-message`: percent-encoded.
pub(crate) fn escaped(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Vec<u8> {
        let mut message = Vec::new();
        put_text(&mut message, 2, "task");
        put_text(&mut message, 1, "sales");
        put_varint(&mut message, 3 << 3);
        put_varint(&mut message, 300);
        message.extend([(9 << 3) | 5, 1, 2, 3, 4, (10 << 3) | 1, 1, 2, 3, 4, 5, 6, 7, 8]);
        message
    }

    #[test]
    fn the_tenant_is_read_and_replaced_and_nothing_else() {
        let message = request();
        assert_eq!(tenant(&message, false).unwrap(), "sales");
        let without = with_tenant(&message, false, None).unwrap();
        assert_eq!(tenant(&without, false).unwrap(), "");
        assert_eq!(without.len(), message.len() - 7);
        let other = with_tenant(&message, false, Some("other")).unwrap();
        assert_eq!(tenant(&other, false).unwrap(), "other");
        assert_eq!(with_tenant(&other, false, None).unwrap(), without);
    }

    #[test]
    fn broken_messages_are_refused() {
        let message = request();
        for end in 1..message.len() {
            let cut = &message[..end];
            let whole = fields(cut).all(|field| field.is_ok());
            assert_eq!(tenant(cut, false).is_ok(), whole, "{end}");
        }
        assert_eq!(
            tenant(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], false),
            Err(Broken::Protobuf)
        );
        assert_eq!(tenant(&[0x0a, 1, 0xff], false), Err(Broken::Protobuf));
        assert_eq!(message_of(&[0, 0, 0, 0, 2, 1]), Err(Broken::Frame));
        assert_eq!(message_of(&[1, 0, 0, 0, 1, 1]), Err(Broken::Compression));
        assert_eq!(message_of(&[0]), Err(Broken::Frame));
    }

    fn message_of(body: &[u8]) -> Result<Bytes, Broken> {
        message(&Bytes::copy_from_slice(body), false, 100)
    }

    #[test]
    fn a_compressed_message_is_bounded() {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[0; 1000]).unwrap();
        let mut framed = body(&encoder.finish().unwrap()).to_vec();
        framed[0] = 1;
        let framed = Bytes::from(framed);
        assert_eq!(message(&framed, true, 1000).unwrap().len(), 1000);
        assert_eq!(message(&framed, true, 999), Err(Broken::TooLarge));
    }

    #[test]
    fn a_card_gets_other_addresses_and_loses_its_signatures() {
        let interface = |binding: &str| {
            let mut out = Vec::new();
            put_text(&mut out, 1, "http://inside");
            put_text(&mut out, 2, binding);
            put_text(&mut out, 4, "1.0");
            out
        };
        let mut card = Vec::new();
        put_text(&mut card, 1, "name");
        for binding in ["GRPC", "X"] {
            put_bytes(&mut card, INTERFACES, &interface(binding));
        }
        put_text(&mut card, SIGNATURES, "signature");
        put_text(&mut card, 99, "unknown");
        let place =
            |binding: &str| (binding == "GRPC").then(|| ("outside:1".to_owned(), Some("sales".to_owned())));
        let card = rewritten_card(&card, place).unwrap();
        let text = String::from_utf8_lossy(&card);
        assert!(text.contains("outside:1") && text.contains("sales") && text.contains("unknown"), "{text}");
        assert!(!text.contains("inside") && !text.contains("signature"), "{text}");
        assert_eq!(fields(&card).count(), 3);
    }

    #[test]
    fn messages_of_errors_are_ascii() {
        assert_eq!(escaped("no agent `ü` 100%"), "no agent `%C3%BC` 100%25");
    }
}
