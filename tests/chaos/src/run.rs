//! One run: the lab comes up, both phases, everything is gathered, and the oracle judges.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use muster_model::PoolTime;
use muster_testkit::lab::{LabOptions, Say};
use tokio::runtime::Runtime;

use crate::facts::Facts;
use crate::history::History;
use crate::part::Part;
use crate::people::People;
use crate::stage::Stage;
use crate::summary::Outcome;
use crate::watch::{self, Watch};
use crate::{fault, gather, load, oracle, settle};

/// Commands that were given last have their answers, or are given up, within this.
const LAST_ANSWERS: Duration = Duration::from_secs(25);

/// What the parts need at rest is measured for so long.
const AT_REST: Duration = Duration::from_secs(4);

/// A run.
#[derive(Debug, Clone)]
pub struct ChaosOptions {
    /// Seed of faults and load.
    pub seed: u64,
    /// The first phase; the second takes what it needs, within bounds.
    pub duration: Duration,
    /// The lab; it gets two instances of each owning service.
    pub lab: LabOptions,
}

/// Runs it, and ends everything that it started.
///
/// # Errors
/// When the lab does not come up, a part can not be harmed or started, or something can not be read at the end. What must not be is no
/// error but a violation in the outcome.
pub fn run(options: ChaosOptions, say: Say<'_>) -> anyhow::Result<Outcome> {
    let ChaosOptions { seed, duration, lab } = options;
    let machines = lab.machines;
    let lab = LabOptions { replicas: 2, disks: lab.disks.max(1), ..lab };
    let (faults, plan) = (fault::schedule(seed, duration, machines), load::plan(seed, duration, machines));
    let runtime = Runtime::new().context("start a runtime")?;
    let mut stage = Stage::up(lab, &runtime, say)?;
    say(&format!("seed {seed}: {} faults and up to {} commands in {duration:?}", faults.len(), plan.len()));

    let history = Arc::new(History::begin());
    let begun = wall_time();
    let watch = Watch::begin(stage.lab.directory(), Arc::clone(&history));
    let people = runtime.block_on(People::connect(&stage.url(Part::People)?, Arc::clone(&history)))?;
    let working = runtime.spawn(people.clone().work(plan));
    stage.perform(&faults, &history)?;
    stage.supervise_until(duration, &history)?;

    history.note("everything heals".into());
    say("the faults are over; waiting until everything settles");
    stage.supervise_until(history.now() + LAST_ANSWERS, &history)?;
    runtime.block_on(working).context("end the commands")?;
    let mut unsettled = Vec::new();
    unsettled.extend(settle::at_work(&stage.lab, machines).err());
    unsettled.extend(runtime.block_on(people.end_everything()));
    unsettled.extend(settle::at_rest(&stage.lab, machines).err());
    let rested = unsettled.is_empty().then(|| history.now());
    unsettled.extend(settle::examined(&stage.lab).err());
    say("gathering what the logs, the archive, the journals and the machines say");
    let (acknowledged, stored) = settle::stored(&stage.lab).unwrap_or_else(|why| {
        unsettled.push(why);
        Default::default()
    });
    stage.supervise_until(history.now() + AT_REST, &history)?;
    let (started, lives) = watch.end();
    let facts = Facts {
        begun,
        given: people.given(),
        logs: gather::logs(&stage.lab, &runtime)?,
        started,
        left: watch::tests(stage.lab.directory()),
        intents: gather::intents(stage.lab.directory(), machines)?,
        machines: gather::machines(&stage.lab),
        machines_expected: machines,
        unsettled,
        lives,
        rested,
        streams: gather::stream_sizes(&stage.lab, &runtime)?,
        acknowledged,
        stored,
    };
    let violations = oracle::judge(&facts);
    let outcome = Outcome {
        seed,
        duration,
        faults: faults.len(),
        supervised: stage.supervised,
        passed_bytes: stage.passed(),
        lines: history.lines(),
        facts,
        violations,
    };
    drop(people);
    stage.lab.down()?;
    Ok(outcome)
}

/// The host's wall time, which the pool's clock of a lab begins with.
fn wall_time() -> PoolTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    PoolTime(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
