//! Against a small server on a socket: conversations, questions, large results, streams that break off.

use super::*;
use crate::upstream::{Asker, Pinned, ResultText};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What the server saw: method, session, last event id, message.
type Seen = Arc<Mutex<Vec<(String, String, String, Value)>>>;

async fn serve(seen: Seen) -> HttpUpstream {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer).with_state(seen);
    tokio::spawn(async move { axum::serve(listener, router).await });
    HttpUpstream::new(&"crm".into(), &url, std::iter::empty(), &Settings::default()).unwrap()
}

fn reply(kind: &str, body: String) -> Response {
    Response::builder().header("content-type", kind).body(Body::from(body)).unwrap()
}

async fn answer(State(seen): State<Seen>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let header = |name: &str| parts.headers.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
    let (session, after) = (header("mcp-session-id"), header("last-event-id"));
    seen.lock().unwrap().push((parts.method.to_string(), session.clone(), after.clone(), message.clone()));
    let id = &message["id"];
    let result = |result: Value| json!({"jsonrpc": "2.0", "result": result, "id": id}).to_string();
    if parts.method == "GET" {
        // The answer of the call whose stream broke off; or something to announce.
        let data = after.strip_prefix("after-").map_or_else(
            || r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#.to_owned(),
            |id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resumed":1.0}}}}"#),
        );
        return reply("text/event-stream", format!("data: {data}\n\n"));
    }
    match message["method"].as_str().unwrap_or_default() {
        "server/discover" => Response::builder().status(400).body(Body::empty()).unwrap(),
        "initialize" => {
            let opened = seen.lock().unwrap().iter().filter(|seen| seen.3["method"] == "initialize").count();
            let description =
                json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "instructions": "x"});
            let mut response = reply("application/json", result(description));
            response.headers_mut().insert("mcp-session-id", format!("s{opened}").parse().unwrap());
            response
        }
        _ if session == "gone" => Response::builder().status(404).body(Body::empty()).unwrap(),
        "large" => reply("application/json", result(json!({"text": "é".repeat(1_000_000)}))),
        "large/events" => {
            let message = result(json!({"text": "é".repeat(1_000_000)}));
            reply("text/event-stream", format!("event: message\ndata: {message}\n\n"))
        }
        "broken" => reply("text/event-stream", format!("retry: 50\nid: after-{id}\ndata:\n\n")),
        "ask" => {
            let (to, mut from) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(2);
            let (question, id) = (r#"{"jsonrpc":"2.0","id":"q","method":"roots/list"}"#, id.clone());
            to.try_send(Ok(format!("data: {question}\n\n").into())).unwrap();
            tokio::spawn(async move {
                let answered = || seen.lock().unwrap().iter().find(|seen| seen.3["id"] == "q").cloned();
                while answered().is_none() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                let message = json!({"jsonrpc": "2.0", "id": id, "result": answered().unwrap().3["result"]});
                to.send(Ok(format!("data: {message}\n\n").into())).await.unwrap();
            });
            let body = Body::from_stream(stream::poll_fn(move |cx| from.poll_recv(cx)));
            Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
        }
        _ => reply("application/json", result(json!({"session": session}))),
    }
}

fn conversation(key: u8, pinned: Option<Pinned>) -> Arc<Conversation> {
    let capabilities = r#"{"roots":{}}"#.into();
    Arc::new(Conversation { key: [key; 32], capabilities, info: None, shared: false, pinned })
}

fn outgoing(method: &'static str, conversation: &Arc<Conversation>) -> Outgoing<'static> {
    let own = Outgoing::own(method, crate::wire::object::RawObject::default());
    Outgoing { conversation: Arc::clone(conversation), streams: true, ..own }
}

async fn ask(upstream: &HttpUpstream, outgoing: Outgoing<'_>) -> Result<Value, UpstreamError> {
    match upstream.request(outgoing).await?.answer {
        Answer::Result(result) => Ok(serde_json::from_slice(&result.whole().await?).unwrap()),
        Answer::Error(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn each_conversation_has_a_session_that_it_can_pin_and_end() {
    let seen = Seen::default();
    let upstream = serve(Arc::clone(&seen)).await;
    let (one, two) = (conversation(1, None), conversation(2, None));
    let session = async |conversation| ask(&upstream, outgoing("tools/call", conversation)).await;
    assert_eq!(session(&one).await.unwrap()["session"], "s1");
    assert_eq!(session(&two).await.unwrap()["session"], "s2");
    assert_eq!(session(&one).await.unwrap()["session"], "s1");
    let opened = upstream.open(&one).await.unwrap();
    assert_eq!((&*opened.capabilities, opened.revision.version()), (r#"{"tools":{}}"#, "2025-11-25"));
    let pinned = opened.session.unwrap();
    let elsewhere = conversation(9, Some(pinned.clone()));
    assert_eq!(session(&elsewhere).await.unwrap()["session"], "s1", "no session of its own is opened");
    upstream.close(&elsewhere).await;
    let gone = conversation(9, Some(Pinned { session: "gone".into(), ..pinned.clone() }));
    assert!(matches!(session(&gone).await, Err(UpstreamError::SessionLost)));
    let other = conversation(9, Some(Pinned { target: "http://other/".into(), ..pinned }));
    assert!(matches!(session(&other).await, Err(UpstreamError::SessionLost)));
    upstream.shutdown(Duration::from_secs(1)).await;
    let seen = seen.lock().unwrap();
    let initialize = seen.iter().find(|seen| seen.3["method"] == "initialize").unwrap();
    assert_eq!(initialize.3["params"]["capabilities"], json!({"roots": {}}));
    let ended: Vec<_> = seen.iter().filter(|seen| seen.0 == "DELETE").map(|seen| seen.1.as_str()).collect();
    assert_eq!(ended, ["s1", "s2"], "what was lent to a client is not ended twice");
}

#[tokio::test]
async fn a_large_result_arrives_in_pieces_and_a_small_one_whole() {
    let upstream = serve(Seen::default()).await;
    let own = Conversation::own();
    for method in ["large", "large/events"] {
        let answered = upstream.request(outgoing(method, &own)).await.unwrap();
        let Answer::Result(text @ ResultText::Streamed(_)) = answered.answer else {
            panic!("{method} is whole")
        };
        let text: Value = serde_json::from_slice(&text.whole().await.unwrap()).unwrap();
        assert_eq!(text["text"].as_str().unwrap().len(), 2_000_000);
        let whole = Outgoing { streams: false, ..outgoing(method, &own) };
        let answered = upstream.request(whole).await.unwrap();
        assert!(matches!(answered.answer, Answer::Result(ResultText::Whole(_))), "{method}");
    }
    let small = upstream.request(outgoing("tools/call", &own)).await.unwrap();
    assert!(matches!(small.answer, Answer::Result(ResultText::Whole(_))));
}

struct Roots;

#[async_trait::async_trait]
impl Asker for Roots {
    async fn ask(&self, method: &str, _params: Option<&str>) -> Answer {
        assert_eq!(method, "roots/list");
        Answer::Result(Bytes::from_static(br#"{"roots":[1.0]}"#).into())
    }
}

#[tokio::test]
async fn a_question_in_the_middle_of_a_call_is_put_to_its_client() {
    let upstream = serve(Seen::default()).await;
    let one = conversation(1, None);
    let call = Outgoing { asker: Some(Arc::new(Roots)), ..outgoing("ask", &one) };
    assert_eq!(ask(&upstream, call).await.unwrap(), json!({"roots": [1.0]}));
}

#[tokio::test]
async fn a_stream_that_breaks_off_before_the_answer_is_resumed() {
    let seen = Seen::default();
    let upstream = serve(Arc::clone(&seen)).await;
    let answer = ask(&upstream, outgoing("broken", &Conversation::own())).await.unwrap();
    assert_eq!(answer, json!({"resumed": 1.0}));
    let sent = seen.lock().unwrap().iter().filter(|seen| seen.3["method"] == "broken").count();
    assert_eq!(sent, 1, "the request itself is not sent again");
}

#[tokio::test]
async fn a_listener_hears_a_session_again_after_its_stream_ended() {
    let seen = Seen::default();
    let upstream = serve(Arc::clone(&seen)).await;
    let one = conversation(1, None);
    let wanted =
        Wanted { tools: true, prompts: true, resources: true, updated: vec!["file:///a".to_owned()] };
    let mut heard = upstream.listen(&one, wanted).await.unwrap();
    assert!(matches!(heard.recv().await, Some(Announcement::Tools)));
    assert!(matches!(heard.recv().await, Some(Announcement::Resumed)));
    assert!(matches!(heard.recv().await, Some(Announcement::Tools)));
    let seen = seen.lock().unwrap();
    assert!(seen.iter().any(|seen| seen.3["method"] == "resources/subscribe" && seen.1 == "s1"));
}
