//! Calls that wait for a client without sessions to come again with what was asked of it.

use super::Outcome;
use super::asking::{ANSWER, Question};
use crate::rejection::Rejection;
use crate::session::{Purpose, Seal};
use crate::upstream::Answer;
use crate::wire::object::{RawObject, as_str};
use crate::wire::{string, write_string};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use mesh_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Calls that may wait at the same time; one more is refused.
const PARKED: usize = 1000;
/// Questions of one call at the same time.
pub(crate) const QUESTIONS: usize = 16;

/// A call under way, with the ends of what it says meanwhile.
pub(crate) struct Conversing {
    pub(crate) work: BoxFuture<'static, Result<Outcome, Rejection>>,
    pub(crate) questions: mpsc::Receiver<Question>,
    pub(crate) notifications: mpsc::Receiver<Bytes>,
}

/// Who may wake a call, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// A digest of the principal.
    #[serde(rename = "p")]
    pub(crate) principal: u64,
    /// A digest of the method and its parameters, without what a repetition adds.
    #[serde(rename = "d")]
    pub(crate) request: u64,
}

/// What `requestState` says.
#[derive(Serialize, Deserialize)]
struct State {
    #[serde(rename = "n")]
    call: u128,
    #[serde(flatten)]
    claim: Claim,
    #[serde(rename = "e")]
    expires: i64,
}

struct Waiting {
    call: Conversing,
    answers: HashMap<String, oneshot::Sender<Answer>>,
    expiry: tokio::task::AbortHandle,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Parked {
    calls: Mutex<Waitings>,
}

#[derive(Default)]
struct Waitings {
    by_id: HashMap<u128, Waiting>,
    /// The gateway ends: nobody can come again.
    ended: bool,
}

impl Conversing {
    /// Goes on with the call until it is answered, or asks something. `notify` is the stream of the request that waits.
    pub(crate) async fn go_on(
        mut self,
        notify: Option<mpsc::Sender<Bytes>>,
        park: impl FnOnce(Self, Vec<Question>) -> Result<Outcome, Rejection>,
    ) -> Result<Outcome, Rejection> {
        let pass = |message| {
            if let Some(notify) = &notify {
                // Full: it is left out, as the protocol allows.
                let _ = notify.try_send(message);
            }
        };
        loop {
            tokio::select! {
                biased;
                Some(message) = self.notifications.recv() => pass(message),
                Some(first) = self.questions.recv() => {
                    let mut asked = vec![first];
                    while let Ok(more) = self.questions.try_recv() {
                        asked.push(more);
                    }
                    return park(self, asked);
                }
                outcome = &mut self.work => {
                    while let Ok(message) = self.notifications.try_recv() {
                        pass(message);
                    }
                    return outcome;
                }
            }
        }
    }
}

impl Parked {
    /// Puts a call away and answers with what it asks (2026-07-28, multi round-trip requests).
    pub(crate) fn park(
        self: &Arc<Self>,
        call: Conversing,
        asked: Vec<Question>,
        claim: Claim,
        seal: &Seal,
        now: Timestamp,
    ) -> Result<Outcome, Rejection> {
        let id = uuid::Uuid::new_v4().as_u128();
        let expires = now.millis() / 1000 + i64::try_from(ANSWER.as_secs()).unwrap_or(i64::MAX);
        let state = serde_json::to_vec(&State { call: id, claim, expires }).unwrap_or_default();
        let state = seal.close(Purpose::State, &state);
        let mut requests = Vec::new();
        let mut answers = HashMap::new();
        for (at, question) in asked.into_iter().enumerate() {
            let key = format!("q{}", at + 1);
            requests.extend_from_slice(if at == 0 { b"" } else { b"," });
            write_string(&mut requests, &key);
            requests.extend_from_slice(br#":{"method":"#);
            write_string(&mut requests, &question.method);
            requests.extend_from_slice(br#","params":"#);
            requests.extend_from_slice(question.params.as_deref().unwrap_or("{}").as_bytes());
            requests.push(b'}');
            answers.insert(key, question.answer);
        }
        let mut calls = self.lock();
        if calls.ended {
            return Err(Rejection::Draining);
        }
        if calls.by_id.len() >= PARKED {
            return Err(Rejection::TooManyParked);
        }
        let parked = Arc::clone(self);
        let expiry = tokio::spawn(async move {
            tokio::time::sleep(ANSWER).await;
            // Dropping the call cancels it.
            let over = parked.lock().by_id.remove(&id);
            drop(over);
        })
        .abort_handle();
        calls.by_id.insert(id, Waiting { call, answers, expiry });
        drop(calls);
        let mut out = br#"{"resultType":"input_required","inputRequests":{"#.to_vec();
        out.extend_from_slice(&requests);
        out.extend_from_slice(br#"},"requestState":"#);
        out.extend_from_slice(string(&state).as_bytes());
        out.push(b'}');
        Ok(Outcome::Result(Bytes::from(out).into()))
    }

    /// Wakes the call that a request names in its `requestState`, with the `inputResponses` that it brings. `None`: the state is
    /// none of ours, and is the upstream's affair.
    pub(crate) fn wake(
        &self,
        params: &RawObject<'_>,
        claim: Claim,
        seal: &Seal,
        now: Timestamp,
    ) -> Option<Result<Conversing, Rejection>> {
        let text = params.get("requestState").and_then(as_str)?;
        let state: State = serde_json::from_slice(&seal.open(Purpose::State, text.as_bytes())?).ok()?;
        let bad = |why: &str| Some(Err(Rejection::InvalidParams(format!("`params.requestState`: {why}"))));
        if state.claim.principal != claim.principal {
            return bad("unknown");
        }
        if state.claim.request != claim.request {
            return bad("it belongs to a request with other parameters");
        }
        if state.expires <= now.millis() / 1000 {
            return bad("it has expired");
        }
        let responses = params.get("inputResponses").unwrap_or("{}");
        let Ok(mut responses) = RawObject::parse(responses) else {
            return Some(Err(Rejection::InvalidParams(
                "`params.inputResponses` must be an object".to_owned(),
            )));
        };
        let Some(waiting) = self.lock().by_id.remove(&state.call) else {
            return bad("its call is not waiting here: it was answered before, or ended");
        };
        waiting.expiry.abort();
        for (key, to) in waiting.answers {
            let answer = match responses.take(&key) {
                Some(result) => Answer::Result(Bytes::copy_from_slice(result.as_bytes()).into()),
                None => super::asking::refused("the client did not answer this"),
            };
            // The server may have withdrawn the question.
            let _ = to.send(answer);
        }
        Some(Ok(waiting.call))
    }

    /// Cancels all, and takes no more.
    pub(crate) fn end(&self) {
        let waiting = {
            let mut calls = self.lock();
            calls.ended = true;
            std::mem::take(&mut calls.by_id)
        };
        waiting.values().for_each(|waiting| waiting.expiry.abort());
    }

    fn lock(&self) -> MutexGuard<'_, Waitings> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A digest of a request that is the same when it is repeated with answers: members in any order, in any spelling.
pub(crate) fn request_digest(method: &str, params: &RawObject<'_>) -> u64 {
    let mut hash = Sha256::new();
    hash.update(method);
    for member in ["name", "uri", "arguments"] {
        hash.update([0]);
        let value = params.get(member).map(serde_json::from_str::<Value>);
        if let Some(Ok(value)) = value {
            feed(&mut hash, &value);
        }
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}

fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            hash.update(b"{");
            for (name, value) in members {
                hash.update((name.len() as u64).to_be_bytes());
                hash.update(name);
                feed(hash, value);
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| feed(hash, item));
            hash.update(b"]");
        }
        other => {
            hash.update(other.to_string());
            hash.update([0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const CLAIM: Claim = Claim { principal: 1, request: 2 };

    fn call() -> (Conversing, mpsc::Sender<Question>) {
        let (questions_in, questions) = mpsc::channel(QUESTIONS);
        let (_, notifications) = mpsc::channel(1);
        let asker = questions_in.clone();
        let work = async move {
            let (answer, receiver) = oneshot::channel();
            let question = Question { method: "roots/list".to_owned(), params: None, answer };
            asker.send(question).await.ok();
            match receiver.await {
                Ok(Answer::Result(text)) => Ok(Outcome::Result(text)),
                _ => Err(Rejection::Denied),
            }
        };
        (Conversing { work: work.boxed(), questions, notifications }, questions_in)
    }

    async fn text(outcome: Outcome) -> Value {
        let Outcome::Result(text) = outcome else { panic!() };
        serde_json::from_slice(&text.whole().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_call_goes_on_when_the_client_comes_again_with_the_answer() {
        let (parked, seal) = (Arc::new(Parked::default()), Seal::new(None));
        let (call, _sender) = call();
        let park = |call, asked| parked.park(call, asked, CLAIM, &seal, Timestamp(0));
        let asked = text(call.go_on(None, park).await.unwrap()).await;
        assert_eq!(asked["inputRequests"]["q1"]["method"], "roots/list");
        let again = serde_json::json!({
            "requestState": asked["requestState"],
            "inputResponses": {"q1": {"roots": []}},
        })
        .to_string();
        let again = RawObject::parse(&again).unwrap();
        let wake = |claim, now| parked.wake(&again, claim, &seal, Timestamp(now));
        assert!(matches!(wake(Claim { principal: 9, ..CLAIM }, 0), Some(Err(_))));
        assert!(matches!(wake(Claim { request: 9, ..CLAIM }, 0), Some(Err(_))));
        assert!(matches!(wake(CLAIM, 1_000_000), Some(Err(_))));
        let call = wake(CLAIM, 0).unwrap().ok().unwrap();
        let done = call.go_on(None, |_, _| panic!("nothing more is asked")).await.unwrap();
        assert_eq!(text(done).await, serde_json::json!({"roots": []}));
        assert!(matches!(wake(CLAIM, 0), Some(Err(_))), "a call is woken once");
        let foreign = RawObject::parse(r#"{"requestState":"theirs"}"#).unwrap();
        assert!(parked.wake(&foreign, CLAIM, &seal, Timestamp(0)).is_none());
    }

    #[tokio::test]
    async fn at_the_end_calls_that_wait_are_cancelled_and_no_more_are_put_away() {
        let (parked, seal) = (Arc::new(Parked::default()), Seal::new(None));
        let park = |call, asked| parked.park(call, asked, CLAIM, &seal, Timestamp(0));
        let (first, asker) = call();
        first.go_on(None, park).await.unwrap();
        parked.end();
        assert!(asker.is_closed(), "nobody hears the call's questions any more");
        let (second, _asker) = call();
        assert!(matches!(second.go_on(None, park).await, Err(Rejection::Draining)));
    }

    #[test]
    fn a_repeated_request_is_recognised_whatever_its_spelling() {
        let digest = |json: &str| request_digest("tools/call", &RawObject::parse(json).unwrap());
        let one = digest(r#"{"name":"a","arguments":{"x":1,"y":[2]}}"#);
        assert_eq!(one, digest(r#"{"arguments":{"y":[ 2],"x":1},"requestState":"s","name":"\u0061"}"#));
        assert_ne!(one, digest(r#"{"name":"a","arguments":{"x":1,"y":[3]}}"#));
    }
}
