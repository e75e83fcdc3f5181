//! The proxy that can be broken.

use mesh_test::echo::EchoServer;
use mesh_test::relay::{Mode, Relay, serve_control};
use reqwest::Client;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"n":1.0}}}"#;
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";

async fn site() -> std::io::Result<(Relay, EchoServer)> {
    let server = EchoServer::start(0).await?;
    let relay = Relay::start(([127, 0, 0, 1], 0).into(), vec![server.address]).await?;
    Ok((relay, server))
}

async fn call(client: &Client, relay: &Relay) -> reqwest::Result<(u16, String)> {
    let response = client.post(format!("http://{}/", relay.address)).body(CALL).send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}

#[tokio::test]
async fn a_whole_relay_passes_calls_on() {
    let (relay, _server) = site().await.unwrap();
    let client = Client::new();
    for n in 1..=3 {
        let (status, text) = call(&client, &relay).await.unwrap();
        assert!(status == 200 && text.contains(r#"{"n":1.0}"#), "{status} {text}");
        assert_eq!(relay.requests(), n);
    }
}

#[tokio::test]
async fn a_healed_relay_passes_calls_on_again_whatever_was_broken() {
    let (relay, _server) = site().await.unwrap();
    let client = Client::new();
    for mode in [Mode::Unavailable, Mode::Garbage, Mode::Reset] {
        relay.set(mode);
        let broken = call(&client, &relay).await;
        relay.set(Mode::Pass);
        match (mode, broken) {
            (Mode::Unavailable, Ok((503, _))) => {}
            (Mode::Garbage, Ok((200, text))) => {
                assert!(serde_json::from_str::<serde_json::Value>(&text).is_err())
            }
            (Mode::Reset, Err(_)) => {}
            (mode, other) => panic!("{mode}: {other:?}"),
        }
        assert_eq!(call(&client, &relay).await.unwrap().0, 200, "after {mode}");
    }
}

#[tokio::test]
async fn a_reset_ends_connections_that_are_open() {
    let (relay, _server) = site().await.unwrap();
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut bytes = [0; 512];
    assert!(stream.read(&mut bytes).await.unwrap() > 0, "it was answered before");
    relay.set(Mode::Reset);
    let error = stream.read(&mut bytes).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_is_half_open_is_answered_when_it_is_healed() {
    let (relay, _server) = site().await.unwrap();
    relay.set(Mode::HalfOpen);
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    assert_eq!(relay.requests(), 0);
    relay.set(Mode::Pass);
    let mut bytes = [0; 512];
    assert!(stream.read(&mut bytes).await.unwrap() > 0);
}

#[tokio::test]
async fn an_endless_stream_has_more_than_anybody_waits_for() {
    let (relay, _server) = site().await.unwrap();
    relay.set(Mode::Endless);
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let (mut bytes, mut text) = ([0; 512], String::new());
    while text.matches(": still there").count() < 5 {
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert!(text.contains("text/event-stream"));
    relay.set(Mode::Pass);
    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

#[tokio::test]
async fn a_trickle_comes_byte_by_byte_and_is_the_answer() {
    let (relay, _server) = site().await.unwrap();
    relay.set(Mode::Trickle);
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut bytes = [0; 512];
    for expected in b"HTTP" {
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 1);
        assert_eq!(bytes[0], *expected);
    }
}

#[tokio::test]
async fn requests_of_one_connection_go_to_the_targets_in_turn_and_past_one_that_is_gone() {
    let (one, two) = (EchoServer::start(0).await.unwrap(), EchoServer::start(0).await.unwrap());
    let any = ([127, 0, 0, 1], 0).into();
    let (first, second) = (
        Relay::start(any, vec![one.address]).await.unwrap(),
        Relay::start(any, vec![two.address]).await.unwrap(),
    );
    let relay = Relay::start(any, vec![first.address, second.address]).await.unwrap();
    let client = Client::new();
    for _ in 0..6 {
        assert_eq!(call(&client, &relay).await.unwrap().0, 200);
    }
    assert_eq!((first.requests(), second.requests()), (3, 3));
    drop(first);
    drop(one);
    let client = Client::new();
    let fresh = Relay::start(any, vec![([127, 0, 0, 1], 1).into(), second.address]).await.unwrap();
    for _ in 0..4 {
        assert_eq!(call(&client, &fresh).await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn the_control_port_takes_the_names_of_modes() {
    let (relay, _server) = site().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve_control(listener, relay.handle()));
    let mut control = TcpStream::connect(address).await.unwrap();
    control.write_all(b"unavailable\nnonsense\nrequests\n").await.unwrap();
    let mut told = String::new();
    let mut bytes = [0; 512];
    while told.lines().count() < 3 || !told.ends_with('\n') {
        let count = control.read(&mut bytes).await.unwrap();
        told.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0] == "ok" && lines[1].starts_with("error: `nonsense`") && lines[2] == "0", "{told}");
    let status = tokio::time::timeout(Duration::from_secs(10), call(&Client::new(), &relay)).await;
    assert_eq!(status.unwrap().unwrap().0, 503);
    serving.abort();
}
