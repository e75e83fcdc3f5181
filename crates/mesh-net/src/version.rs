//! Which version of HTTP a client speaks.

use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How HTTP/2 begins. What begins otherwise is HTTP/1.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How often a client that stopped within the preface is looked at.
const AGAIN: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Waits for a client to begin; `None` if it does not in time, or goes. Nothing is taken from the stream: its buffer holds
/// the request from its first byte, and is not made larger for what was read apart.
pub(crate) async fn spoken(stream: &TcpStream, time: Duration) -> Option<Version> {
    timeout(time, look(stream)).await.ok().flatten()
}

async fn look(stream: &TcpStream) -> Option<Version> {
    let mut bytes = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut bytes).await.ok()?;
        match bytes.get(..count)? {
            [] => return None,
            begin if begin == PREFACE => return Some(Version::Http2),
            begin if !PREFACE.starts_with(begin) => return Some(Version::Http1),
            // The same bytes would be seen again at once.
            _ => sleep(AGAIN).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_client_is_known_by_how_it_begins_and_nothing_it_said_is_lost() {
        for (begin, version) in [(&b"POST / HTTP/1.1"[..], Version::Http1), (PREFACE, Version::Http2)] {
            let (mut client, mut server) = pair().await;
            let (known, ()) = tokio::join!(spoken(&server, LONG), async {
                for byte in begin {
                    client.write_all(&[*byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            assert_eq!(known, Some(version));
            let mut read = vec![0; begin.len()];
            server.read_exact(&mut read).await.unwrap();
            assert_eq!(read, begin);
        }
    }

    #[tokio::test]
    async fn a_client_that_is_silent_halts_or_goes_speaks_no_version() {
        let (mut client, server) = pair().await;
        assert_eq!(spoken(&server, Duration::from_millis(20)).await, None);
        client.write_all(b"PRI * HT").await.unwrap();
        assert_eq!(spoken(&server, Duration::from_millis(20)).await, None);
        let (client, server) = pair().await;
        drop(client);
        assert_eq!(spoken(&server, LONG).await, None);
    }
}
