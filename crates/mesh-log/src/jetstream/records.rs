//! Records in a key-value bucket of JetStream.
//!
//! ```text
//!   {name}-records                          the bucket (its stream is KV_{name}-records)
//!   {space}.{tenant}.{name}                 the key of a record
//! ```
//!
//! A change names the message that it expects to be its subject's last, so the server decides who is first. The names of
//! all records are in memory, brought by one consumer; values are read from the server.

mod follow;

use super::link::{Link, Pauses};
use super::names;
use super::options::JetStreamOptions;
use crate::contract::LogError;
use crate::records::{Expect, PutError, Record, RecordKey, Records, Space, check_size, first_of, is_within};
use async_nats::HeaderMap;
use async_nats::client::{Request, RequestErrorKind};
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RawMessageErrorKind, StorageType, Stream};
use async_trait::async_trait;
use bytes::Bytes;
use mesh_core::Tenant;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// The header by which a writer knows its own message.
const WRITE: &str = "Agentmesh-Write";
/// The header of a deletion, as every client of buckets knows it.
const OPERATION: &str = "KV-Operation";

/// The records of a mesh.
pub(super) struct Bucket {
    shared: Arc<Shared>,
    follower: JoinHandle<()>,
}

struct Shared {
    link: Arc<Link>,
    stream: Stream<Info>,
    bucket: String,
    /// The version of every record that is there.
    versions: Mutex<BTreeMap<RecordKey, u64>>,
    changes: [watch::Sender<u64>; Space::ALL.len()],
    /// Up to which message the consumer has brought everything.
    position: watch::Sender<u64>,
    impatient: Notify,
    closed: AtomicBool,
}

/// The last message of a record's subject.
struct Last {
    number: u64,
    /// None: it says that the record was deleted.
    value: Option<Bytes>,
    write: Option<String>,
}

/// How one attempt to write ended.
enum Miss {
    /// Another message is the last one.
    Taken,
    Full(String),
    /// Nothing was recorded, and it can be tried again.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

#[derive(Deserialize)]
struct Answer {
    seq: Option<u64>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Bucket {
    /// Opens the bucket, or makes it.
    pub(super) async fn open(link: Arc<Link>, options: &JetStreamOptions) -> Result<Self, LogError> {
        let bucket = format!("{}-records", options.name);
        let config = Config {
            name: format!("KV_{bucket}"),
            description: Some("Agent Mesh: small records beside the tasks".to_owned()),
            subjects: vec![format!("$KV.{bucket}.>")],
            // What every client of key-value buckets expects of one.
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            storage: StorageType::File,
            num_replicas: options.replicas.max(1),
            duplicate_window: Duration::from_millis(100),
            ..Config::default()
        };
        let jetstream = ContextBuilder::new().timeout(link.patience).build(link.client.clone());
        let mut pauses = Pauses::until(Instant::now() + options.open_timeout);
        let stream = loop {
            let opened = match jetstream.get_stream(&config.name).await {
                Ok(stream) => Ok(stream),
                Err(error) if !options.create => Err(error.to_string()),
                Err(_) => {
                    jetstream.get_or_create_stream(config.clone()).await.map_err(|error| error.to_string())
                }
            };
            match opened {
                Ok(stream) => break stream,
                Err(error) => {
                    if !pauses.next().await {
                        let reason = format!("the bucket {bucket}: {error}");
                        return Err(LogError::Refused { path: link.place.clone(), reason });
                    }
                }
            }
        };
        let shared = Arc::new(Shared {
            link,
            stream,
            bucket,
            versions: Mutex::default(),
            changes: std::array::from_fn(|_| watch::channel(0).0),
            position: watch::channel(0).0,
            impatient: Notify::new(),
            closed: AtomicBool::new(false),
        });
        let follower = tokio::spawn(follow::follow(Arc::clone(&shared)));
        Ok(Self { shared, follower })
    }

    pub(super) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.follower.abort();
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Shared {
    fn open(&self) -> Result<(), LogError> {
        if self.closed.load(Ordering::Acquire) { Err(LogError::Closed) } else { Ok(()) }
    }

    fn versions(&self) -> MutexGuard<'_, BTreeMap<RecordKey, u64>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subject(&self, key: &RecordKey) -> String {
        let (tenant, name) = (names::whole_token(key.tenant.as_str()), names::whole_token(&key.name));
        format!("$KV.{}.{}.{tenant}.{name}", self.bucket, key.space.as_str())
    }

    /// The record that a subject is of.
    fn key(&self, subject: &str) -> Option<RecordKey> {
        let rest = subject.strip_prefix("$KV.")?.strip_prefix(self.bucket.as_str())?.strip_prefix('.')?;
        let mut tokens = rest.split('.');
        let space = tokens.next()?;
        let space = Space::ALL.into_iter().find(|known| known.as_str() == space)?;
        let (tenant, name) = (names::text_of(tokens.next()?)?, names::text_of(tokens.next()?)?);
        tokens.next().is_none().then(|| RecordKey::new(space, Tenant::from(tenant), name))
    }

    /// Takes in what became of a record; older news change nothing.
    fn absorb(&self, key: RecordKey, number: u64, deleted: bool) {
        let space = key.space;
        let mut versions = self.versions();
        if versions.get(&key).is_some_and(|known| *known >= number) {
            return;
        }
        if deleted {
            versions.remove(&key);
        } else {
            versions.insert(key, number);
        }
        drop(versions);
        self.changes[space as usize].send_modify(|count| *count += 1);
    }

    /// What the leader has as the last message of a subject.
    async fn last(&self, subject: &str) -> Result<Option<Last>, LogError> {
        let deadline = Instant::now() + self.link.timeout;
        let mut pauses = Pauses::until(deadline);
        loop {
            let connection = self.link.up(deadline).await?;
            let answer = tokio::select! {
                answer = self.stream.raw_message_builder().last_by_subject(subject).send() => answer,
                () = self.link.lost(connection) => {
                    if pauses.next().await { continue }
                    return Err(self.link.failed("reading a record", &"the connection was lost"));
                }
            };
            match answer {
                Ok(message) => return Ok(Some(read(message))),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(None),
                Err(error) => {
                    if !pauses.next().await {
                        return Err(self.link.failed("reading a record", &error));
                    }
                }
            }
        }
    }

    /// Writes a record, or its deletion: answers with the number of the message.
    async fn write(&self, key: &RecordKey, value: Option<Bytes>, expect: Expect) -> Result<u64, PutError> {
        self.open()?;
        let subject = self.subject(key);
        let write = Uuid::new_v4().to_string();
        let deadline = Instant::now() + self.link.timeout;
        let mut pauses = Pauses::until(deadline);
        let mut look = expect == Expect::Nothing;
        let mut unknown = false;
        loop {
            let expected = if look {
                let last = self.last(&subject).await?;
                // An attempt whose answer was lost may have been recorded.
                if let Some(last) = last.as_ref().filter(|last| last.write.as_ref() == Some(&write)) {
                    return Ok(last.number);
                }
                let actual = last.as_ref().filter(|last| last.value.is_some()).map_or(0, |last| last.number);
                let met = match expect {
                    Expect::Anything => true,
                    Expect::Nothing => actual == 0,
                    Expect::Version(version) => actual == version,
                };
                if !met {
                    return Err(PutError::Conflict { actual });
                }
                Some(last.map_or(0, |last| last.number))
            } else {
                match expect {
                    Expect::Version(version) => Some(version),
                    _ => None,
                }
            };
            let why = match self.publish(&subject, &value, &write, expected, deadline).await {
                Ok(number) => return Ok(number),
                Err(Miss::Taken) => "somebody else is writing".to_owned(),
                Err(Miss::Full(why)) => return Err(LogError::Full(why).into()),
                Err(Miss::Refused(why)) => why,
                Err(Miss::Unknown(why)) => {
                    unknown = true;
                    why
                }
            };
            look = true;
            if !pauses.next().await {
                let outcome =
                    if unknown { "whether it is recorded is not known" } else { "nothing is recorded" };
                return Err(self.link.failed(&format!("a record was given up, {outcome}"), &why).into());
            }
        }
    }

    async fn publish(
        &self,
        subject: &str,
        value: &Option<Bytes>,
        write: &str,
        expected: Option<u64>,
        deadline: Instant,
    ) -> Result<u64, Miss> {
        let link = &self.link;
        let connection = link.up(deadline).await.map_err(|error| Miss::Refused(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(WRITE, write);
        if let Some(expected) = expected {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, expected.to_string());
        }
        if value.is_none() {
            headers.insert(OPERATION, "DEL");
        }
        let left = deadline.saturating_duration_since(Instant::now()).min(link.patience);
        let payload = value.clone().unwrap_or_default();
        let request = Request::new().payload(payload).headers(headers).timeout(Some(left));
        let published = async {
            link.client.send_request(subject.to_owned(), request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => Miss::Refused("the bucket has no leader".to_owned()),
                RequestErrorKind::MaxPayloadExceeded => Miss::Full(error.to_string()),
                _ => Miss::Unknown(error.to_string()),
            })
        };
        let answer = tokio::select! {
            answer = published => answer?,
            () = link.lost(connection) => return Err(Miss::Unknown("the connection was lost".to_owned())),
        };
        let answer: Answer =
            serde_json::from_slice(&answer.payload).map_err(|error| Miss::Unknown(error.to_string()))?;
        match (answer.seq, answer.error) {
            (_, Some(Refusal { err_code, description })) => Err(match err_code {
                10071 | 10164 => Miss::Taken,
                10002 | 10023 | 10028 | 10047 | 10054 | 10077 => Miss::Full(description),
                _ => Miss::Refused(format!("{description} ({err_code})")),
            }),
            (Some(number), None) => Ok(number),
            (None, None) => Err(Miss::Unknown("an answer without a number".to_owned())),
        }
    }
}

fn read(message: StreamMessage) -> Last {
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    let deleted = header(OPERATION).is_some();
    Last { number: message.sequence, write: header(WRITE), value: (!deleted).then_some(message.payload) }
}

#[async_trait]
impl Records for Bucket {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>, LogError> {
        self.shared.open()?;
        let last = self.shared.last(&self.shared.subject(key)).await?;
        Ok(last.and_then(|last| {
            last.value.map(|value| Record { key: key.clone(), value, version: last.number })
        }))
    }

    async fn put(&self, key: &RecordKey, value: Bytes, expect: Expect) -> Result<u64, PutError> {
        check_size(key, &value)?;
        let number = self.shared.write(key, Some(value), expect).await?;
        self.shared.absorb(key.clone(), number, false);
        Ok(number)
    }

    async fn delete(&self, key: &RecordKey, expect: Expect) -> Result<(), PutError> {
        // A deletion of nothing would leave a message behind.
        if expect == Expect::Anything && self.get(key).await?.is_none() {
            return Ok(());
        }
        let number = self.shared.write(key, None, expect).await?;
        self.shared.absorb(key.clone(), number, true);
        Ok(())
    }

    async fn list(
        &self,
        space: Space,
        tenant: Option<&Tenant>,
        prefix: &str,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.shared.open()?;
        follow::catch_up(&self.shared).await?;
        let mut from = first_of(space, tenant, prefix, after);
        let mut records = Vec::new();
        while records.len() < limit {
            let keys: Vec<RecordKey> = self
                .shared
                .versions()
                .range((from, Bound::Unbounded))
                .map(|(key, _)| key)
                .take_while(|key| is_within(key, space, tenant, prefix))
                .filter(|key| key.name.starts_with(prefix))
                .take(limit - records.len())
                .cloned()
                .collect();
            let Some(last) = keys.last().cloned() else { break };
            from = Bound::Excluded(last);
            for key in keys {
                // One that was deleted meanwhile is left out.
                records.extend(self.get(&key).await?);
            }
        }
        Ok(records)
    }

    async fn count(&self, space: Space, tenant: &Tenant, prefix: &str) -> Result<u64, LogError> {
        self.shared.open()?;
        follow::catch_up(&self.shared).await?;
        let from = first_of(space, Some(tenant), prefix, None);
        let versions = self.shared.versions();
        let found = versions.range((from, Bound::Unbounded));
        Ok(found.take_while(|(key, _)| is_within(key, space, Some(tenant), prefix)).count() as u64)
    }

    async fn changes(&self, space: Space) -> Result<watch::Receiver<u64>, LogError> {
        self.shared.open()?;
        Ok(self.shared.changes[space as usize].subscribe())
    }
}
