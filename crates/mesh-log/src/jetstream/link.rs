//! The connection to the servers, and the stream.

use super::names::Names;
use super::options::JetStreamOptions;
use crate::contract::LogError;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType, Stream};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

/// How long to wait before something is tried again: at first, and at most.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Attempts within a timeout, if none is answered.
const ATTEMPTS: u32 = 3;
/// Older ones do not check what `publish.rs` lets them check.
const LOWEST_VERSION: (i64, i64, i64) = (2, 12, 0);

/// Whether the connection is up, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) up: bool,
    pub(super) number: u64,
}

/// The connection, the stream, and what they are called.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) stream: Stream<Info>,
    pub(super) names: Names,
    /// Reads have to ask the leader to be sure, because a copy may lag.
    pub(super) copies: bool,
    pub(super) connection: watch::Receiver<Connection>,
    /// The servers' addresses, without passwords.
    pub(super) place: String,
    pub(super) timeout: Duration,
    /// Of one attempt: there is time for several.
    pub(super) patience: Duration,
}

impl Link {
    pub(super) async fn open(options: &JetStreamOptions) -> Result<Self, LogError> {
        let place = without_passwords(&options.servers);
        let refused = |reason: String| LogError::Refused { path: place.clone(), reason };
        let names = Names::new(&options.name)
            .ok_or_else(|| refused(format!("{:?} is not a name for a stream", options.name)))?;
        let deadline = Instant::now() + options.open_timeout;
        let (client, connection) = connect(options).await.map_err(&refused)?;
        let (major, minor, patch) = LOWEST_VERSION;
        if !client.is_server_compatible(major, minor, patch) {
            let version = client.server_info().version;
            return Err(refused(format!("the server is nats-server {version}; {major}.{minor} is needed")));
        }
        let patience = options.timeout / ATTEMPTS;
        let jetstream = ContextBuilder::new().timeout(patience).build(client.clone());
        let mut pause = PAUSE;
        // A cluster that has just started has no leader for a moment.
        let stream = loop {
            let attempt = timeout_at(deadline, open_stream(&jetstream, options, &names)).await;
            match attempt.unwrap_or_else(|_| Err("no answer".to_owned())) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() + pause >= deadline => return Err(refused(error)),
                Err(_) => sleep(pause).await,
            }
            pause = (2 * pause).min(LONGEST_PAUSE);
        };
        let config = &stream.cached_info().config;
        if !config.allow_direct
            || config.subjects != vec![names.every_task()]
            || config.max_messages_per_subject > 0
        {
            let reason = format!("the stream {} is there, but was not made by Agent Mesh", config.name);
            return Err(refused(reason));
        }
        let copies = config.num_replicas > 1;
        Ok(Self { client, stream, names, copies, connection, place, timeout: options.timeout, patience })
    }

    /// Waits until the connection is up, and says which one it is.
    pub(super) async fn up(&self, deadline: Instant) -> Result<u64, LogError> {
        let mut connection = self.connection.clone();
        match timeout_at(deadline, connection.wait_for(|connection| connection.up)).await {
            Ok(Ok(connection)) => Ok(connection.number),
            _ => Err(LogError::Failed(format!("{}: not connected", self.place))),
        }
    }

    /// Resolves when this connection is lost.
    pub(super) async fn lost(&self, number: u64) {
        let mut connection = self.connection.clone();
        let _ = connection.wait_for(|now| !now.up || now.number != number).await;
    }

    pub(super) fn failed(&self, what: &str, why: &dyn std::fmt::Display) -> LogError {
        LogError::Failed(format!("{}: {what}: {why}", self.place))
    }
}

/// The growing pauses between attempts, until a deadline.
pub(super) struct Pauses {
    pause: Duration,
    deadline: Instant,
}

impl Pauses {
    pub(super) fn until(deadline: Instant) -> Self {
        Self { pause: PAUSE, deadline }
    }

    /// Waits; `false` if there is no time for another attempt.
    pub(super) async fn next(&mut self) -> bool {
        if Instant::now() + self.pause >= self.deadline {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        true
    }
}

async fn connect(options: &JetStreamOptions) -> Result<(Client, watch::Receiver<Connection>), String> {
    let servers = options
        .servers
        .split(',')
        .map(|server| server.trim().parse::<ServerAddr>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("not an address: {error}"))?;
    let (changes, connection) = watch::channel(Connection { up: true, number: 0 });
    let connecting = match &options.credentials {
        Some(file) => ConnectOptions::with_credentials_file(file)
            .await
            .map_err(|error| format!("the credentials {}: {error}", file.display()))?,
        None => ConnectOptions::new(),
    };
    let connecting = connecting
        .name("agentmesh log")
        .request_timeout(Some(options.timeout / ATTEMPTS))
        .connection_timeout(options.timeout)
        .ping_interval(Duration::from_secs(5))
        .reconnect_delay_callback(|attempts| {
            let doublings = u32::try_from(attempts.min(6)).unwrap_or(6);
            (PAUSE * 2u32.pow(doublings)).min(LONGEST_PAUSE)
        })
        .event_callback(move |event| {
            match event {
                Event::Connected => changes.send_modify(|now| {
                    *now = Connection { up: true, number: now.number + 1 };
                }),
                Event::Disconnected | Event::Closed => changes.send_modify(|now| now.up = false),
                Event::SlowConsumer(_) => tracing::warn!("the connection to NATS dropped messages"),
                _ => {}
            }
            std::future::ready(())
        });
    let client = tokio::time::timeout(options.open_timeout, connecting.connect(servers))
        .await
        .map_err(|_| "no answer".to_owned())?
        .map_err(|error| format!("cannot connect: {error}"))?;
    Ok((client, connection))
}

async fn open_stream(
    jetstream: &Context,
    options: &JetStreamOptions,
    names: &Names,
) -> Result<Stream<Info>, String> {
    let config = Config {
        name: names.stream(),
        subjects: vec![names.every_task()],
        description: Some("Agent Mesh: events and heads of tasks".to_owned()),
        retention: RetentionPolicy::Limits,
        // Nothing is taken away to make room: what is full refuses.
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: options.replicas.max(1),
        max_bytes: i64::try_from(options.max_bytes).ok().filter(|bytes| *bytes > 0).unwrap_or(-1),
        allow_direct: true,
        // What is left of a task replaces its messages; what is left of a removed one goes after a while.
        allow_rollup: true,
        allow_message_ttl: true,
        // Expected sequences do what duplicate detection would; it only costs the server memory.
        duplicate_window: Duration::from_millis(100),
        ..Config::default()
    };
    match jetstream.get_stream(names.stream()).await {
        Ok(stream) if !options.create => Ok(stream),
        Ok(stream) => up_to_date(jetstream, stream, &config).await.map_err(|error| error.to_string()),
        Err(error) if !options.create => Err(format!("the stream {} is not there: {error}", names.stream())),
        Err(_) => jetstream.get_or_create_stream(config).await.map_err(|error| error.to_string()),
    }
}

/// A stream that an earlier version made learns to trim. One that is not ours is left as it is.
async fn up_to_date(
    jetstream: &Context,
    stream: Stream<Info>,
    wanted: &Config,
) -> Result<Stream<Info>, async_nats::Error> {
    let config = &stream.cached_info().config;
    if (config.allow_rollup && config.allow_message_ttl) || config.subjects != wanted.subjects {
        return Ok(stream);
    }
    let config = Config { allow_rollup: true, allow_message_ttl: true, ..config.clone() };
    jetstream.update_stream(&config).await?;
    tracing::info!(stream = config.name, "the stream was brought up to date");
    Ok(jetstream.get_stream(&config.name).await?)
}

/// Addresses as they may be shown.
fn without_passwords(servers: &str) -> String {
    let hide = |server: &str| match (server.split_once("://"), server.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        _ => server.to_owned(),
    };
    servers.split(',').map(hide).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::without_passwords;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_passwords("nats://u:p@a:1,tls://b:2,u@c"), "nats://a:1,tls://b:2,c");
    }
}
