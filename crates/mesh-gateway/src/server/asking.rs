//! Questions of a server to the client of a call: over the call's stream to a client with a session, with a result that asks for input to
//! one without.

use super::patience::Patience;
use crate::upstream::{Answer, Asker};
use crate::wire::write_string;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Questions that wait for clients of this gateway; more are refused.
const OPEN: usize = 10_000;
/// How long a client, and the person in front of it, may take to answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(300);

/// The questions that were sent to clients with a session.
#[derive(Default)]
pub(crate) struct OpenQuestions {
    open: Mutex<HashMap<Box<str>, Open>>,
}

struct Open {
    session: u128,
    answer: oneshot::Sender<Answer>,
}

impl OpenQuestions {
    /// Takes an answer to a question that the session was asked. `false`: there is no such question here.
    pub(crate) fn answer(&self, session: u128, id: &str, answer: Answer) -> bool {
        let mut open = self.lock();
        if open.get(id).is_none_or(|open| open.session != session) {
            return false;
        }
        if let Some(open) = open.remove(id) {
            // Who asked may have left in this moment.
            let _ = open.answer.send(answer);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks a client with a session, on the stream of its call.
pub(super) struct StreamAsker {
    pub(super) questions: Arc<OpenQuestions>,
    pub(super) session: u128,
    pub(super) capabilities: Box<str>,
    pub(super) stream: mpsc::Sender<Bytes>,
    pub(super) patience: Arc<Patience>,
}

/// Takes the question back when nobody waits for its answer any more.
struct Withdraw<'a>(&'a OpenQuestions, &'a str);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(self.1);
    }
}

#[async_trait::async_trait]
impl Asker for StreamAsker {
    async fn ask(&self, method: &str, params: Option<&str>) -> Answer {
        if !declared(&self.capabilities, method) {
            return not_offered();
        }
        let id = format!("agentmesh-{}", uuid::Uuid::new_v4().simple());
        let (answer, receiver) = oneshot::channel();
        {
            let mut open = self.questions.lock();
            if open.len() >= OPEN {
                return refused("too many questions are open");
            }
            open.insert(id.as_str().into(), Open { session: self.session, answer });
        }
        let _withdraw = Withdraw(&self.questions, &id);
        let _pause = self.patience.pause();
        answered(self.stream.send(message(&id, method, params)), receiver).await
    }
}

/// A question to a client without sessions.
pub(crate) struct Question {
    pub(crate) method: String,
    pub(crate) params: Option<String>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Asks a client without a session: its call is answered with what is asked, and goes on when it comes again.
pub(super) struct RoundTripAsker {
    pub(super) questions: mpsc::Sender<Question>,
    pub(super) capabilities: Box<str>,
    pub(super) patience: Arc<Patience>,
}

#[async_trait::async_trait]
impl Asker for RoundTripAsker {
    async fn ask(&self, method: &str, params: Option<&str>) -> Answer {
        if !declared(&self.capabilities, method) {
            return not_offered();
        }
        let _pause = self.patience.pause();
        let (answer, receiver) = oneshot::channel();
        let question = Question { method: method.to_owned(), params: params.map(str::to_owned), answer };
        answered(self.questions.send(question), receiver).await
    }
}

/// Sends a question and waits for its answer, all within [`ANSWER`]: a client that does not even read must not hold its call for ever.
async fn answered<E>(sent: impl Future<Output = Result<(), E>>, answer: oneshot::Receiver<Answer>) -> Answer {
    let asked = async {
        if sent.await.is_err() {
            return refused("the client has left");
        }
        answer.await.unwrap_or_else(|_| refused("the client has left"))
    };
    let late = |_| refused("the client did not answer in time");
    tokio::time::timeout(ANSWER, asked).await.unwrap_or_else(late)
}

/// Whether a client with these capabilities, raw, said that it can answer.
pub(crate) fn declared(capabilities: &str, method: &str) -> bool {
    let name = match method {
        "sampling/createMessage" => "sampling",
        "elicitation/create" => "elicitation",
        "roots/list" => "roots",
        _ => return false,
    };
    crate::wire::object::RawObject::parse_lenient(capabilities).is_ok_and(|object| object.get(name).is_some())
}

fn message(id: &str, method: &str, params: Option<&str>) -> Bytes {
    let mut out = br#"{"jsonrpc":"2.0","id":"#.to_vec();
    write_string(&mut out, id);
    out.extend_from_slice(br#","method":"#);
    write_string(&mut out, method);
    if let Some(params) = params {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params.as_bytes());
    }
    out.push(b'}');
    out.into()
}

pub(super) fn refused(why: &str) -> Answer {
    Answer::Error(serde_json::json!({ "code": -32603, "message": why }).to_string().into())
}

fn not_offered() -> Answer {
    Answer::Error(Bytes::from_static(br#"{"code":-32601,"message":"the client does not offer this"}"#))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn asker(stream: mpsc::Sender<Bytes>) -> StreamAsker {
        StreamAsker {
            questions: Arc::default(),
            session: 7,
            capabilities: r#"{"elicitation":{}}"#.into(),
            stream,
            patience: Patience::until(Instant::now() + ANSWER),
        }
    }

    #[tokio::test]
    async fn only_the_session_that_was_asked_can_answer_and_only_once() {
        let (stream, mut sent) = mpsc::channel(1);
        let asker = asker(stream);
        let questions = Arc::clone(&asker.questions);
        let asked = tokio::spawn(async move { asker.ask("elicitation/create", Some("{\"x\":1.0}")).await });
        let message = sent.recv().await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&message).unwrap();
        let id = json["id"].as_str().unwrap();
        let answer = || Answer::Result(Bytes::from_static(b"{}").into());
        assert!(!questions.answer(8, id, answer()));
        assert!(questions.answer(7, id, answer()));
        assert!(!questions.answer(7, id, answer()));
        assert!(matches!(asked.await.unwrap(), Answer::Result(_)));
        assert!(questions.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_does_not_hold_its_call_for_ever() {
        let (stream, _unread) = mpsc::channel(1);
        stream.send(Bytes::new()).await.unwrap();
        let asker = asker(stream);
        assert!(matches!(asker.ask("elicitation/create", None).await, Answer::Error(_)));
        assert!(asker.questions.lock().is_empty());
    }

    #[tokio::test]
    async fn what_the_client_did_not_declare_is_not_asked() {
        let (stream, _sent) = mpsc::channel(1);
        let asker = asker(stream);
        for method in ["sampling/createMessage", "roots/list", "whatever"] {
            assert!(matches!(asker.ask(method, None).await, Answer::Error(_)), "{method}");
        }
    }
}
