//! One fault after the other.

use super::calls::{Call, Caller};
use super::gateway::Site;
use super::report::{Fault, Report};
use crate::load::Percentiles;
use crate::relay::{Mode, Relay};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it is looked whether a healed target has calls again.
const LOOK: Duration = Duration::from_millis(20);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program `agentmesh`.
    pub program: PathBuf,
    /// For the mesh file and the log.
    pub directory: PathBuf,
    /// How many targets the broken upstream has.
    pub targets: usize,
    /// Calls a second, to the broken upstream; the other one gets a quarter of that.
    pub rate: u32,
    /// How long all is well before each fault, and how long each lasts.
    pub phase: Duration,
    /// How long a healed target may take to get calls again.
    pub recovery: Duration,
}

/// Breaks the first target in every way in turn.
///
/// # Errors
/// The gateway or its upstreams cannot be started.
pub async fn run(options: &Options) -> Result<Report, String> {
    let site = Site::start(&options.program, &options.directory, options.targets).await?;
    let mut faults = Vec::new();
    for mode in Mode::ALL.into_iter().filter(|mode| *mode != Mode::Pass) {
        faults.push(one(options, &site, mode).await?);
    }
    Ok(Report { targets: options.targets, rate: options.rate, phase: options.phase, faults })
}

async fn one(options: &Options, site: &Site, mode: Mode) -> Result<Fault, String> {
    let broken = site.relays.first().ok_or("there is no target")?;
    let calls = Caller::start(&format!("{}/mcp/broken", site.gateway), options.rate)?;
    let others = Caller::start(&format!("{}/mcp/other", site.gateway), (options.rate / 4).max(1))?;
    sleep(options.phase).await;
    let begun = Instant::now();
    broken.set(mode);
    sleep(options.phase).await;
    let healed = Instant::now();
    broken.set(Mode::Pass);
    let recovery = recovered(broken, healed, options.recovery).await;
    sleep(options.phase).await;
    let (calls, others) = (calls.stop().await?, others.stop().await?);
    let in_flight = |call: &&Call| call.begun <= begun && call.begun + call.took > begun;
    let failed = |call: &&Call| call.failure.is_some();
    let begins = |call: &Call, from: Instant, to: Instant| call.begun >= from && call.begun < to;
    let took = |all: &[Call], during: bool| {
        let matching = all.iter().filter(|call| begins(call, begun, healed) == during);
        Percentiles::of(matching.map(|call| call.took).collect())
    };
    let lost: Vec<_> = calls.iter().filter(failed).collect();
    Ok(Fault {
        mode,
        calls: calls.len(),
        in_flight: calls.iter().filter(in_flight).count(),
        failed: lost.len(),
        failed_in_flight: lost.iter().filter(|call| in_flight(call)).count(),
        failed_after: lost.iter().filter(|call| call.begun >= healed).count(),
        failures: lost.iter().filter_map(|call| call.failure.clone()).take(3).collect(),
        latency_ms: [took(&calls, false), took(&calls, true)],
        other_failed: others.iter().filter(failed).count(),
        other_latency_ms: [took(&others, false), took(&others, true)],
        recovery,
    })
}

/// How long it takes until the healed target has a call; `None`: too long.
async fn recovered(broken: &Relay, healed: Instant, longest: Duration) -> Option<Duration> {
    let before = broken.requests();
    while healed.elapsed() < longest {
        if broken.requests() > before {
            return Some(healed.elapsed());
        }
        sleep(LOOK).await;
    }
    None
}
