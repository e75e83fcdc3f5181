use crate::version::{Version, spoken};
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::ServiceExt as _;

/// How often an HTTP/2 client is asked whether it is still there; one that does not answer in as long is cut off.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How many connections are open, told as it changes: `+1`, `-1`.
pub type ConnectionGauge = Arc<dyn Fn(i64) + Send + Sync>;

/// What a listener grants its clients.
#[derive(Clone)]
pub struct Limits {
    /// Connections open at a time (`limits.connections`).
    pub connections: usize,
    /// Time for a request's headers to arrive, and for an idle connection to send the next one (`limits.header_timeout`).
    pub header_timeout: Duration,
    /// Told about every connection.
    pub gauge: Option<ConnectionGauge>,
}

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({setting}): {}", explain(.source))]
pub struct BindError {
    /// Which address.
    pub address: SocketAddr,
    /// The setting that names it.
    pub setting: String,
    /// What the operating system said.
    pub source: std::io::Error,
}

fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "the port is in use; stop the process that uses it, or set another port there".to_owned()
        }
        std::io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 need a privileged process".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => error.to_string(),
    }
}

/// Opens a listener; `setting` is the configuration's name for the address, for the error message.
///
/// # Errors
/// The address is in use, not permitted or not of this machine.
pub async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError {
        address,
        setting: setting.to_owned(),
        source,
    })
}

/// Serves until `shutdown`, then lets open requests finish for `grace` at most. Returns how many connections had to be cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
    grace: Duration,
) -> usize {
    let graceful = GracefulShutdown::new();
    let cut = CancellationToken::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    while let Some((stream, place)) = next(&listener, &places, &shutdown).await {
        let _ = stream.set_nodelay(true);
        let begin = shutdown.clone().cancelled_owned();
        let connection = connection(stream, router.clone(), limits.header_timeout, begin, graceful.watcher());
        let open = Open::new(limits.gauge.clone());
        let cut = cut.clone();
        tokio::spawn(async move {
            tokio::select! {
                result = connection => if let Err(error) = result {
                    tracing::debug!(error = %error, "a connection ended early");
                },
                () = cut.cancelled() => {}
            }
            drop((place, open));
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_ok() {
        return 0;
    }
    let left = limits.connections - places.available_permits();
    cut.cancel();
    left
}

/// Serves one connection to its end. Memory of a connection that streams is that of its buffers: HTTP/2, whose state is large,
/// is kept apart.
async fn connection(
    stream: TcpStream,
    router: Router,
    header_timeout: Duration,
    shutdown: WaitForCancellationFutureOwned,
    watcher: Watcher,
) -> hyper::Result<()> {
    // None of hyper's time-outs counts before that, so a client that says nothing would keep its place for ever.
    let version = tokio::select! {
        version = spoken(&stream, header_timeout) => version,
        () = shutdown => None,
    };
    let Some(version) = version else { return Ok(()) };
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let stream = TokioIo::new(stream);
    match version {
        Version::Http1 => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
            watcher.watch(builder.serve_connection(stream, service)).await
        }
        Version::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            // Without the pings, a client that vanished or fell silent would keep its place for ever.
            builder.timer(TokioTimer::new()).max_concurrent_streams(256).keep_alive_interval(PING_EVERY);
            Box::pin(watcher.watch(builder.serve_connection(stream, service))).await
        }
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    loop {
        let accept = async {
            let place = Arc::clone(places).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let (accepted, place) = tokio::select! {
            () = shutdown.cancelled() => return None,
            next = accept => next?,
        };
        match accepted {
            Ok((stream, _)) => return Some((stream, place)),
            Err(error) => {
                // Out of file descriptors, mostly: what is open has to close before more can come in.
                tracing::warn!(error = %error, "cannot accept a connection; waiting");
                tokio::select! {
                    () = shutdown.cancelled() => return None,
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                }
            }
        }
    }
}

struct Open(Option<ConnectionGauge>);

impl Open {
    fn new(gauge: Option<ConnectionGauge>) -> Self {
        if let Some(gauge) = &gauge {
            gauge(1);
        }
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge(-1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_setting() {
        let first = bind("127.0.0.1:0".parse().unwrap(), "gateway.listen").await.unwrap();
        let error = bind(first.local_addr().unwrap(), "agents.sales.listen").await.unwrap_err();
        assert!(error.to_string().contains("agents.sales.listen"), "{error}");
        assert!(error.to_string().contains("in use"), "{error}");
    }

    #[tokio::test]
    async fn a_client_that_does_not_begin_to_speak_loses_its_place() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), "test").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let limits = Limits { connections: 2, header_timeout: Duration::from_millis(200), gauge: None };
        let router = Router::new().route("/", get(|| async { "here" }));
        let server = tokio::spawn(serve(listener, router, limits, shutdown.clone(), Duration::ZERO));
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut halting = TcpStream::connect(address).await.unwrap();
        halting.write_all(b"PRI * HTTP/2").await.unwrap();
        let text = reqwest::get(format!("http://{address}/")).await.unwrap().text().await.unwrap();
        assert_eq!(text, "here");
        shutdown.cancel();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn both_versions_are_served_in_cleartext_on_one_port() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), "test").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let limits = Limits { connections: 2, header_timeout: Duration::from_secs(5), gauge: None };
        let router = Router::new().route("/", get(|| async { "here" }));
        let server = tokio::spawn(serve(listener, router, limits, shutdown.clone(), Duration::ZERO));
        for (client, version) in [
            (reqwest::Client::builder().http1_only(), reqwest::Version::HTTP_11),
            (reqwest::Client::builder().http2_prior_knowledge(), reqwest::Version::HTTP_2),
        ] {
            let answer = client.no_proxy().build().unwrap().get(&url).send().await.unwrap();
            assert_eq!((answer.version(), answer.text().await.unwrap().as_str()), (version, "here"));
        }
        shutdown.cancel();
        server.await.unwrap();
    }

    #[tokio::test]
    async fn shutdown_lets_an_open_request_finish_and_cuts_what_outlives_the_grace_period() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), "test").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (started, mut starts) = tokio::sync::mpsc::channel::<()>(2);
        let release = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&release);
        let slow = move || {
            let (started, gate) = (started.clone(), Arc::clone(&gate));
            async move {
                started.send(()).await.unwrap();
                gate.acquire().await.unwrap().forget();
                "done"
            }
        };
        let shutdown = CancellationToken::new();
        let limits = Limits { connections: 8, header_timeout: Duration::from_secs(5), gauge: None };
        let router = Router::new().route("/", get(slow));
        let server =
            tokio::spawn(serve(listener, router, limits, shutdown.clone(), Duration::from_millis(300)));
        let fetch =
            || tokio::spawn(async move { reqwest::get(format!("http://{address}/")).await?.text().await });
        let (first, second) = (fetch(), fetch());
        starts.recv().await.unwrap();
        starts.recv().await.unwrap();
        shutdown.cancel();
        release.add_permits(1);
        assert_eq!(server.await.unwrap(), 1, "one request was never released");
        let answers = [first.await.unwrap(), second.await.unwrap()];
        assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1);
    }
}
