//! Where a request ends.

/// Largest request that is passed on.
const LIMIT: usize = 16 << 20;
/// Largest head.
const HEAD_LIMIT: usize = 64 << 10;

/// Why bytes are no request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRequest {
    #[error("the head has no end within {HEAD_LIMIT} bytes")]
    Head,
    #[error("a body without `content-length`, or of more than {LIMIT} bytes")]
    Body,
}

/// How long the first request in these bytes is; `None` until all of it is there.
pub(super) fn end_of_request(bytes: &[u8]) -> Result<Option<usize>, NoRequest> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        return if bytes.len() > HEAD_LIMIT { Err(NoRequest::Head) } else { Ok(None) };
    };
    let end = head + body_length(bytes.get(..head).unwrap_or_default())?;
    Ok((bytes.len() >= end).then_some(end))
}

fn body_length(head: &[u8]) -> Result<usize, NoRequest> {
    let head = String::from_utf8_lossy(head);
    let mut length = 0;
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(NoRequest::Body);
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok().filter(|n| *n <= LIMIT).ok_or(NoRequest::Body)?;
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_where_its_body_does() {
        let post = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(end_of_request(post), Ok(Some(post.len())));
        assert_eq!(end_of_request(&post[..post.len() - 1]), Ok(None));
        assert_eq!(end_of_request(&[post.as_slice(), b"GET"].concat()), Ok(Some(post.len())));
        let get = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(end_of_request(get), Ok(Some(get.len())));
        assert_eq!(end_of_request(b""), Ok(None));
    }

    #[test]
    fn what_has_no_known_end_is_refused() {
        assert_eq!(
            end_of_request(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"),
            Err(NoRequest::Body)
        );
        assert_eq!(end_of_request(b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"), Err(NoRequest::Body));
        assert_eq!(end_of_request(&vec![b'x'; HEAD_LIMIT + 1]), Err(NoRequest::Head));
    }
}
