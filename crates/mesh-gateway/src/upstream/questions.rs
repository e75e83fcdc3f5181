//! What a server asks while it works on a call.

use super::outgoing::{answer_to_server, refusal};
use super::{Answer, Asker};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::{AbortHandle, JoinSet};

/// Questions of one call that may be open at the same time; more are refused.
const OPEN: usize = 16;

/// The open questions. Dropping them withdraws all.
#[derive(Default)]
pub(crate) struct Questions {
    tasks: JoinSet<()>,
    by_id: HashMap<Box<str>, AbortHandle>,
}

/// How a question is answered.
pub(crate) enum Asked {
    /// At once, with this message.
    Now(Vec<u8>),
    /// By whom the client is.
    Later,
}

impl Questions {
    /// Takes a request of the server, its id raw. What the client answers is given to `reply`, as a message.
    pub(crate) fn ask<F>(
        &mut self,
        asker: Option<&Arc<dyn Asker>>,
        id: &str,
        method: &str,
        params: Option<&str>,
        reply: impl FnOnce(Vec<u8>) -> F + Send + 'static,
    ) -> Asked
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(asker) = asker.filter(|_| method != "ping") else {
            return Asked::Now(answer_to_server(id, method));
        };
        while self.tasks.try_join_next().is_some() {}
        self.by_id.retain(|_, task| !task.is_finished());
        if self.tasks.len() >= OPEN {
            return Asked::Now(refusal(id, "too many questions are open in this call"));
        }
        let (asker, method, params) = (Arc::clone(asker), method.to_owned(), params.map(str::to_owned));
        let own_id: Box<str> = id.into();
        let task = self.tasks.spawn(async move {
            let answer = asker.ask(&method, params.as_deref()).await;
            reply(answered(&own_id, answer).await).await;
        });
        self.by_id.insert(id.into(), task);
        Asked::Later
    }

    /// The server does not want to know any more.
    pub(crate) fn withdraw(&mut self, id: &str) {
        if let Some(task) = self.by_id.remove(id) {
            task.abort();
        }
    }
}

/// The key of a conversation, and the client of one of its calls.
type OpenCall = ([u8; 32], Arc<dyn Asker>);

/// The clients whose calls an upstream has open, for questions that do not say which call they are about.
#[derive(Default)]
pub(crate) struct Askers {
    open: Mutex<Vec<OpenCall>>,
}

/// A call of a client that can be asked.
pub(crate) struct Askable {
    askers: Arc<Askers>,
    asker: Arc<dyn Asker>,
}

/// Calls of several conversations are open.
#[derive(Debug)]
pub(crate) struct Several;

impl Askers {
    /// Registers a call until the answer is dropped. A call that cannot be asked costs nothing.
    pub(crate) fn enter(self: &Arc<Self>, key: &[u8; 32], asker: Option<&Arc<dyn Asker>>) -> Option<Askable> {
        let asker = Arc::clone(asker?);
        self.lock().push((*key, Arc::clone(&asker)));
        Some(Askable { askers: Arc::clone(self), asker })
    }

    /// Whom to ask in one conversation.
    pub(crate) fn of(&self, key: &[u8; 32]) -> Option<Arc<dyn Asker>> {
        let open = self.lock();
        open.iter().rev().find(|(own, _)| own == key).map(|(_, asker)| Arc::clone(asker))
    }

    /// Whom to ask if all conversations share a connection: the only one that has a call open.
    pub(crate) fn only(&self) -> Result<Option<Arc<dyn Asker>>, Several> {
        let open = self.lock();
        let Some((key, asker)) = open.last() else { return Ok(None) };
        if open.iter().any(|(other, _)| other != key) {
            return Err(Several);
        }
        Ok(Some(Arc::clone(asker)))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<OpenCall>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Askable {
    fn drop(&mut self) {
        let mut open = self.askers.lock();
        if let Some(at) = open.iter().position(|(_, asker)| Arc::ptr_eq(asker, &self.asker)) {
            open.remove(at);
        }
    }
}

/// The message that answers a question.
async fn answered(id: &str, answer: Answer) -> Vec<u8> {
    let (member, text) = match answer {
        Answer::Error(error) => ("error", error),
        Answer::Result(result) => match result.whole().await {
            Ok(text) => ("result", text),
            Err(_) => {
                ("error", Bytes::from_static(br#"{"code":-32603,"message":"the answer did not arrive"}"#))
            }
        },
    };
    let mut message = format!(r#"{{"jsonrpc":"2.0","id":{id},"{member}":"#).into_bytes();
    message.extend_from_slice(&text);
    message.push(b'}');
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    struct Echo;

    #[async_trait::async_trait]
    impl Asker for Echo {
        async fn ask(&self, method: &str, params: Option<&str>) -> Answer {
            match method {
                "hang" => std::future::pending().await,
                "refuse" => Answer::Error(Bytes::from_static(b"{\"code\":1}")),
                _ => Answer::Result(Bytes::from(params.unwrap_or("{}").to_owned()).into()),
            }
        }
    }

    fn ask(questions: &mut Questions, id: &str, method: &str, to: &mpsc::Sender<Vec<u8>>) -> Option<String> {
        let (asker, to) = (Arc::new(Echo) as Arc<dyn Asker>, to.clone());
        let reply = async move |message| drop(to.send(message).await);
        match questions.ask(Some(&asker), id, method, Some(r#"{"x":1.0}"#), reply) {
            Asked::Now(message) => Some(String::from_utf8(message).unwrap()),
            Asked::Later => None,
        }
    }

    #[tokio::test]
    async fn a_question_is_answered_under_the_servers_id() {
        let (to, mut replies) = mpsc::channel(8);
        let mut questions = Questions::default();
        assert_eq!(ask(&mut questions, "\"a\"", "roots/list", &to), None);
        assert_eq!(replies.recv().await.unwrap(), br#"{"jsonrpc":"2.0","id":"a","result":{"x":1.0}}"#);
        assert_eq!(ask(&mut questions, "2", "refuse", &to), None);
        assert_eq!(replies.recv().await.unwrap(), br#"{"jsonrpc":"2.0","id":2,"error":{"code":1}}"#);
        assert!(ask(&mut questions, "3", "ping", &to).unwrap().contains(r#""result":{}"#));
    }

    #[test]
    fn a_question_that_names_no_call_goes_to_the_only_conversation() {
        let askers = Arc::new(Askers::default());
        assert!(matches!(askers.only(), Ok(None)) && askers.enter(&[1; 32], None).is_none());
        let echo = || Arc::new(Echo) as Arc<dyn Asker>;
        let (first, second, other) = (echo(), echo(), echo());
        let _first = askers.enter(&[1; 32], Some(&first));
        let held = askers.enter(&[1; 32], Some(&second));
        assert!(Arc::ptr_eq(&askers.only().unwrap().unwrap(), &second));
        drop(held);
        let foreign = askers.enter(&[2; 32], Some(&other));
        assert!(askers.only().is_err());
        assert!(Arc::ptr_eq(&askers.of(&[1; 32]).unwrap(), &first));
        drop(foreign);
        assert!(Arc::ptr_eq(&askers.only().unwrap().unwrap(), &first));
    }

    #[tokio::test]
    async fn open_questions_are_bounded_and_can_be_withdrawn() {
        let (to, mut replies) = mpsc::channel(8);
        let mut questions = Questions::default();
        for id in 0..OPEN {
            assert_eq!(ask(&mut questions, &id.to_string(), "hang", &to), None);
        }
        assert!(ask(&mut questions, "99", "hang", &to).unwrap().contains("too many"));
        questions.withdraw("3");
        while questions.tasks.len() == OPEN {
            tokio::task::yield_now().await;
            while questions.tasks.try_join_next().is_some() {}
        }
        assert_eq!(ask(&mut questions, "100", "roots/list", &to), None);
        assert!(replies.recv().await.unwrap().starts_with(br#"{"jsonrpc":"2.0","id":100,"#));
    }
}
