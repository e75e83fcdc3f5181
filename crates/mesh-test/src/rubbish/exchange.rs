//! Sends the bytes of a case and reads what comes back.

use super::cases::Case;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// More than any answer to rubbish has.
const ANSWER_LIMIT: usize = 8 << 20;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP answer; of an event stream only the begin.
    Http {
        /// Its status.
        status: u16,
        /// Its headers, names in lower case.
        headers: Vec<(String, String)>,
        /// Its body, chunks joined.
        body: Vec<u8>,
    },
    /// The connection was closed without an answer.
    Closed,
    /// Neither within the time.
    Nothing,
}

/// Sends a case on a connection of its own.
///
/// # Errors
/// The server takes no connection.
pub async fn exchange(authority: &str, case: &Case, patience: Duration) -> io::Result<Answer> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (mut read, mut write) = stream.into_split();
    // A server may answer and close before it has read everything, so both directions go on at once.
    let sending = async {
        let sent = write.write_all(&case.wire).await;
        if sent.is_ok() && !case.complete {
            let _ = write.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let receiving = async {
        let mut received = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            if let Some(answer) = parse(&received, false) {
                return answer;
            }
            match read.read(&mut buffer).await {
                Ok(n) if n > 0 && received.len() < ANSWER_LIMIT => received.extend_from_slice(&buffer[..n]),
                _ => return parse(&received, true).unwrap_or(Answer::Closed),
            }
        }
    };
    let answer = async {
        tokio::select! {
            answer = receiving => answer,
            () = sending => Answer::Nothing,
        }
    };
    Ok(timeout(patience, answer).await.unwrap_or(Answer::Nothing))
}

/// The answer in these bytes, once it is complete, or as far as it goes when the connection has ended.
fn parse(received: &[u8], ended: bool) -> Option<Answer> {
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let rest = &received[end + 4..];
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if (100..200).contains(&status) {
        return parse(rest, ended);
    }
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let chunked = header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let (body, complete) = if chunked {
        join_chunks(rest)
    } else if let Some(length) = header("content-length").and_then(|value| value.parse::<usize>().ok()) {
        (rest[..length.min(rest.len())].to_vec(), rest.len() >= length)
    } else {
        (rest.to_vec(), matches!(status, 204 | 304))
    };
    let stream = header("content-type").is_some_and(|value| value.starts_with("text/event-stream"));
    let one_event = stream && (body.windows(2).any(|bytes| bytes == b"\n\n") || body.is_empty());
    (complete || one_event || ended).then_some(Answer::Http { status, headers, body })
}

/// What the chunks hold, and whether the last one is there.
fn join_chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|bytes| bytes == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        let size = size.split(';').next().unwrap_or_default();
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        if size == 0 {
            return (body, true);
        }
        let begin = end + 2;
        body.extend_from_slice(&rest[begin..rest.len().min(begin + size)]);
        let Some(next) = rest.get(begin + size + 2..) else { break };
        rest = next;
    }
    (body, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &[u8], ended: bool) -> Option<String> {
        match parse(answer, ended)? {
            Answer::Http { body, .. } => Some(String::from_utf8(body).unwrap()),
            _ => None,
        }
    }

    #[test]
    fn an_answer_is_complete_when_its_framing_says_so() {
        let fixed = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(body(fixed, false).as_deref(), Some("{}"));
        assert_eq!(body(&fixed[..fixed.len() - 1], false), None);
        let chunked = b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
        assert_eq!(body(chunked, false).as_deref(), Some("{}"));
        assert_eq!(body(&chunked[..chunked.len() - 8], false), None);
        let until_closed = b"HTTP/1.0 200 OK\r\n\r\nall";
        assert_eq!((body(until_closed, false), body(until_closed, true).as_deref()), (None, Some("all")));
        let after_continue = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
        assert_eq!(body(after_continue, false).as_deref(), Some(""));
    }
}
