use crate::support::{Served, message, read, request, text};
use axum::body::Body;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> Value {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A request whose body is packed as it says.
fn sent(path: &str, coding: &str, body: Vec<u8>) -> Request<Body> {
    Request::post(path)
        .header("a2a-version", "1.0")
        .header("content-type", "application/json")
        .header("content-encoding", coding)
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn a_large_answer_is_compressed_for_who_takes_it_so_and_a_small_one_is_not() {
    let served = Served::start().await;
    let task = served.send(&"x".repeat(20_000)).await;
    let small = served.send("hello").await;
    let asked = |path: String, accept: Option<&'static str>| {
        let mut request = request("GET", &path, "");
        if let Some(accept) = accept {
            request.headers_mut().insert("accept-encoding", accept.parse().unwrap());
        }
        served.call(request)
    };
    let path = |task: &Value| format!("/tasks/{}", task["id"].as_str().unwrap());
    let answer = asked(path(&task), Some("gzip, deflate")).await;
    assert_eq!(
        (&answer.headers()["content-encoding"], &answer.headers()["vary"]),
        (&"gzip".parse().unwrap(), &"accept-encoding".parse().unwrap())
    );
    assert_eq!(answer.headers()["content-type"], "application/a2a+json");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.len() < 2_000, "{}", body.len());
    assert_eq!(unpacked(&body), task);
    for accept in [None, Some("br"), Some("gzip;q=0")] {
        let answer = asked(path(&task), accept).await;
        assert_eq!(answer.headers().get("content-encoding"), None);
        assert_eq!(answer.headers()["vary"], "accept-encoding");
        assert_eq!(read(answer).await.1, task);
    }
    let answer = asked(path(&small), Some("gzip")).await;
    assert_eq!((answer.headers().get("content-encoding"), answer.headers().get("vary")), (None, None));
    served.stop().await;
}

#[tokio::test]
async fn a_stream_is_not_compressed() {
    let served = Served::start().await;
    let mut asking = request("POST", "/message:stream", &message(&"x".repeat(20_000)).to_string());
    asking.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    let answer = served.call(asking).await;
    assert_eq!(answer.headers().get("content-encoding"), None);
    assert!(text(answer).await.starts_with("id: 1\n"));
    served.stop().await;
}

#[tokio::test]
async fn a_request_may_be_compressed_and_its_limit_is_that_of_what_is_in_it() {
    let served = Served::with("limits: { body: 64KiB }\n").await;
    let body = message("hello").to_string();
    let (status, answer) =
        read(served.call(sent("/message:send", "gzip", packed(body.as_bytes()))).await).await;
    assert_eq!(
        (status, &answer["task"]["status"]["state"]),
        (StatusCode::OK, &json!("TASK_STATE_COMPLETED"))
    );
    let rpc = json!({ "jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {} }).to_string();
    let (_, answer) = read(served.call(sent("/", "gzip", packed(rpc.as_bytes()))).await).await;
    assert_eq!(answer["result"]["totalSize"], 1);
    let bomb = packed(&vec![b' '; 32 << 20]);
    assert!(bomb.len() < 64 << 10);
    for (path, coding, body, status) in [
        ("/message:send", "gzip", bomb.clone(), 413),
        ("/", "gzip", bomb, 413),
        ("/message:send", "gzip", body.clone().into_bytes(), 400),
        ("/message:send", "gzip", packed(body.as_bytes())[..20].to_vec(), 400),
        ("/message:send", "br", body.clone().into_bytes(), 415),
        ("/message:send", "gzip, gzip", packed(body.as_bytes()), 415),
    ] {
        let (answered, error) = read(served.call(sent(path, coding, body)).await).await;
        assert_eq!(answered.as_u16(), status, "{path} {coding}: {error}");
    }
    served.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_silent_shows_that_it_is_alive() {
    let served = Served::with("limits: { keep_alive: 20ms }\n").await;
    let id = served.begin("wait").await;
    let tap = served.call(request("GET", &format!("/tasks/{id}:subscribe"), "")).await;
    let mut body = tap.into_body();
    let comment = async {
        loop {
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            if frame.starts_with(b":") {
                return frame;
            }
        }
    };
    let comment = tokio::time::timeout(crate::support::PATIENCE, comment).await.unwrap();
    assert_eq!(&comment[..], b":\n\n");
    served.stop().await;
}
