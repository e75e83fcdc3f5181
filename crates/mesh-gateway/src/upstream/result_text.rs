//! The text of a result: whole, or as it arrives.

use super::UpstreamError;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::fmt;

/// The raw JSON text of one `result`.
pub(crate) enum ResultText {
    /// All of it.
    Whole(Bytes),
    /// Its pieces as they arrive, together within the limit for results. Dropping the stream cancels the request.
    Streamed(BoxStream<'static, Result<Bytes, UpstreamError>>),
}

impl ResultText {
    /// Waits for all of it.
    pub(crate) async fn whole(self) -> Result<Bytes, UpstreamError> {
        match self {
            Self::Whole(text) => Ok(text),
            Self::Streamed(mut pieces) => {
                let mut text = BytesMut::new();
                while let Some(piece) = pieces.next().await {
                    text.extend_from_slice(&piece?);
                }
                Ok(text.freeze())
            }
        }
    }
}

impl fmt::Debug for ResultText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(text) => f.debug_tuple("Whole").field(text).finish(),
            Self::Streamed(_) => f.write_str("Streamed"),
        }
    }
}

impl From<Bytes> for ResultText {
    fn from(text: Bytes) -> Self {
        Self::Whole(text)
    }
}
