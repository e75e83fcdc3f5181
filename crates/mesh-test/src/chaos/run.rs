//! Starts the mesh and the load, lets the plan happen, heals, and has everything checked.

use super::checker::{Job, Telling, check};
use super::client::{Counters, World, listed, repeat, whole_log, work};
use super::fleet::{Fleet, Programs};
use super::plan::{Fault, Plan, Setup};
use super::report::Report;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How often the progress is told.
const TELL: Duration = Duration::from_secs(5);
/// How long one question of the last reading may be asked again.
const READING: Duration = Duration::from_secs(60);

/// One run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is put under load.
    pub setup: Setup,
    /// Which faults and which tasks.
    pub seed: u64,
    /// How many faults.
    pub faults: usize,
    /// No fault begins later than this after the start.
    pub time: Duration,
    /// The mean pause between two faults.
    pub pace: Duration,
    /// `tasks.lease` of the mesh.
    pub lease: Duration,
    /// Messages that are in work at the same time.
    pub clients: usize,
    /// How long tasks may take to end when everything is well again.
    pub patience: Duration,
    /// The programs `agentmesh` and `scripted-worker`.
    pub programs: PathBuf,
    /// The program `nats-server`.
    pub nats: PathBuf,
    /// Where logs and stores go. Kept when something is wrong.
    pub directory: PathBuf,
}

/// Runs it. The report tells what was wrong.
///
/// # Errors
/// The mesh cannot be started, stopped answering for good, or the logs cannot be read in the end.
pub async fn run(options: &Options) -> Result<Report, String> {
    let begin = Instant::now();
    let directory = options.directory.canonicalize().map_err(|e| e.to_string())?;
    let programs = Programs {
        agentmesh: options.programs.join("agentmesh"),
        worker: options.programs.join("scripted-worker"),
        nats: options.nats.clone(),
    };
    let fleet = Arc::new(Fleet::start(options.setup, programs, &directory, options.lease).await?);
    let (cut, _) = watch::channel(0);
    let (give_up, _) = watch::channel(None);
    let (stop, _) = watch::channel(false);
    let world = World {
        urls: Arc::new(fleet.urls.clone()),
        counters: Arc::new(Counters::default()),
        cut: cut.subscribe(),
        give_up: give_up.subscribe(),
    };
    let mut load = JoinSet::new();
    for client in 0..options.clients {
        load.spawn(messages(world.clone(), options.seed, client, stop.subscribe()));
    }
    let (faults, gave_up, died) = rage(options, &fleet, &world.counters, &cut, begin).await?;
    fleet.heal().await?;
    stop.send_replace(true);
    give_up.send_replace(Some(Instant::now() + options.patience));
    say("everything runs again; the tasks come to their end");
    let mut jobs: Vec<(u64, Job)> = load.join_all().await.into_iter().flatten().collect();
    jobs.sort_by(|(_, a), (_, b)| a.message.cmp(&b.message));
    say(&format!("reading the logs of {} tasks", jobs.len()));
    let mut wrong = repeat_all(&fleet, &mut jobs).await;
    let jobs: Vec<Job> = jobs.into_iter().map(|(_, job)| job).collect();
    let mut tellings = Vec::new();
    for url in &fleet.urls {
        tellings.push(read(url, &jobs).await?);
    }
    let (found, count) = check(&jobs, &tellings);
    wrong.extend(found);
    if died > 0 {
        wrong.push(format!("{died} hosts ended by themselves"));
    }
    let behind = world.counters.behind.load(Ordering::Relaxed);
    if behind > 0 && options.setup == Setup::Sqlite {
        wrong.push(format!("{behind} answers knew less than an earlier answer"));
    }
    if !wrong.is_empty() {
        keep(&directory, &jobs, &tellings, &wrong);
    }
    Ok(Report::new(options, begin.elapsed(), faults, gave_up, &jobs, count, &world.counters, wrong))
}

/// One client after the other, until it is enough.
async fn messages(world: World, seed: u64, client: usize, stop: watch::Receiver<bool>) -> Vec<(u64, Job)> {
    let mut jobs = Vec::new();
    for n in 0_u64.. {
        if *stop.borrow() {
            break;
        }
        let seed = seed ^ (client as u64) << 48 ^ n << 20;
        let message = format!("chaos-{client:03}-{n:06}");
        jobs.push((seed, work(world.clone(), seed, message).await));
    }
    jobs
}

/// Faults that are going on, and those that have happened.
#[derive(Default)]
struct Faults {
    going: JoinSet<Result<Option<Fault>, String>>,
    counted: BTreeMap<&'static str, u64>,
}

impl Faults {
    /// Those that have happened or are happening.
    fn all(&self) -> usize {
        self.counted.values().sum::<u64>() as usize + self.going.len()
    }

    fn begin(&mut self, fleet: &Arc<Fleet>, fault: Fault) {
        let fleet = Arc::clone(fleet);
        self.going.spawn(async move { Ok(fleet.suffer(fault).await?.then_some(fault)) });
    }

    /// Waits until at most so many are going on.
    async fn wait(&mut self, at_most: usize) -> Result<(), String> {
        while self.going.len() > at_most {
            let Some(ended) = self.going.join_next().await else { break };
            if let Some(fault) = ended.map_err(|error| error.to_string())?? {
                *self.counted.entry(fault.kind()).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// The faults, one after the other; several may last at the same time. Returns them, and how many hosts gave
/// up or died of something else.
async fn rage(
    options: &Options,
    fleet: &Arc<Fleet>,
    counters: &Counters,
    cut: &watch::Sender<u64>,
    begin: Instant,
) -> Result<(BTreeMap<&'static str, u64>, u64, u64), String> {
    let (mut faults, mut gave_up, mut died, mut told) = (Faults::default(), 0, 0, begin);
    for step in Plan::new(options.seed, options.setup, options.lease, options.pace) {
        sleep_until((Instant::now() + step.pause).min(begin + options.time)).await;
        // Faults of the same part wait for each other; too many that wait would come in one heap.
        faults.wait(3).await?;
        if faults.all() >= options.faults || begin.elapsed() >= options.time {
            break;
        }
        if step.fault == Fault::Cut {
            cut.send_modify(|cuts| *cuts += 1);
        }
        faults.begin(fleet, step.fault);
        let ended = fleet.revive().await?;
        gave_up += ended.0;
        died += ended.1;
        if told.elapsed() >= TELL {
            told = Instant::now();
            say(&progress(begin, faults.all(), options.faults, counters));
        }
    }
    faults.wait(0).await?;
    Ok((faults.counted, gave_up, died))
}

fn progress(begin: Instant, faults: usize, of: usize, counters: &Counters) -> String {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "{:>5} s  {faults}/{of} faults  {} tasks  {} events seen  {} connections lost  {} behind",
        begin.elapsed().as_secs(),
        count(&counters.tasks),
        count(&counters.seen),
        count(&counters.reconnects),
        count(&counters.behind),
    )
}

pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Sends every message once more. A refusal is wrong, but hosts may need a moment.
async fn repeat_all(fleet: &Fleet, jobs: &mut [(u64, Job)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (n, (seed, job)) in jobs.iter_mut().enumerate() {
        let url = &fleet.urls[n % fleet.urls.len()];
        let end = Instant::now() + READING;
        while let Err(why) = repeat(url, job, *seed).await {
            if Instant::now() > end {
                wrong.push(format!("sent again at last: {why}"));
                break;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
    wrong
}

/// What a host says in the end.
async fn read(url: &str, jobs: &[Job]) -> Result<Telling, String> {
    let end = Instant::now() + READING;
    let mut telling = Telling::default();
    loop {
        match listed(url).await {
            Ok(listed) => break telling.listed = listed,
            Err(why) if Instant::now() > end => return Err(why),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
    for task in jobs.iter().flat_map(|job| &job.tasks) {
        for again in (0..5).rev() {
            match whole_log(url, task).await {
                Ok(log) => {
                    telling.logs.insert(task.clone(), log);
                    break;
                }
                // The checker misses it.
                Err(why) if again == 0 => say(&why),
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }
    Ok(telling)
}

/// Writes down what is needed to understand it.
fn keep(directory: &std::path::Path, jobs: &[Job], tellings: &[Telling], wrong: &[String]) {
    let mut text = String::new();
    for (host, telling) in tellings.iter().enumerate() {
        for (task, log) in &telling.logs {
            for (seq, event) in log {
                let _ = writeln!(text, "host {host} {task} {seq} {}", String::from_utf8_lossy(event));
            }
        }
    }
    let _ = std::fs::write(directory.join("logs"), &text);
    text.clear();
    for job in jobs {
        let _ = writeln!(text, "{} {:?} done {}", job.message, job.tasks, job.done);
        for (client, seen) in &job.transcripts {
            for (seq, event) in seen {
                let _ = writeln!(text, "{} {client} {seq} {}", job.message, String::from_utf8_lossy(event));
            }
        }
    }
    let _ = std::fs::write(directory.join("transcripts"), &text);
    let _ = std::fs::write(directory.join("wrong"), wrong.join("\n"));
}
