//! One kept-alive HTTP/1.1 connection.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// More than any answer of a bench has.
const ANSWER_LIMIT: usize = 64 << 20;

/// Where calls go, and what they carry.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    uri: Uri,
    authority: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Target {
    /// Takes `http://` addresses and `Name: value` headers.
    pub(crate) fn new(url: &str, headers: &[String]) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|e| format!("{url}: {e}"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("{url}: only http:// addresses are measured"));
        }
        let host = uri.host().ok_or_else(|| format!("{url}: no host"))?;
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let headers = headers.iter().map(|header| parse_header(header)).collect::<Result<_, _>>()?;
        Ok(Self { uri, authority, headers })
    }

    /// The same target with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Result<Self, String> {
        let value = HeaderValue::from_str(value).map_err(|e| format!("{name}: {e}"))?;
        self.headers.push((HeaderName::from_static(name), value));
        Ok(self)
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The path of the requests, with its query.
    pub(super) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::post(self.path())
            .header("host", &self.authority)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| e.to_string())?;
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        Ok(request)
    }
}

fn parse_header(header: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = header.split_once(':').ok_or_else(|| format!("`{header}` is no `Name: value`"))?;
    let name = name.trim().parse::<HeaderName>().map_err(|e| format!("{header}: {e}"))?;
    let value = HeaderValue::from_str(value.trim()).map_err(|e| format!("{header}: {e}"))?;
    Ok((name, value))
}

/// A connection, opened anew when the server closed it.
pub(crate) struct Connection {
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub(crate) fn new() -> Self {
        Self { sender: None }
    }

    /// Sends a body and returns the head of the answer.
    pub(crate) async fn post(&mut self, target: &Target, body: Bytes) -> Result<Response<Incoming>, String> {
        let request = target.request(body)?;
        let mut sender = match self.sender.take() {
            Some(open) => open,
            None => connect(&target.authority).await?,
        };
        if sender.ready().await.is_err() {
            sender = connect(&target.authority).await?;
        }
        let response = sender.send_request(request).await.map_err(|e| format!("request: {e}"))?;
        self.sender = Some(sender);
        Ok(response)
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(authority).await.map_err(|e| format!("connect {authority}: {e}"))?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(async move {
        // Its error is also the error of the call in progress.
        let _ = connection.await;
    });
    Ok(sender)
}

/// The whole body of an answer with status 2xx; anything else is an error that tells its begin.
pub(crate) async fn whole_body(response: Response<Incoming>) -> Result<Bytes, String> {
    let status = response.status();
    let mut body = response.into_body();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|e| format!("body: {e}"))?.into_data() {
            all.extend_from_slice(&data);
        }
        if all.len() > ANSWER_LIMIT {
            return Err(format!("an answer of more than {ANSWER_LIMIT} bytes"));
        }
    }
    if status.is_success() { Ok(all.freeze()) } else { Err(format!("status {status}: {}", begin(&all))) }
}

/// The first characters of an answer, for messages.
pub(crate) fn begin(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(300).collect()
}
