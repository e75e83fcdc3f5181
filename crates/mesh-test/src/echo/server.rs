//! The HTTP side.

use super::answer::{answer, listed};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const BODY_LIMIT: usize = 16 << 20;

/// A server that runs in this process until it is dropped.
#[derive(Debug)]
pub struct EchoServer {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl EchoServer {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port is to be had.
    pub async fn start(more_tools: usize) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(serve(listener, more_tools)) })
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves for ever: `echo`, and so many other tools that are only listed.
pub async fn serve(listener: TcpListener, more_tools: usize) {
    let tools: Arc<str> = listed(more_tools).into();
    loop {
        // An error here is one of the connection that was not accepted.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let tools = Arc::clone(&tools);
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(request, Arc::clone(&tools)));
            // Its error is one of the client.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(request: Request<Incoming>, tools: Arc<str>) -> Result<Response<Full<Bytes>>, Infallible> {
    let empty = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    };
    if request.method() != Method::POST {
        return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Ok(body) = Limited::new(request.into_body(), BODY_LIMIT).collect().await else {
        return Ok(empty(StatusCode::BAD_REQUEST));
    };
    Ok(match answer(&body.to_bytes(), &tools) {
        None => empty(StatusCode::ACCEPTED),
        Some(text) => {
            let mut response = Response::new(Full::new(Bytes::from(text)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    })
}
