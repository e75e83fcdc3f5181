//! A proxy that cuts a connection at a chosen moment.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection ends before the server gets the marked request.
    Request,
    /// The server gets it, and the connection ends before its answer arrives.
    Answer,
    /// The server gets it, and sends its answer to nobody. The connection goes on.
    OnlyAnswer,
}

#[derive(Default)]
struct Plan {
    cut: Mutex<Option<(Cut, Vec<u8>)>>,
    cuts: AtomicUsize,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    plan: Arc<Plan>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Plan::default());
        let shared = Arc::clone(&plan);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, plan }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Cuts the connection once, when something with this mark is sent.
    pub(crate) fn cut_at(&self, cut: Cut, mark: &[u8]) {
        *self.plan.cut.lock().unwrap() = Some((cut, mark.to_vec()));
    }

    pub(crate) fn cuts(&self) -> usize {
        self.plan.cuts.load(Ordering::SeqCst)
    }
}

/// Passes on what both say, until one of them ends or the plan says so.
async fn pass(mut client: TcpStream, mut server: TcpStream, plan: Arc<Plan>) {
    let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return };
                let chunk = &request[..length];
                match planned(&plan, chunk) {
                    None => server.write_all(chunk).await.unwrap(),
                    Some(Cut::OnlyAnswer) => server.write_all(&misled(chunk)).await.unwrap(),
                    Some(Cut::Request) => return,
                    Some(Cut::Answer) => {
                        server.write_all(chunk).await.unwrap();
                        swallow_answer(&mut server).await;
                        return;
                    }
                }
            }
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn planned(plan: &Plan, chunk: &[u8]) -> Option<Cut> {
    let mut planned = plan.cut.lock().unwrap();
    let (cut, _) = planned.take_if(|(_, mark)| chunk.windows(mark.len()).any(|window| window == mark))?;
    plan.cuts.fetch_add(1, Ordering::SeqCst);
    Some(cut)
}

/// The same requests, with answers to an inbox that nobody has.
fn misled(chunk: &[u8]) -> Vec<u8> {
    let mut chunk = chunk.to_vec();
    let inboxes: Vec<usize> =
        chunk.windows(7).enumerate().filter(|(_, it)| *it == b"_INBOX.").map(|(at, _)| at).collect();
    for at in inboxes {
        chunk[at..at + 7].copy_from_slice(b"_NOBOX.");
    }
    chunk
}

/// Waits until the server has acknowledged.
async fn swallow_answer(server: &mut TcpStream) {
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(r#""stream":"mesh-log""#) {
        server.read_buf(&mut said).await.unwrap();
    }
}
