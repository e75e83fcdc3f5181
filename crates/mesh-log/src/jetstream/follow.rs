//! The one consumer of a process: it brings every append, whoever made it, to the index, the rings and the tails.

use super::Shared;
use super::frame::Frame;
use super::link::Pauses;
use super::names;
use crate::contract::LogError;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::RawMessageErrorKind;
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Messages that are asked for at once: together they may be so many times `max_payload`.
const BATCH: i64 = 64;
/// A consumer that says nothing for so long is replaced.
const EXPIRES: Duration = Duration::from_secs(5);
/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the consumer may be behind before it is replaced.
const PATIENCE: Duration = Duration::from_secs(1);

/// Follows until it is aborted.
pub(super) async fn follow(shared: Arc<Shared>) {
    loop {
        if let Err(error) = session(&shared).await {
            tracing::warn!(store = shared.link.place, "following the log is interrupted: {error}");
            sleep(PAUSE).await;
        }
    }
}

/// One consumer: the last message of every task at first, and then whatever comes.
async fn session(shared: &Shared) -> Result<(), LogError> {
    let link = &shared.link;
    let connection = link.up(Instant::now() + link.timeout).await?;
    let from = *shared.position.borrow();
    let end = last_number(shared).await?;
    let deliver_policy = match from {
        0 => DeliverPolicy::LastPerSubject,
        from => DeliverPolicy::ByStartSequence { start_sequence: from + 1 },
    };
    let config = OrderedConfig {
        deliver_policy,
        filter_subject: link.names.every_task(),
        description: Some("Agent Mesh: what a process follows".to_owned()),
        max_batch: BATCH,
        max_expires: EXPIRES,
        ..OrderedConfig::default()
    };
    let consumer =
        link.stream.create_consumer(config).await.map_err(|error| link.failed("a consumer", &error))?;
    // A consumer may be at a copy that lags: that it has nothing more does not mean that there is nothing. The last message
    // comes when the copy has it; only one that is not there any more has not to be waited for.
    let complete = from >= end || !is_there(shared, end).await?;
    if complete && consumer.cached_info().num_pending == 0 {
        shared.reached(end);
    }
    let mut messages = consumer.messages().await.map_err(|error| link.failed("a consumer", &error))?;
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = renewed(shared, connection) => return Ok(()),
            () = shared.impatient.notified() => {
                return Err(LogError::Failed("the consumer was behind".to_owned()));
            }
        };
        let Some(message) = message else { return Err(LogError::Failed("the consumer ended".to_owned())) };
        let message = message.map_err(|error| link.failed("a consumer", &error))?;
        let details = message.info().map_err(|error| link.failed("a message", &error))?;
        let (number, rest) = (details.stream_sequence, details.pending);
        let origin = names::origin_in(&message.subject).unwrap_or(names::NO_ORIGIN);
        let absorbed =
            Frame::decode(message.payload.clone()).and_then(|frame| shared.absorb(origin, &frame, number));
        if let Err(error) = absorbed {
            tracing::error!(store = link.place, message = number, "not followed: {error}");
        }
        shared.reached(if complete && rest == 0 { number.max(end) } else { number });
    }
}

/// Resolves when there is another connection.
async fn renewed(shared: &Shared, number: u64) {
    let mut connection = shared.link.connection.clone();
    if connection.wait_for(|now| now.up && now.number != number).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The number of the stream's last message.
async fn last_number(shared: &Shared) -> Result<u64, LogError> {
    let link = &shared.link;
    let deadline = Instant::now() + link.timeout;
    let mut pauses = Pauses::until(deadline);
    loop {
        let connection = link.up(deadline).await?;
        let why = tokio::select! {
            answer = link.stream.get_info() => match answer {
                Ok(answer) => return Ok(answer.state.last_sequence),
                Err(error) => error.to_string(),
            },
            () = link.lost(connection) => "the connection was lost".to_owned(),
        };
        if !pauses.next().await {
            return Err(link.failed("the stream's end", &why));
        }
    }
}

/// Whether the stream has the message of this number.
async fn is_there(shared: &Shared, number: u64) -> Result<bool, LogError> {
    match shared.link.stream.raw_message_builder().sequence(number).send().await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(false),
        Err(error) => Err(shared.link.failed("the stream's end", &error)),
    }
}

/// Waits until everything that is in the stream now has arrived.
pub(super) async fn catch_up(shared: &Shared, patience: Duration) -> Result<(), LogError> {
    let deadline = Instant::now() + patience;
    let end = last_number(shared).await?;
    let mut position = shared.position.subscribe();
    while Instant::now() < deadline {
        let wait = PATIENCE.min(deadline.saturating_duration_since(Instant::now()));
        let before = *position.borrow();
        let arrived =
            timeout(wait, position.wait_for(|position| *position >= end)).await.map(|it| it.is_ok());
        match arrived {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(LogError::Closed),
            // It moves: there is just much to bring.
            Err(_) if *position.borrow() > before => {}
            Err(_) => shared.impatient.notify_one(),
        }
    }
    Err(shared.link.failed("following the log", &"the server does not send what is in the stream"))
}
