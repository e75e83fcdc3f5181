//! Random operations on a log, with the [`MemoryLog`] beside it as the model: whatever is done, both answer the same,
//! also after the log was closed and opened again.

use crate::build::{With, all, key, read_all, removed, step, trimmed};
use crate::jetstream::Server;
use crate::sqlite::Place;
use mesh_core::model::TaskState;
use mesh_core::{Seq, TaskKey, Timestamp};
use mesh_log::{
    Append, Ended, EventLog, JetStreamLog, JetStreamOptions, ListQuery, MemoryLog, ReadLimit, SqliteOptions,
    TailCache,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const TASKS: usize = 8;
const TENANTS: [&str; 2] = ["t", "u"];
const OWNERS: [&str; 2] = ["ann", "bob"];
const AGENTS: [&str; 2] = ["sales", "legal"];
const CONTEXTS: [&str; 3] = ["x", "y", "z"];

#[derive(Clone, Debug)]
enum Operation {
    Append { task: usize, off: i64, events: u64, state: usize, at: i64, message: Option<u8> },
    Read { task: usize, after: Seq, limit: ReadLimit },
    List { filters: [Option<usize>; 5], tenant: usize, limit: usize },
    Unfinished { agent: usize, limit: usize },
    CreatedBy { tenant: usize, owner: usize, agent: usize, message: u8 },
    Trim { tasks: Vec<(usize, bool)>, off: i64 },
    Ended { agent: usize, before: i64, which: Ended, limit: usize },
    Reclaim,
    Reopen { close: bool },
}

fn operation() -> impl Strategy<Value = Operation> {
    // Mostly the number that is right; sometimes one below or above.
    let off = prop_oneof![8 => Just(0i64), 1 => Just(-1), 1 => Just(1)];
    let trim = (vec((0..TASKS, any::<bool>()), 1..4), off.clone())
        .prop_map(|(tasks, off)| Operation::Trim { tasks, off });
    let position = option::of((0..4i64, 0..TASKS))
        .prop_map(|after| Ended::Whole { after: after.map(|(at, task)| (Timestamp(at), name(task))) });
    let which = prop_oneof![(0..5u64).prop_map(|keep| Ended::Beyond { keep }), position];
    let ended = (0..2usize, 0..6i64, which, 1..6usize)
        .prop_map(|(agent, before, which, limit)| Operation::Ended { agent, before, which, limit });
    let append = (0..TASKS, off, 0..5u64, 0..8usize, 0..4i64, option::weighted(0.7, 0..6u8)).prop_map(
        |(task, off, events, state, at, message)| Operation::Append { task, off, events, state, at, message },
    );
    let read = (0..TASKS, 0..20u64, 0..9usize, 0..500usize).prop_map(|(task, after, events, bytes)| {
        Operation::Read { task, after, limit: ReadLimit::new(events, bytes) }
    });
    let filter = || option::weighted(0.3, 0..6usize);
    let list = ([filter(), filter(), filter(), filter(), filter()], 0..2usize, 1..6usize)
        .prop_map(|(filters, tenant, limit)| Operation::List { filters, tenant, limit });
    prop_oneof![
        12 => append,
        4 => read,
        3 => list,
        1 => (0..2usize, 1..5usize).prop_map(|(agent, limit)| Operation::Unfinished { agent, limit }),
        1 => (0..2usize, 0..2usize, 0..2usize, 0..6u8).prop_map(|(tenant, owner, agent, message)| {
            Operation::CreatedBy { tenant, owner, agent, message }
        }),
        3 => trim,
        2 => ended,
        1 => Just(Operation::Reclaim),
        1 => any::<bool>().prop_map(|close| Operation::Reopen { close }),
    ]
}

/// The key of a task. Two tenants share each id.
fn name(task: usize) -> TaskKey {
    key(TENANTS[task % 2], &format!("task-{}", task / 2))
}

/// An append to a task, with what belongs to the task for ever.
fn append(task: usize, after: Seq, events: u64, state: usize, at: i64, message: Option<u8>) -> Append {
    let append = step(&name(task), after, events)
        .owner(OWNERS[task / 2 % 2])
        .agent(AGENTS[task / 4 % 2])
        .context(CONTEXTS[task % 3])
        .state(TaskState::ALL[state])
        .at(at);
    match message {
        Some(message) => append.creates(&message.to_string()),
        None => append,
    }
}

fn query(
    [owner, agent, context, state, since]: [Option<usize>; 5],
    tenant: usize,
    limit: usize,
) -> ListQuery {
    ListQuery {
        owner: owner.map(|n| OWNERS[n % 2].into()),
        agent: agent.map(|n| AGENTS[n % 2].into()),
        context_id: context.map(|n| CONTEXTS[n % 3].into()),
        state: state.map(|n| TaskState::ALL[n]),
        status_at_or_after: since.map(|n| Timestamp(n as i64 - 1)),
        limit,
        ..all(TENANTS[tenant])
    }
}

/// What the log answers, in words that can be compared.
async fn answer(log: &dyn EventLog, operation: &Operation, seqs: &[Seq]) -> String {
    match operation {
        Operation::Append { task, off, events, state, at, message } => {
            let after = seqs[*task].saturating_add_signed(*off);
            format!("{:?}", log.append(append(*task, after, *events, *state, *at, *message)).await)
        }
        Operation::Read { task, after, limit } => {
            format!("{:?}", log.read(&name(*task), *after, *limit).await)
        }
        Operation::List { filters, tenant, limit } => {
            let mut query = query(*filters, *tenant, *limit);
            let mut pages = String::new();
            loop {
                let page = log.list(query.clone()).await.unwrap();
                pages += &format!("{page:?}\n");
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => return pages,
                }
            }
        }
        Operation::Unfinished { agent, limit } => {
            let mut keys: Vec<TaskKey> = Vec::new();
            loop {
                let page = log.unfinished(&AGENTS[*agent].into(), keys.last(), *limit).await.unwrap();
                if page.is_empty() {
                    return format!("{keys:?}");
                }
                keys.extend(page.into_iter().map(|head| head.key));
            }
        }
        Operation::CreatedBy { tenant, owner, agent, message } => {
            let (tenant, owner, agent) = (TENANTS[*tenant], OWNERS[*owner], AGENTS[*agent]);
            let message = message.to_string().as_str().into();
            let task = log.created_by(&tenant.into(), &owner.into(), &agent.into(), &message).await.unwrap();
            format!("{task:?}")
        }
        Operation::Trim { tasks, off } => {
            let trim = |(task, removes): &(usize, bool)| {
                let seq = seqs[*task].saturating_add_signed(*off);
                if *removes { removed(&name(*task), seq) } else { trimmed(&name(*task), seq) }
            };
            // One after the other, so that it is clear who is first.
            let mut changed = Vec::new();
            for task in tasks.iter().map(trim) {
                changed.push(log.trim(vec![task]).await.unwrap());
            }
            format!("{changed:?}")
        }
        Operation::Ended { agent, before, which, limit } => {
            let heads = log.ended(&AGENTS[*agent].into(), Timestamp(*before), which.clone(), *limit).await;
            format!("{:?}", heads.unwrap())
        }
        Operation::Reclaim => {
            while log.reclaim().await.unwrap() {}
            String::new()
        }
        Operation::Reopen { .. } => String::new(),
    }
}

/// Heads, events and tails of all tasks.
async fn everything(log: &dyn EventLog) -> Vec<String> {
    let mut tasks = Vec::new();
    for key in (0..TASKS).map(name) {
        let head = log.head(&key).await.unwrap();
        let first = head.as_ref().map_or(1, |head| head.first);
        let events = read_all(log, &key, first - 1, ReadLimit::new(3, 300)).await;
        let tail = *log.tail(&key).await.unwrap().borrow();
        assert_eq!(head.as_ref().map_or(0, |head| head.seq), tail);
        let numbers: Vec<Seq> = events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (first..=tail).collect::<Vec<_>>());
        tasks.push(format!("{head:?} {events:?}"));
    }
    tasks
}

/// Does the same to a log and to the model. The log can be opened again and again.
async fn compare(open: impl AsyncFn() -> Box<dyn EventLog>, operations: Vec<Operation>) {
    let (model, mut log) = (MemoryLog::new(), open().await);
    let mut seqs = [0; TASKS];
    for operation in operations {
        if let Operation::Reopen { close } = operation {
            if close {
                log.close().await;
            }
            drop(log);
            log = open().await;
        }
        let expected = answer(&model, &operation, &seqs).await;
        assert_eq!(answer(&*log, &operation, &seqs).await, expected, "{operation:?}");
        for (task, seq) in seqs.iter_mut().enumerate() {
            *seq = model.head(&name(task)).await.unwrap().map_or(0, |head| head.seq);
        }
    }
    assert_eq!(everything(&*log).await, everything(&model).await);
    drop(log);
    assert_eq!(everything(&*open().await).await, everything(&model).await);
}

/// So small that rings and places are evicted all the time.
const TAIL_CACHE: TailCache = TailCache { task_events: 5, task_bytes: 1500, total_bytes: 5000 };

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_file_answers_as_the_model_does(operations in vec(operation(), 1..80)) {
        let place = Place::new();
        let options =
            SqliteOptions { readers: 1, known_tasks: 3, tail_cache: TAIL_CACHE, ..Default::default() };
        let open = async || {
            let log: Box<dyn EventLog> = Box::new(place.open_with(options.clone()));
            log
        };
        block_on(compare(open, operations));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_stream_answers_as_the_model_does(operations in vec(operation(), 1..80)) {
        let server = Server::start();
        let options =
            JetStreamOptions { positions: 3, tail_cache: TAIL_CACHE, ..JetStreamOptions::new(server.url()) };
        let open = async || {
            let log: Box<dyn EventLog> = Box::new(JetStreamLog::open(options.clone()).await.unwrap());
            log
        };
        block_on(compare(open, operations));
    }
}
