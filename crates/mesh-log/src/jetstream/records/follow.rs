//! The consumer that brings the names of all records.

use super::{OPERATION, Shared};
use crate::contract::LogError;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Messages that are asked for at once; they come without their values.
const BATCH: i64 = 1024;
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
            tracing::warn!(store = shared.link.place, "following the records is interrupted: {error}");
            sleep(PAUSE).await;
        }
    }
}

/// One consumer: everything that is there at first, and then whatever comes.
async fn session(shared: &Shared) -> Result<(), LogError> {
    let link = &shared.link;
    let failed = |error: &dyn std::fmt::Display| link.failed("following the records", error);
    let connection = link.up(Instant::now() + link.timeout).await?;
    let from = *shared.position.borrow();
    let end = last_number(shared).await?;
    let config = OrderedConfig {
        deliver_policy: match from {
            0 => DeliverPolicy::LastPerSubject,
            from => DeliverPolicy::ByStartSequence { start_sequence: from + 1 },
        },
        filter_subject: format!("$KV.{}.>", shared.bucket),
        headers_only: true,
        max_batch: BATCH,
        max_expires: EXPIRES,
        ..OrderedConfig::default()
    };
    let consumer = shared.stream.create_consumer(config).await.map_err(|error| failed(&error))?;
    if consumer.cached_info().num_pending == 0 {
        reached(shared, end);
    }
    let mut messages = consumer.messages().await.map_err(|error| failed(&error))?;
    let mut connected = link.connection.clone();
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            _ = connected.wait_for(|now| now.up && now.number != connection) => return Ok(()),
            () = shared.impatient.notified() => return Err(failed(&"the consumer was behind")),
        };
        let message =
            message.ok_or_else(|| failed(&"the consumer ended"))?.map_err(|error| failed(&error))?;
        let details = message.info().map_err(|error| failed(&error))?;
        let (number, pending) = (details.stream_sequence, details.pending);
        let deleted = message.headers.as_ref().is_some_and(|headers| headers.get(OPERATION).is_some());
        match shared.key(&message.subject) {
            Some(key) => shared.absorb(key, number, deleted),
            None => tracing::warn!(store = link.place, "a key that is not ours is in the bucket"),
        }
        reached(shared, if pending == 0 { number.max(end) } else { number });
    }
}

fn reached(shared: &Shared, number: u64) {
    shared.position.send_if_modified(|position| {
        let grows = number > *position;
        *position = number.max(*position);
        grows
    });
}

async fn last_number(shared: &Shared) -> Result<u64, LogError> {
    let deadline = Instant::now() + shared.link.timeout;
    let mut pauses = super::Pauses::until(deadline);
    loop {
        let connection = shared.link.up(deadline).await?;
        let why = tokio::select! {
            answer = shared.stream.get_info() => match answer {
                Ok(answer) => return Ok(answer.state.last_sequence),
                Err(error) => error.to_string(),
            },
            () = shared.link.lost(connection) => "the connection was lost".to_owned(),
        };
        if !pauses.next().await {
            return Err(shared.link.failed("the bucket's end", &why));
        }
    }
}

/// Waits until everything that is in the bucket now has arrived.
pub(super) async fn catch_up(shared: &Shared) -> Result<(), LogError> {
    let deadline = Instant::now() + shared.link.timeout;
    let end = last_number(shared).await?;
    let mut position = shared.position.subscribe();
    while Instant::now() < deadline {
        let wait = PATIENCE.min(deadline.saturating_duration_since(Instant::now()));
        match timeout(wait, position.wait_for(|position| *position >= end)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(_)) => return Err(LogError::Closed),
            Err(_) => shared.impatient.notify_one(),
        }
    }
    Err(shared.link.failed("following the records", &"the server does not send what is in the bucket"))
}
