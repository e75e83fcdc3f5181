//! The promises of the design (section 3) that the state machine has to keep, over random lives.

use crate::commands::{Op, Who, ops, policy};
use mesh_core::lifecycle::{
    Command, Control, Effect, NewTask, Phase, Policy, Report, TaskRecord, Transition, apply, check, create,
    recovery,
};
use mesh_core::model::{Artifact, Message, Part, Role};
use mesh_core::{
    AgentName, ArtifactId, ContextId, MessageId, Principal, TaskEvent, TaskId, Timestamp, TraceContext,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a store would hold of the task.
struct Stored {
    events: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    control: Vec<u8>,
}

impl Stored {
    fn rebuild(&self) -> TaskRecord {
        let control: Control = serde_json::from_slice(&self.control).expect("a control record");
        let events = self
            .events
            .iter()
            .map(|(public, private)| TaskEvent::decode(public, private.as_deref()).expect("an event"));
        TaskRecord::rebuild(control, events).expect("a creation first")
    }
}

/// A host, as far as one task is concerned, and a model of what must be true of it.
struct World {
    policy: Policy,
    record: TaskRecord,
    stored: Stored,
    now: i64,
    /// How often the task was put into the queue and not yet taken on.
    in_queue: u32,
    /// The client's messages that were taken, by id.
    taken: BTreeSet<MessageId>,
    /// What every artifact has to hold, and which attempt wrote it last.
    artifacts: BTreeMap<ArtifactId, (u32, Vec<String>)>,
}

impl World {
    fn new(policy: Policy) -> Self {
        let new = NewTask {
            id: TaskId::new("t"),
            context_id: ContextId::new("c"),
            owner: Principal::local(),
            agent: AgentName::new("sales"),
            message: message(0, 0),
            trace: TraceContext { trace_id: 1, span_id: 1, flags: 1 },
        };
        let (record, event, effects) = create(&new, Timestamp(1_700_000_000_000));
        assert_eq!(effects, [Effect::Enqueue]);
        let mut world = Self {
            policy,
            record,
            stored: Stored { events: Vec::new(), control: Vec::new() },
            now: 1_700_000_000_000,
            in_queue: 1,
            taken: BTreeSet::from([MessageId::new("m0")]),
            artifacts: BTreeMap::new(),
        };
        world.store(&[event]);
        world.verify();
        world
    }

    fn store(&mut self, events: &[TaskEvent]) {
        for event in events {
            let (task, context) = (&self.record.task.id, &self.record.task.context_id);
            self.stored.events.push((event.encode(task, context), event.encode_private()));
        }
        self.stored.control = serde_json::to_vec(&self.record.control).expect("JSON");
    }

    /// What is true after every step.
    fn verify(&self) {
        assert_eq!(check(&self.record), Ok(()));
        assert_eq!(self.record.seq as usize, self.stored.events.len(), "H2: numbers have no gap");
        let mut record = self.record.clone();
        record.control.touched.clear();
        assert_eq!(self.stored.rebuild(), record, "H1: what is stored is the task");
        let queued = u32::from(self.record.control.phase == Phase::Queued);
        assert_eq!(self.in_queue, queued, "H5, H6: a queued task is in the queue once, any other not at all");
        let held: BTreeMap<_, _> = self.record.task.artifacts.iter().map(texts).collect();
        let expected: BTreeMap<_, _> =
            self.artifacts.iter().map(|(id, (_, texts))| (id.clone(), texts.clone())).collect();
        assert_eq!(held, expected);
    }

    fn step(&mut self, op: &Op) {
        if matches!(op, Op::Restart) {
            return self.restart();
        }
        let command = self.command(op);
        self.try_command(command);
        self.verify();
    }

    fn try_command(&mut self, command: Command) {
        self.now += 1;
        let before = self.record.clone();
        let expected_refusal = must_refuse(&before, &command);
        let result = apply(&self.record, command.clone(), &self.policy, Timestamp(self.now));
        match result {
            Err(_) => assert_eq!(self.record, before, "a refusal changes nothing"),
            Ok(transition) => {
                assert_eq!(expected_refusal, None, "{command:?} had to be refused");
                self.accept(&before, command, transition);
            }
        }
    }

    fn accept(&mut self, before: &TaskRecord, command: Command, transition: Transition) {
        let Transition { events, effects, control } = transition.clone();
        if let Command::Receive(message) = &command
            && !self.taken.insert(message.message_id.clone())
        {
            assert_eq!((events.len(), effects.len(), &control), (0, 0, &before.control), "H6: taken once");
        }
        self.record.commit(transition);
        self.store(&events);
        self.carry_out(before, &command, &effects);
        if before.state().is_terminal() {
            assert_eq!((&self.record, events.len()), (before, 0), "what has ended stays as it is");
        }
        if let Command::Report { attempt, report: Report::Artifact { artifact, append, .. } } = command
            && self.record.control.phase != Phase::Ended
        {
            let (id, texts) = texts(&artifact);
            let entry = self.artifacts.entry(id).or_default();
            if !append || entry.0 != attempt {
                entry.1.clear();
            }
            entry.0 = attempt;
            entry.1.extend(texts);
        }
        if matches!(before.control.phase, Phase::Running(_)) && self.record.control.phase != Phase::Ended {
            assert!(
                self.record.bytes <= self.policy.max_bytes.max(before.bytes),
                "the task grew over its limit"
            );
        }
    }

    fn carry_out(&mut self, before: &TaskRecord, command: &Command, effects: &[Effect]) {
        if matches!(command, Command::StartAttempt { .. }) {
            self.in_queue -= 1;
        }
        if matches!(command, Command::Cancel | Command::TimeOut { .. })
            && before.control.phase == Phase::Queued
        {
            self.in_queue -= 1;
        }
        for effect in effects {
            match effect {
                Effect::Enqueue => self.in_queue += 1,
                Effect::Deliver { attempt, .. } => {
                    assert_eq!(before.control.phase, Phase::Waiting(Some(*attempt)));
                    assert_eq!(self.record.control.phase, Phase::Running(*attempt));
                }
                Effect::StopAttempt { attempt } => {
                    assert_eq!(before.control.phase.attempt(), Some(*attempt));
                    assert_eq!(self.record.control.phase, Phase::Ended);
                }
            }
        }
    }

    /// H5: after a restart somebody has the next move, and the queue holds what it has to.
    fn restart(&mut self) {
        self.record = self.stored.rebuild();
        self.in_queue = 0;
        match recovery(&self.record) {
            Ok(command) => {
                assert_eq!(must_refuse(&self.record, &command), None);
                let seq = self.record.seq;
                self.try_command(command);
                assert!(self.record.seq <= seq + 1);
            }
            Err(effects) => {
                self.in_queue = effects.iter().filter(|e| **e == Effect::Enqueue).count() as u32;
            }
        }
        assert!(
            matches!(self.record.control.phase, Phase::Queued | Phase::Waiting(None) | Phase::Ended),
            "no attempt survives a restart"
        );
        self.verify();
    }

    fn attempt(&self, who: Who) -> u32 {
        match who {
            Who::Last => self.record.control.attempts,
            Who::Number(n) => n,
        }
    }

    fn command(&self, op: &Op) -> Command {
        let report = |who, report| Command::Report { attempt: self.attempt(who), report };
        match *op {
            Op::Receive { id, text, context } => {
                let mut message = message(id, text);
                message.context_id = context.map(|own| ContextId::new(if own { "c" } else { "other" }));
                Command::Receive(message)
            }
            Op::Cancel | Op::Restart => Command::Cancel,
            Op::TimeOut => Command::TimeOut { limit: "1s".into() },
            Op::Start => Command::StartAttempt { host: "h".into() },
            Op::Status(n) => report(Who::Last, Report::Status(vec![Part::text("s".repeat(n.into()))])),
            Op::Chunk { who, artifact, text, append } => {
                let artifact = Artifact {
                    artifact_id: ArtifactId::new(format!("a{artifact}")),
                    name: None,
                    description: None,
                    parts: vec![Part::text(format!("x{}", "y".repeat(text.into())))],
                    metadata: None,
                    extensions: Vec::new(),
                };
                report(who, Report::Artifact { artifact, append, last_chunk: false })
            }
            Op::Ask { who, state } => report(who, Report::Ask { state, parts: vec![Part::text("?")] }),
            Op::Finish { who, state } => report(who, Report::Finish { state, parts: Vec::new() }),
            Op::Lost(who) => Command::AttemptLost { attempt: self.attempt(who), reason: "killed".into() },
        }
    }
}

/// Why the promises alone require a refusal, however the state machine is written.
fn must_refuse(record: &TaskRecord, command: &Command) -> Option<&'static str> {
    match command {
        Command::Report { attempt, .. } | Command::AttemptLost { attempt, .. }
            if record.control.phase.attempt() != Some(*attempt) =>
        {
            Some("H3: it speaks for an attempt that does not hold the task")
        }
        Command::StartAttempt { .. } if record.control.phase != Phase::Queued => {
            Some("H3: somebody holds the task")
        }
        Command::Cancel | Command::TimeOut { .. } if record.state().is_terminal() => Some("the end is final"),
        Command::Receive(message)
            if record.state().is_terminal() && !record.control.received.contains(&message.message_id) =>
        {
            Some("the end is final")
        }
        _ => None,
    }
}

fn message(id: u8, text: u8) -> Message {
    let message_id = MessageId::new(format!("m{id}"));
    Message { message_id, ..Message::new(Role::User, vec![Part::text(format!("text {text}"))]) }
}

fn texts(artifact: &Artifact) -> (ArtifactId, Vec<String>) {
    let texts = artifact.parts.iter().filter_map(Part::as_text).map(str::to_owned).collect();
    (artifact.artifact_id.clone(), texts)
}

fn live(policy: Policy, ops: &[Op]) -> World {
    let mut world = World::new(policy);
    ops.iter().for_each(|op| world.step(op));
    world
}

proptest! {
    #[test]
    fn every_life_keeps_the_promises(policy in policy(), ops in ops()) {
        live(policy, &ops);
    }

    /// H5, from anywhere: restart, then answer and serve, and the task can be brought to its end.
    #[test]
    fn every_task_can_be_finished_after_a_restart(policy in policy(), ops in ops()) {
        let mut world = live(policy, &ops);
        world.step(&Op::Restart);
        if let Phase::Waiting(None) = world.record.control.phase {
            world.step(&Op::Receive { id: 200, text: 0, context: None });
        }
        if world.record.control.phase == Phase::Queued {
            world.step(&Op::Start);
            world.step(&Op::Finish { who: Who::Last, state: mesh_core::model::TaskState::Completed });
        }
        prop_assert!(world.record.state().is_terminal());
    }

    /// H6: a message sent again gets the answer of the first time, and nothing comes of it.
    #[test]
    fn messages_sent_twice_count_once(policy in policy(), ops in ops()) {
        let mut world = World::new(policy);
        for op in &ops {
            let command = world.command(op);
            let first = apply(&world.record, command.clone(), &policy, Timestamp(world.now));
            world.step(op);
            if let Op::Receive { .. } = op {
                let again = apply(&world.record, command, &policy, Timestamp(world.now));
                prop_assert_eq!(first.err(), again.clone().err());
                if let Ok(again) = again {
                    prop_assert_eq!((again.events.len(), again.effects.len()), (0, 0));
                    prop_assert_eq!(again.control, world.record.control.clone());
                }
            }
        }
    }

    /// A task over its limits ends with the next thing that its worker says.
    #[test]
    fn no_task_grows_without_bound(policy in policy(), ops in ops()) {
        let world = live(policy, &ops);
        let life = &world.record.control;
        let unreported = 2 + u64::from(life.attempts + life.losses) + life.answers.len() as u64;
        prop_assert!(world.record.seq <= policy.max_events + unreported);
    }
}
