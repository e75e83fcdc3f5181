//! One example for each transition and each rejection. The promises that hold for every sequence of commands are
//! properties in `tests/properties`.

use super::*;
use crate::clock::Timestamp;
use crate::event::TaskEvent;
use crate::model::{Artifact, Message, Part, Role, TaskState};
use crate::{AgentName, ArtifactId, ContextId, MessageId, Principal, TaskId, TraceContext};

const POLICY: Policy =
    Policy { on_worker_loss: OnWorkerLoss::Retry(2), max_events: 1000, max_bytes: 1 << 20 };

/// A task and everything that its life led to so far.
struct Life {
    record: TaskRecord,
    effects: Vec<Effect>,
    policy: Policy,
    now: i64,
}

impl Life {
    /// A task that has just been created.
    fn queued() -> Self {
        let new = NewTask {
            id: TaskId::new("t-1"),
            context_id: ContextId::new("c-1"),
            owner: Principal::local(),
            agent: AgentName::new("sales"),
            message: message("m-0", "prepare a proposal"),
            trace: TraceContext { trace_id: 1, span_id: 1, flags: 1 },
        };
        let (record, event, effects) = create(&new, Timestamp(0));
        assert!(matches!(event, TaskEvent::Created(_)));
        Self { record, effects, policy: POLICY, now: 0 }
    }

    /// A task whose first attempt runs.
    fn running() -> Self {
        let mut life = Self::queued();
        life.then(Command::StartAttempt { host: "h".into() });
        life
    }

    /// A task whose first attempt has asked something.
    fn waiting() -> Self {
        let mut life = Self::running();
        life.then(report(1, ask("who is it for?")));
        life
    }

    fn ended() -> Self {
        let mut life = Self::running();
        life.then(report(1, finish(TaskState::Completed)));
        life
    }

    fn with(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Carries a command out and returns its effects.
    fn then(&mut self, command: Command) -> Vec<Effect> {
        let transition = self.tried(command).expect("the command fits");
        let effects = transition.effects.clone();
        self.record.commit(transition);
        self.effects.extend(effects.clone());
        effects
    }

    fn tried(&mut self, command: Command) -> Result<Transition, Rejected> {
        self.now += 1;
        apply(&self.record, command, &self.policy, Timestamp(self.now))
    }

    fn refused(&mut self, command: Command) -> Rejected {
        self.tried(command).expect_err("the command is refused")
    }

    fn phase(&self) -> Phase {
        self.record.control.phase
    }

    fn text_of(&self, artifact: &str) -> String {
        let found = self.record.task.artifacts.iter().find(|a| a.artifact_id.as_str() == artifact);
        found.into_iter().flat_map(|a| &a.parts).filter_map(Part::as_text).collect()
    }

    fn status_text(&self) -> String {
        self.record.task.status.message.as_ref().map(Message::text).unwrap_or_default()
    }
}

fn message(id: &str, text: &str) -> Message {
    Message { message_id: MessageId::new(id), ..Message::new(Role::User, vec![Part::text(text)]) }
}

fn receive(id: &str, text: &str) -> Command {
    Command::Receive(message(id, text))
}

fn report(attempt: u32, report: Report) -> Command {
    Command::Report { attempt, report }
}

fn lost(attempt: u32) -> Command {
    Command::AttemptLost { attempt, reason: "killed".to_owned() }
}

fn ask(question: &str) -> Report {
    Report::Ask { state: TaskState::InputRequired, parts: vec![Part::text(question)] }
}

fn finish(state: TaskState) -> Report {
    Report::Finish { state, parts: Vec::new() }
}

fn chunk(artifact: &str, text: &str, append: bool) -> Report {
    let artifact = Artifact {
        artifact_id: ArtifactId::new(artifact),
        name: None,
        description: None,
        parts: vec![Part::text(text)],
        metadata: None,
        extensions: Vec::new(),
    };
    Report::Artifact { artifact, append, last_chunk: false }
}

// --- transitions

#[test]
fn a_new_task_is_submitted_and_queued_and_knows_its_message() {
    let life = Life::queued();
    assert_eq!(
        (life.record.state(), life.phase(), life.record.seq),
        (TaskState::Submitted, Phase::Queued, 1)
    );
    assert_eq!(life.effects, [Effect::Enqueue]);
    let first = &life.record.task.history[0];
    assert_eq!(first.task_id, Some(TaskId::new("t-1")));
    assert_eq!(first.context_id, Some(ContextId::new("c-1")));
    assert_eq!(check(&life.record), Ok(()));
}

#[test]
fn starting_an_attempt_makes_the_task_working_and_counts_the_attempt() {
    let mut life = Life::queued();
    assert_eq!(life.then(Command::StartAttempt { host: "h".into() }), []);
    assert_eq!((life.record.state(), life.phase()), (TaskState::Working, Phase::Running(1)));
    assert_eq!((life.record.control.attempts, life.record.seq), (1, 2));
}

#[test]
fn a_status_report_is_shown_and_the_one_before_goes_into_the_history() {
    let mut life = Life::running();
    life.then(report(1, Report::Status(vec![Part::text("planning")])));
    life.then(report(1, Report::Status(vec![Part::text("writing")])));
    assert_eq!(life.status_text(), "writing");
    assert_eq!(life.record.task.history.last().map(Message::text).as_deref(), Some("planning"));
    assert_eq!(life.record.state(), TaskState::Working);
}

#[test]
fn chunks_of_an_attempt_append_or_replace_as_they_say() {
    let mut life = Life::running();
    for (text, append) in [("a", true), ("b", true), ("c", false), ("d", true)] {
        life.then(report(1, chunk("out", text, append)));
    }
    life.then(report(1, chunk("other", "x", false)));
    assert_eq!((life.text_of("out"), life.text_of("other")), ("cd".to_owned(), "x".to_owned()));
}

#[test]
fn the_first_chunk_of_a_new_attempt_replaces_what_the_last_one_left() {
    let mut life = Life::running();
    life.then(report(1, chunk("out", "half an ans", true)));
    life.then(report(1, chunk("kept", "of attempt 1", true)));
    life.then(lost(1));
    life.then(Command::StartAttempt { host: "h".into() });
    life.then(report(2, chunk("out", "whole ", true)));
    life.then(report(2, chunk("out", "answer", true)));
    assert_eq!(life.text_of("out"), "whole answer");
    assert_eq!(life.text_of("kept"), "of attempt 1");
}

#[test]
fn an_attempt_that_goes_on_after_an_answer_appends_to_its_own_artifact() {
    let mut life = Life::running();
    life.then(report(1, chunk("out", "dear ", true)));
    life.then(report(1, ask("who?")));
    life.then(receive("m-1", "Ada"));
    life.then(report(1, chunk("out", "Ada", true)));
    assert_eq!(life.text_of("out"), "dear Ada");
}

#[test]
fn asking_makes_the_attempt_wait_for_input_or_authorization() {
    for state in [TaskState::InputRequired, TaskState::AuthRequired] {
        let mut life = Life::running();
        life.then(report(1, Report::Ask { state, parts: vec![Part::text("?")] }));
        assert_eq!((life.record.state(), life.phase()), (state, Phase::Waiting(Some(1))));
    }
}

#[test]
fn an_answer_is_delivered_to_the_attempt_that_waits() {
    let mut life = Life::waiting();
    let effects = life.then(receive("m-1", "Ada"));
    let [Effect::Deliver { attempt: 1, message }] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(message.text(), "Ada");
    assert_eq!((life.record.state(), life.phase()), (TaskState::Working, Phase::Running(1)));
    let history: Vec<_> = life.record.task.history.iter().map(Message::text).collect();
    assert_eq!(history, ["prepare a proposal", "who is it for?", "Ada"]);
}

#[test]
fn an_answer_queues_the_task_when_the_attempt_that_asked_is_gone() {
    let mut life = Life::waiting();
    assert_eq!(life.then(lost(1)), []);
    assert_eq!((life.record.state(), life.phase()), (TaskState::InputRequired, Phase::Waiting(None)));
    assert_eq!(life.then(receive("m-1", "Ada")), [Effect::Enqueue]);
    assert_eq!((life.record.state(), life.phase()), (TaskState::Submitted, Phase::Queued));
    life.then(Command::StartAttempt { host: "h".into() });
    assert_eq!(life.phase(), Phase::Running(2));
    let answers: Vec<_> = life.record.control.answers.iter().map(Message::text).collect();
    assert_eq!(answers, ["Ada"]);
}

#[test]
fn a_finished_attempt_ends_the_task_in_the_state_it_says() {
    for state in [TaskState::Completed, TaskState::Failed, TaskState::Canceled, TaskState::Rejected] {
        let mut life = Life::running();
        let parts = vec![Part::text("that is all")];
        assert_eq!(life.then(report(1, Report::Finish { state, parts })), []);
        assert_eq!((life.record.state(), life.phase()), (state, Phase::Ended));
        assert_eq!(life.status_text(), "that is all");
    }
}

#[test]
fn an_attempt_that_waits_may_give_up() {
    let mut life = Life::waiting();
    life.then(report(1, finish(TaskState::Failed)));
    assert_eq!((life.record.state(), life.phase()), (TaskState::Failed, Phase::Ended));
}

#[test]
fn canceling_stops_the_attempt_that_holds_the_task_if_there_is_one() {
    let stop = || vec![Effect::StopAttempt { attempt: 1 }];
    let mut orphan = Life::waiting();
    orphan.then(lost(1));
    for (mut life, effects) in
        [(Life::queued(), vec![]), (Life::running(), stop()), (Life::waiting(), stop()), (orphan, vec![])]
    {
        assert_eq!(life.then(Command::Cancel), effects);
        assert_eq!((life.record.state(), life.phase()), (TaskState::Canceled, Phase::Ended));
    }
}

#[test]
fn a_task_that_takes_too_long_fails_and_its_attempt_is_stopped() {
    let stop = || vec![Effect::StopAttempt { attempt: 1 }];
    for (mut life, effects) in
        [(Life::queued(), vec![]), (Life::running(), stop()), (Life::waiting(), stop())]
    {
        assert_eq!(life.then(Command::TimeOut { limit: "1h (tasks.timeout)".to_owned() }), effects);
        assert_eq!((life.record.state(), life.phase()), (TaskState::Failed, Phase::Ended));
        assert_eq!(life.status_text(), "the task took longer than 1h (tasks.timeout)");
    }
    let late = Command::TimeOut { limit: String::new() };
    assert_eq!(Life::ended().refused(late), Rejected::Ended(TaskState::Completed));
}

#[test]
fn a_lost_attempt_is_retried_as_often_as_the_policy_says_and_then_fails_the_task() {
    let mut life = Life::queued();
    for attempt in 1..=2 {
        life.then(Command::StartAttempt { host: "h".into() });
        assert_eq!(life.then(lost(attempt)), [Effect::Enqueue]);
        assert_eq!((life.record.state(), life.phase()), (TaskState::Submitted, Phase::Queued));
    }
    life.then(Command::StartAttempt { host: "h".into() });
    assert_eq!(life.then(lost(3)), []);
    assert_eq!((life.record.state(), life.record.control.losses), (TaskState::Failed, 3));
    assert_eq!(life.status_text(), "the worker was lost in attempt 3 (killed) and no retry is left");
}

#[test]
fn without_retries_the_first_loss_fails_the_task() {
    for on_worker_loss in [OnWorkerLoss::Fail, OnWorkerLoss::Retry(0)] {
        let mut life = Life::running().with(Policy { on_worker_loss, ..POLICY });
        life.then(lost(1));
        assert_eq!(life.record.state(), TaskState::Failed);
    }
}

#[test]
fn a_loss_while_waiting_costs_no_retry() {
    let mut life = Life::waiting().with(Policy { on_worker_loss: OnWorkerLoss::Fail, ..POLICY });
    life.then(lost(1));
    assert_eq!((life.record.state(), life.record.control.losses), (TaskState::InputRequired, 0));
}

#[test]
fn the_update_after_a_loss_tells_which_attempt_was_lost_and_why() {
    let mut life = Life::running();
    let transition = life.tried(lost(1)).unwrap();
    let [TaskEvent::Status(change)] = transition.events.as_slice() else { panic!("{transition:?}") };
    let metadata = change.metadata.as_ref().unwrap();
    assert_eq!((&metadata[ATTEMPT_KEY], &metadata[LOST_KEY]), (&1.into(), &"killed".into()));
}

#[test]
fn the_same_message_again_is_answered_and_does_nothing_in_every_phase() {
    let mut answered = Life::waiting();
    answered.then(receive("m-1", "Ada"));
    let again = answered.tried(receive("m-1", "Ada")).unwrap();
    assert_eq!((again.events.len(), again.effects.len()), (0, 0));
    for mut life in [Life::queued(), Life::running(), Life::waiting(), Life::ended()] {
        let again = life.tried(receive("m-0", "prepare a proposal")).unwrap();
        assert_eq!((again.events.len(), again.effects.len()), (0, 0));
        assert_eq!(again.control, life.record.control);
    }
}

#[test]
fn a_task_over_its_number_of_events_fails_and_its_attempt_is_stopped() {
    let mut life = Life::running().with(Policy { max_events: 5, ..POLICY });
    life.then(report(1, Report::Status(Vec::new())));
    life.then(report(1, chunk("out", "x", true)));
    let effects = life.then(report(1, chunk("out", "y", true)));
    assert_eq!(effects, [Effect::StopAttempt { attempt: 1 }]);
    assert_eq!((life.record.state(), life.record.seq), (TaskState::Failed, 5));
    assert_eq!(life.status_text(), "the task went over its limit of 5 events (limits.task_events)");
    assert_eq!(life.text_of("out"), "x");
}

#[test]
fn a_task_over_its_number_of_bytes_fails_without_what_went_over() {
    let mut life = Life::running().with(Policy { max_bytes: 200, ..POLICY });
    life.then(report(1, chunk("out", "small", true)));
    life.then(report(1, chunk("out", &"x".repeat(200), true)));
    assert_eq!(life.record.state(), TaskState::Failed);
    assert_eq!(life.status_text(), "the task went over its limit of 200 bytes (limits.task_bytes)");
    assert_eq!(life.text_of("out"), "small");
}

#[test]
fn a_question_over_the_limits_fails_the_task_instead_of_waiting() {
    let mut life = Life::running().with(Policy { max_events: 3, ..POLICY });
    life.then(report(1, ask("?")));
    assert_eq!((life.record.state(), life.phase()), (TaskState::Failed, Phase::Ended));
}

#[test]
fn recovery_takes_the_task_from_the_attempt_that_held_it() {
    for life in [Life::running(), Life::waiting()] {
        let Ok(Command::AttemptLost { attempt: 1, .. }) = recovery(&life.record) else { panic!() };
    }
    assert_eq!(recovery(&Life::queued().record).unwrap_err(), [Effect::Enqueue]);
    let mut orphan = Life::waiting();
    orphan.then(lost(1));
    assert_eq!(recovery(&orphan.record).unwrap_err(), []);
    assert_eq!(recovery(&Life::ended().record).unwrap_err(), []);
}

// --- rejections

#[test]
fn a_task_that_ended_takes_no_message_no_cancel_no_attempt_and_no_report() {
    let mut life = Life::ended();
    let completed = TaskState::Completed;
    assert_eq!(life.refused(receive("m-9", "more")), Rejected::Ended(completed));
    assert_eq!(life.refused(Command::Cancel), Rejected::NotCancelable(completed));
    assert_eq!(life.refused(Command::StartAttempt { host: "h".into() }), Rejected::NotQueued);
    let stale = Rejected::StaleAttempt { given: 1, current: None };
    assert_eq!(life.refused(report(1, finish(TaskState::Failed))), stale);
    assert_eq!(life.refused(lost(1)), stale);
}

#[test]
fn a_message_is_refused_while_nobody_waits_for_it() {
    assert_eq!(Life::queued().refused(receive("m-1", "x")), Rejected::NotWaiting(TaskState::Submitted));
    assert_eq!(Life::running().refused(receive("m-1", "x")), Rejected::NotWaiting(TaskState::Working));
}

#[test]
fn a_message_of_another_context_is_refused_and_one_of_the_tasks_own_is_taken() {
    let mut life = Life::waiting();
    let of = |context: &str| {
        Command::Receive(Message { context_id: Some(ContextId::new(context)), ..message("m-1", "x") })
    };
    assert_eq!(life.refused(of("c-2")), Rejected::WrongContext);
    life.then(of("c-1"));
}

#[test]
fn an_id_that_was_used_for_another_message_is_refused() {
    let mut life = Life::waiting();
    assert_eq!(
        life.refused(receive("m-0", "something else")),
        Rejected::MessageIdReused(MessageId::new("m-0"))
    );
    life.then(receive("m-1", "Ada"));
    assert_eq!(life.refused(receive("m-1", "Bob")), Rejected::MessageIdReused(MessageId::new("m-1")));
}

#[test]
fn a_client_may_use_the_id_of_an_agents_message_and_send_its_own_again() {
    let mut life = Life::waiting();
    let taken = life.record.task.status.message.as_ref().map(|m| m.message_id.to_string()).unwrap();
    life.then(receive(&taken, "Ada"));
    assert_eq!(life.tried(receive(&taken, "Ada")).unwrap().events, []);
}

#[test]
fn only_a_queued_task_can_be_taken_on() {
    for mut life in [Life::running(), Life::waiting()] {
        assert_eq!(life.refused(Command::StartAttempt { host: "h".into() }), Rejected::NotQueued);
    }
}

#[test]
fn an_attempt_that_lost_its_lease_is_refused_whatever_it_says() {
    let mut life = Life::running();
    life.then(lost(1));
    let stale = |current| Rejected::StaleAttempt { given: 1, current };
    assert_eq!(life.refused(report(1, chunk("out", "late", true))), stale(None));
    life.then(Command::StartAttempt { host: "h".into() });
    assert_eq!(life.refused(report(1, Report::Status(Vec::new()))), stale(Some(2)));
    assert_eq!(life.refused(report(1, finish(TaskState::Completed))), stale(Some(2)));
    assert_eq!(life.refused(report(1, ask("?"))), stale(Some(2)));
    assert_eq!(life.refused(lost(1)), stale(Some(2)));
    let future = Rejected::StaleAttempt { given: 3, current: Some(2) };
    assert_eq!(life.refused(report(3, finish(TaskState::Completed))), future);
}

#[test]
fn an_attempt_that_waits_says_nothing_but_its_end() {
    let mut life = Life::waiting();
    for said in [Report::Status(Vec::new()), chunk("out", "x", true), ask("and?")] {
        assert_eq!(life.refused(report(1, said)), Rejected::AttemptWaits(1));
    }
}

#[test]
fn a_question_ends_nothing_and_an_end_asks_nothing() {
    let mut life = Life::running();
    for state in TaskState::ALL {
        if !state.is_interrupted() {
            let ask = Report::Ask { state, parts: Vec::new() };
            assert_eq!(life.refused(report(1, ask)), Rejected::WrongState(state));
        }
        if !state.is_terminal() {
            assert_eq!(life.refused(report(1, finish(state))), Rejected::WrongState(state));
        }
    }
}

#[test]
fn a_record_is_put_together_only_from_events_that_begin_with_its_creation() {
    let mut life = Life::queued();
    let status = life.tried(Command::StartAttempt { host: "h".into() }).unwrap().events;
    assert_eq!(TaskRecord::rebuild(life.record.control.clone(), status), None);
    assert_eq!(TaskRecord::rebuild(life.record.control, []), None);
}

#[test]
fn an_attempt_that_is_given_back_is_no_loss_and_starts_again() {
    let mut life = Life::queued().with(Policy { on_worker_loss: OnWorkerLoss::Fail, ..POLICY });
    for attempt in 1..=3 {
        life.then(Command::StartAttempt { host: "h".into() });
        let effects = life.then(Command::Release { attempt, reason: "the host shuts down".to_owned() });
        assert_eq!(effects, [Effect::Enqueue]);
        assert_eq!((life.record.control.losses, life.record.control.holder.clone()), (0, None));
        assert_eq!(life.record.control.phase, Phase::Queued);
    }
}
