//! Reaching a server: its address, TCP, and TLS where the address says so.

use http::HeaderValue;
use http::uri::{PathAndQuery, Uri};
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a server is, taken apart once.
pub(crate) struct Address {
    host: String,
    port: u16,
    /// The value of `Host`.
    pub(super) authority: HeaderValue,
    /// What a request line names.
    pub(super) path: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
    url: url::Url,
}

impl Address {
    /// Reads a URL. Connecting to it may take `timeout`, the TLS handshake included.
    pub(crate) fn parse(text: &str, timeout: Duration) -> Result<Self, String> {
        let url = url::Url::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
        let host = match url.host() {
            Some(url::Host::Domain(name)) => name.to_owned(),
            Some(url::Host::Ipv4(address)) => address.to_string(),
            Some(url::Host::Ipv6(address)) => address.to_string(),
            None => return Err(format!("`{text}` names no host")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL cannot hold a user name or password: send them in a header".to_owned());
        }
        let port = url.port_or_known_default().ok_or_else(|| format!("`{text}` names no port"))?;
        let tls = match url.scheme() {
            "http" => None,
            "https" => {
                let name =
                    ServerName::try_from(host.clone()).map_err(|error| format!("`{text}`: {error}"))?;
                Some((TlsConnector::from(tls()?), name))
            }
            scheme => return Err(format!("`{text}`: `{scheme}` is not http or https")),
        };
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let authority = HeaderValue::from_str(authority).map_err(|error| format!("`{text}`: {error}"))?;
        let path = path_of(&url)?;
        Ok(Self { host, port, authority, path, tls, timeout, url })
    }

    /// The URL as it is known to people and to sealed sessions.
    pub(crate) fn text(&self) -> &str {
        self.url.as_str()
    }

    /// Connects.
    pub(super) async fn connect(&self) -> io::Result<Socket> {
        let connecting = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            Ok(match &self.tls {
                None => Socket::Plain(stream),
                Some((tls, name)) => Socket::Tls(Box::new(tls.connect(name.clone(), stream).await?)),
            })
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
        tokio::time::timeout(self.timeout, connecting).await.map_err(late)?
    }
}

fn path_of(url: &url::Url) -> Result<Uri, String> {
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let path = path.parse::<PathAndQuery>().map_err(|error| format!("`{path}`: {error}"))?;
    Ok(Uri::from(path))
}

/// The roots of the system, HTTP/1.1.
fn tls() -> Result<Arc<rustls::ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_platform_verifier())
        .map_err(|error| format!("the certificates of this system cannot be used: {error}"))?;
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A connected socket.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, String> {
        Address::parse(url, Duration::from_secs(1))
    }

    #[test]
    fn an_address_is_taken_apart_once() {
        let address = parse("http://[::1]:9/a/mcp?x=1#f").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 9));
        assert_eq!(address.authority, "[::1]:9");
        assert_eq!(address.path, "/a/mcp?x=1");
        let secure = parse("https://tools.example").unwrap();
        assert_eq!((secure.port, secure.tls.is_some(), secure.path.to_string().as_str()), (443, true, "/"));
        for bad in ["tools.example", "ftp://tools.example", "http://user:secret@tools.example/"] {
            let error = parse(bad).err().unwrap();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
