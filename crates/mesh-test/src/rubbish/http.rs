//! Bytes of HTTP/1.1 requests, right and broken.

use crate::random::Random;

/// A request with the headers that it needs and those that are given.
pub(super) fn request(method: &str, path: &str, authority: &str, headers: &[String], body: &[u8]) -> Vec<u8> {
    let path = if path.is_empty() { "/" } else { path };
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    let mut wire = head.into_bytes();
    wire.extend_from_slice(body);
    wire
}

/// Something that is no HTTP request, or stops in the middle of one.
pub(super) fn broken_http(path: &str, authority: &str, random: &mut Random) -> Vec<u8> {
    let post = |rest: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n{rest}")
            .into_bytes()
    };
    match random.below(16) {
        0 => {
            let count = random.below(400);
            random.bytes(count)
        }
        1 => b"\r\n\r\n\r\n\r\n".to_vec(),
        2 => format!("GET {path} HTTP/9.9\r\n\r\n").into_bytes(),
        3 => format!("GET {path}\r\n\r\n").into_bytes(),
        4 => post("Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n"),
        5 => post("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}"),
        6 => post("Transfer-Encoding: chunked\r\n\r\n2\r\n{}{}{}\r\n0\r\n\r\n"),
        7 => post("Transfer-Encoding: chunked\r\n\r\n8\r\n{}"),
        8 => post("Content-Length: 100\r\n\r\n{}"),
        9 => post("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        10 => post("Content-Length: -1\r\n\r\n{}"),
        11 => post("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}"),
        12 => post("a header without a colon\r\n\r\n"),
        13 => post(&format!("X-Long: {}\r\n\r\n", "x".repeat(600_000))),
        14 => post(&"X-Many: x\r\n".repeat(300)),
        _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\xff\xff\xff\xff\xff\xff\xff".to_vec(),
    }
}
