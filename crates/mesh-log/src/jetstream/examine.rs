//! What can be said of a stream from outside: how it is set, and whether every unfinished task can be read.

use super::JetStreamLog;
use crate::contract::TaskHead;
use crate::contract::{EventLog, LogError, ReadLimit};
use crate::findings::{Examination, Finding, RESTORE, Severity};
use crate::soundness::TaskCheck;
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy, StorageType};
use mesh_core::{AgentName, TaskKey};

/// Heads read in one go.
const PAGE: usize = 64;
/// Bytes of one message below which large messages and artifacts are refused sooner than one expects.
const SMALL_PAYLOAD: usize = 8_000_000;
const SETTING: &str = "set it with `nats stream edit` as docs/jetstream.md says";

impl JetStreamLog {
    /// Checks how the stream is set, and reads every unfinished task of these agents. Changes nothing. What was looked at is in
    /// `facts`: tasks that have ended are not read, and records are not looked at.
    ///
    /// # Errors
    /// The servers cannot be asked.
    pub async fn examine(
        &self,
        agents: &[AgentName],
        replicas: usize,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Examination, LogError> {
        let mut found = Examination::default();
        self.settings(replicas, &mut found);
        for agent in agents {
            let mut after: Option<TaskKey> = None;
            loop {
                let heads = self.unfinished(agent, after.as_ref(), PAGE).await?;
                let Some(last) = heads.last() else { break };
                after = Some(last.key.clone());
                for head in &heads {
                    found.facts.tasks += 1;
                    found.facts.unfinished += 1;
                    self.task(head, &mut found).await?;
                    progress(found.facts.tasks);
                }
            }
        }
        Ok(found)
    }

    fn settings(&self, replicas: usize, found: &mut Examination) {
        let config = &self.shared.link.stream.cached_info().config;
        let wrong = [
            (
                config.storage != StorageType::File,
                "its storage is memory: a restart of the server loses every task",
            ),
            (config.retention != RetentionPolicy::Limits, "its retention is not `limits`: tasks may vanish"),
            (config.discard != DiscardPolicy::New, "it discards old messages to make room: tasks may vanish"),
            (!config.max_age.is_zero(), "it has a max_age: tasks may vanish"),
        ];
        for (_, what) in wrong.into_iter().filter(|(wrong, _)| *wrong) {
            found.error("wrong-setting", format!("the stream {}: {what}", config.name), SETTING);
        }
        if config.num_replicas != replicas {
            let what =
                format!("the stream has {} replicas, the mesh file says {replicas}", config.num_replicas);
            found.warning("other-replicas", what, SETTING);
        }
        let payload = self.shared.link.client.server_info().max_payload;
        if payload < SMALL_PAYLOAD {
            let what = format!("max_payload is {payload} bytes: larger messages and artifacts are refused");
            found.warning("small-payload", what, "set max_payload of the servers, to 8MB say");
        }
    }

    /// Reads a task as far as its head goes, which may be older than its last event by now.
    async fn task(&self, head: &TaskHead, found: &mut Examination) -> Result<(), LogError> {
        let mut check = TaskCheck::new(head);
        let mut after = 0;
        while after < head.seq {
            match self.read(&head.key, after, ReadLimit::default()).await {
                Ok(events) => {
                    let Some(last) = events.last() else { break };
                    after = last.seq;
                    for event in events.iter().take_while(|event| event.seq <= head.seq) {
                        found.facts.events += 1;
                        check.event(event);
                    }
                }
                Err(error @ LogError::Closed) => return Err(error),
                Err(error) => {
                    let (task, what) = (Some(head.key.to_string()), error.to_string());
                    let kind = "unreadable-task";
                    found.note(Finding { severity: Severity::Error, kind, task, what, advice: RESTORE });
                    return Ok(());
                }
            }
        }
        found.faults(&head.key, check.verdict());
        Ok(())
    }
}
