//! Compression over HTTP: gzip, for requests up to `limits.body` when they are unpacked, and for answers from
//! `limits.compress_from`. Event streams are not compressed: each event would have to be flushed by itself, which saves
//! little and costs every subscriber a compressor's window.

use super::body::Refusal;
use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use std::io::{Read as _, Write as _};

/// Answers from this size are compressed apart from the threads that serve everybody.
const LARGE: u64 = 64 << 10;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// Whether a client takes gzip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted(bool);

impl Accepted {
    /// From `Accept-Encoding` (RFC 9110, section 12.5.3).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut accepted = None;
        for value in headers.get_all(header::ACCEPT_ENCODING) {
            for coding in value.to_str().unwrap_or_default().split(',') {
                let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
                let quality =
                    quality.trim().strip_prefix("q=").map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
                let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
                if is("gzip") || is("x-gzip") {
                    accepted = Some(quality > 0.0);
                } else if is("*") {
                    accepted = accepted.or(Some(quality > 0.0));
                }
            }
        }
        Self(accepted.unwrap_or(false))
    }

    /// Compresses an answer of one piece, if it is worth it.
    pub(crate) async fn apply(self, from: u64, response: Response<Body>) -> Response<Body> {
        // Of a stream, the size is not known.
        let Some(size) = response.body().size_hint().exact().filter(|size| *size >= from.max(1)) else {
            return response;
        };
        let (mut head, body) = response.into_parts();
        head.headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        if !self.0 {
            return Response::from_parts(head, body);
        }
        // It is there already: this waits for nothing.
        let Ok(whole) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return Response::from_parts(head, Body::empty());
        };
        let packed = if size < LARGE {
            pack(&whole)
        } else {
            let whole = whole.clone();
            tokio::task::spawn_blocking(move || pack(&whole)).await.ok().flatten()
        };
        let body = match packed {
            Some(packed) => {
                head.headers.insert(header::CONTENT_ENCODING, GZIP);
                Body::from(packed)
            }
            None => Body::from(whole),
        };
        Response::from_parts(head, body)
    }
}

/// `None` if that makes it no smaller.
fn pack(whole: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(whole.len() / 4), Compression::fast());
    encoder.write_all(whole).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < whole.len()).then(|| Bytes::from(packed))
}

/// How a request's body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packed {
    No,
    Gzip,
}

impl Packed {
    /// From `Content-Encoding`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut packed = Self::No;
        for value in headers.get_all(header::CONTENT_ENCODING) {
            match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                "gzip" | "x-gzip" if packed == Self::No => packed = Self::Gzip,
                other => {
                    let shown: String = other.chars().take(40).collect();
                    let message = format!("content-encoding: `{shown}` is not taken; send gzip or none");
                    return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
                }
            }
        }
        Ok(packed)
    }

    /// The body as it was before it was packed, up to `limit` bytes of it.
    pub(crate) async fn unpack(self, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
        if self == Self::No {
            return Ok(body);
        }
        let unpacked = tokio::task::spawn_blocking(move || {
            let mut whole = Vec::new();
            let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            MultiGzDecoder::new(&*body).take(most).read_to_end(&mut whole).map(|_| whole)
        });
        match unpacked.await {
            Ok(Ok(whole)) if whole.len() > limit => Err(Refusal::too_large(limit)),
            Ok(Ok(whole)) => Ok(Bytes::from(whole)),
            _ => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "the body is not gzip, though content-encoding says so",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(value: &'static str) -> bool {
        Accepted::of(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))])).0
    }

    #[test]
    fn gzip_is_taken_by_who_says_so() {
        for yes in ["gzip", "deflate, GZIP;q=0.5", "*", "br;q=1, *;q=0.1", "x-gzip"] {
            assert!(accepted(yes), "{yes}");
        }
        for no in ["", "identity", "br", "gzip;q=0", "gzip; q=0.0, *", "*;q=0", "gzipped", "gzip;q=x"] {
            assert!(!accepted(no), "{no}");
        }
        assert!(!Accepted::of(&HeaderMap::new()).0);
    }

    #[tokio::test]
    async fn a_small_answer_and_one_that_gains_nothing_stay_as_they_are() {
        let answer = |body: Vec<u8>| Accepted(true).apply(100, Response::new(Body::from(body)));
        let small = answer(vec![b'x'; 99]).await;
        assert!(small.headers().is_empty());
        let large = answer(vec![b'x'; 100]).await;
        assert_eq!(
            (&large.headers()["content-encoding"], &large.headers()["vary"]),
            (&"gzip".parse().unwrap(), &"accept-encoding".parse().unwrap())
        );
        let packed = large.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(Packed::Gzip.unpack(packed, 100).await.ok().unwrap(), vec![b'x'; 100]);
        let random: Vec<u8> = (0..1000).map(|_| fastrand::u8(..)).collect();
        let same = answer(random.clone()).await;
        assert!(!same.headers().contains_key("content-encoding"));
        assert_eq!(same.into_body().collect().await.unwrap().to_bytes(), random);
    }

    #[tokio::test]
    async fn a_bomb_is_unpacked_up_to_the_limit_only() {
        let bomb = pack(&vec![0; 8 << 20]).unwrap();
        assert!(bomb.len() < 100 << 10);
        let refusal = Packed::Gzip.unpack(bomb, 1 << 20).await.err().unwrap();
        assert_eq!(refusal.status, StatusCode::PAYLOAD_TOO_LARGE);
        let refusal = Packed::Gzip.unpack(Bytes::from_static(b"{}"), 100).await.err().unwrap();
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
    }
}
