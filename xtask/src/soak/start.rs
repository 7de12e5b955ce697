//! `cargo xtask soak start`: 3,000 simulated processes on 1,000 simulated machines, started and stopped again and again by real
//! services. What must not grow is measured each round, and every job is counted in JOBS itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_bus::{Bus, BusOptions, streams};
use muster_model::{ProcessId, ProcessState};
use muster_proto::v1::{Envelope, JobEvent, envelope::Body, job_event};
use muster_testkit::lab::{Lab, LabOptions, SERVICES};
use muster_testkit::{resident_bytes, wait_until};
use prost::Message;

use super::SoakArguments;
use crate::{build, lab};

/// A part drifts when it grows by more than this over the second half of the rounds, by the line through its sizes ...
const DRIFT_SHARE_MAX: f64 = 0.05;
/// ... and by more than this.
const DRIFT_MIB_MAX: f64 = 8.0;
/// nats-server remembers the numbers of messages for two minutes, and a block that it wrote to for some seconds: after so long without
/// a round, what is alive in it is what it keeps.
const REST: Duration = Duration::from_secs(135);
/// A round that takes longer ends the soak.
const ROUND_MAX: &str = "120s";
/// Every machine may be used within this.
const PLACEABLE_MAX: Duration = Duration::from_secs(60);
/// The counter has caught up with JOBS within this.
const COUNT_MAX: Duration = Duration::from_secs(60);
/// Lines of the table at the end.
const LINES_MAX: usize = 20;

/// One round.
struct Round {
    start: Duration,
    stop: Duration,
    /// MiB in memory: what is alive in nats-server, then all of each part.
    sizes: Vec<f64>,
}

pub(super) fn run(arguments: &SoakArguments) -> anyhow::Result<()> {
    let directory = build::target().join("soak");
    lab::clean(&directory)?;
    let options =
        LabOptions { simulated: arguments.machines, ..LabOptions::new(directory.clone(), build::programs()?, 0) };
    let mut lab = Lab::up(options, &|line| eprintln!("{line}"))?;
    lab.nats.profile()?;
    wait_placeable(&lab, arguments.machines)?;
    let parts = parts(&mut lab)?;
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    let counter = Counter::begin(&runtime, &lab.nats_url())?;
    let (mut rounds, mut rested) = (Vec::new(), Vec::new());
    for number in 1..=arguments.rounds {
        let round = round(&lab, arguments.processes, &parts)?;
        let (start, stop) = (round.start.as_secs_f64(), round.stop.as_secs_f64());
        eprintln!("round {number} of {}: all running after {start:.1} s, ended after {stop:.1} s", arguments.rounds);
        rounds.push(round);
        if number == arguments.rounds.div_ceil(2) || number == arguments.rounds {
            rested.push(rest(&lab)?);
        }
    }
    let jobs = u64::from(arguments.rounds);
    let counted = counter.settled(jobs, u64::from(arguments.processes));
    lab.down()?;
    lab::clean(&directory)?;
    let drifting = print(&parts, &rounds, &rested);
    let counted = counted?;
    println!(
        "JOBS: {} jobs started, {} ended once, {} processes ended once",
        counted.jobs, counted.ended, counted.final_
    );
    ensure!(drifting.is_empty(), "memory drifts: {}", drifting.join(", "));
    Ok(())
}

/// Waits until the scheduler places something on every machine: it hears of their activation from MACHINES.
pub(super) fn wait_placeable(lab: &Lab, machines: u32) -> anyhow::Result<()> {
    let count = machines.to_string();
    let places = || {
        let placed = lab.muster_json(&["start", "idle", "--processes", &count, "--dry-run"]).unwrap_or_default();
        placed.as_array().map_or(0, Vec::len)
    };
    wait_until("the scheduler knows every machine", PLACEABLE_MAX, || places() == machines as usize)
}

/// What nats-server is called in the table: it varies with how fast the rounds are, and is judged at rest.
const NATS: &str = "nats-server alive";

/// Name and OS process id of everything of Muster that runs for the lab.
fn parts(lab: &mut Lab) -> anyhow::Result<Vec<(String, u32)>> {
    let mut parts = Vec::new();
    for service in SERVICES {
        let pid = lab.service(&format!("{service}-a"))?.pid();
        parts.push((service.to_owned(), pid.with_context(|| format!("{service} runs"))?));
    }
    let simulated = lab.agent("simulated-machines")?.pid().context("the simulated machines run")?;
    parts.push(("machines".into(), simulated));
    Ok(parts)
}

fn round(lab: &Lab, processes: u32, parts: &[(String, u32)]) -> anyhow::Result<Round> {
    let processes = processes.to_string();
    let begun = Instant::now();
    let started = lab.muster_json(&["start", "idle", "--processes", &processes, "--wait", "--within", ROUND_MAX])?;
    let start = begun.elapsed();
    let job = started[0]["job"].as_u64().context("read the job number")?;
    let begun = Instant::now();
    lab.muster_ok(&["stop", &job.to_string(), "--wait", "--within", ROUND_MAX])?;
    let stop = begun.elapsed();
    let mut sizes = vec![alive(lab)?];
    for (name, pid) in parts {
        sizes.push(resident(*pid).with_context(|| format!("measure {name}"))?);
    }
    Ok(Round { start, stop, sizes })
}

/// MiB that are alive in nats-server.
fn alive(lab: &Lab) -> anyhow::Result<f64> {
    Ok(lab.nats.live_bytes()? as f64 / f64::from(1 << 20))
}

/// Lets everything rest; MiB that are alive in nats-server then.
fn rest(lab: &Lab) -> anyhow::Result<f64> {
    eprintln!(
        "nothing is started for {} s, until nats-server has forgotten what it keeps for two minutes",
        REST.as_secs()
    );
    std::thread::sleep(REST);
    alive(lab)
}

/// MiB that a process has in memory.
fn resident(pid: u32) -> anyhow::Result<f64> {
    Ok(resident_bytes(pid).context("it has ended")? as f64 / f64::from(1 << 20))
}

/// Prints the table, and returns the parts that drift.
fn print(parts: &[(String, u32)], rounds: &[Round], rested: &[f64]) -> Vec<String> {
    let parts: Vec<&str> = std::iter::once(NATS).chain(parts.iter().map(|(name, _)| name.as_str())).collect();
    let names: Vec<String> = parts.iter().map(|name| format!("{name:>18}")).collect();
    println!("{:>6} {:>8} {:>8}{}   (MiB in memory)", "round", "start s", "stop s", names.concat());
    let step = rounds.len().div_ceil(LINES_MAX).max(1);
    for (number, round) in rounds.iter().enumerate().filter(|(number, _)| number % step == step - 1) {
        let sizes: Vec<String> = round.sizes.iter().map(|size| format!("{size:>18.1}")).collect();
        let (start, stop) = (round.start.as_secs_f64(), round.stop.as_secs_f64());
        println!("{:>6} {start:>8.1} {stop:>8.1}{}", number + 1, sizes.concat());
    }
    let half = &rounds[rounds.len() / 2..];
    let growths: Vec<(f64, f64)> =
        (0..parts.len()).map(|part| growth(&half.iter().map(|round| round.sizes[part]).collect::<Vec<_>>())).collect();
    let told: Vec<String> = growths.iter().map(|(growth, _)| format!("{growth:>+18.1}")).collect();
    println!("growth over the second half{}", told.concat().split_at(2).1);
    let (middle, end) = (rested.first().copied().unwrap_or_default(), rested.last().copied().unwrap_or_default());
    println!("nats-server alive at rest: {middle:.1} MiB after half of the rounds, {end:.1} after all");
    let judged = std::iter::once((end - middle, middle)).chain(growths.into_iter().skip(1));
    let drifts = |(growth, mean): (f64, f64)| growth > DRIFT_MIB_MAX && growth > mean * DRIFT_SHARE_MAX;
    let drifting = parts.iter().zip(judged).filter(|(_, growth)| drifts(*growth));
    drifting.map(|(name, (growth, _))| format!("{name} by {growth:.1} MiB")).collect()
}

/// Growth from the first to the last of some sizes by the line of least squares through them, and their mean.
fn growth(sizes: &[f64]) -> (f64, f64) {
    let count = sizes.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, sizes.iter().sum::<f64>() / count);
    let places = (0..sizes.len()).map(|place| place as f64 - middle);
    let spread: f64 = places.clone().map(|place| place * place).sum();
    let slope = places.zip(sizes).map(|(place, size)| place * (size - mean)).sum::<f64>() / spread.max(1.0);
    (slope * (count - 1.0), mean)
}

/// What JOBS says, read beside Muster as it grows: it is purged when it is archived.
#[derive(Debug, Default, Clone)]
struct Counted {
    jobs: u64,
    /// Jobs all of whose processes are final, each once.
    ended: u64,
    /// Processes that are final, each once.
    final_: u64,
    /// How often each process became final.
    ends: BTreeMap<ProcessId, u32>,
    trouble: Option<String>,
}

struct Counter(std::sync::Arc<std::sync::Mutex<Counted>>);

impl Counter {
    fn begin(runtime: &tokio::runtime::Runtime, url: &str) -> anyhow::Result<Self> {
        let counted = std::sync::Arc::new(std::sync::Mutex::new(Counted::default()));
        let shared = std::sync::Arc::clone(&counted);
        let bus = runtime.block_on(Bus::connect(&BusOptions::insecure_local(url, "soak")))?;
        runtime.spawn(async move {
            let mut reader = bus.read(streams::JOBS, "", 1);
            loop {
                let message = reader.next().await;
                let taken = take(&mut shared.lock().expect("nobody panics with it"), message.payload);
                if let Err(error) = taken {
                    shared.lock().expect("nobody panics with it").trouble = Some(format!("{error:#}"));
                    return;
                }
            }
        });
        Ok(Self(counted))
    }

    /// What was counted, once every job has ended.
    fn settled(&self, jobs: u64, processes: u64) -> anyhow::Result<Counted> {
        let look = || self.0.lock().expect("nobody panics with it").clone();
        let settled = || {
            let counted = look();
            counted.trouble.is_some() || (counted.jobs >= jobs && counted.ends.len() as u64 >= jobs * processes)
        };
        let waited = wait_until("JOBS tells the end of every process", COUNT_MAX, settled);
        let mut counted = look();
        ensure!(counted.trouble.is_none(), "JOBS could not be read: {}", counted.trouble.unwrap_or_default());
        waited?;
        let mut by_job: BTreeMap<u32, u64> = BTreeMap::new();
        for (id, _) in counted.ends.iter().filter(|(_, ends)| **ends == 1) {
            *by_job.entry(id.dpid.job.0).or_default() += 1;
        }
        counted.final_ = by_job.values().sum();
        counted.ended = by_job.values().filter(|count| **count == processes).count() as u64;
        let exact = (jobs, jobs, jobs * processes, jobs * processes);
        let found = (counted.jobs, counted.ended, counted.final_, counted.ends.len() as u64);
        ensure!(found == exact, "jobs, ended once, processes ended once, processes: {found:?} instead of {exact:?}");
        Ok(counted)
    }
}

fn take(counted: &mut Counted, payload: bytes::Bytes) -> anyhow::Result<()> {
    let Some(Body::Turn(turn)) = Envelope::decode(payload)?.body else { return Ok(()) };
    let block = muster_ledger::open_block(&turn).map_err(anyhow::Error::msg)?;
    for event in block.entries.iter().flat_map(|entry| &entry.events) {
        match JobEvent::decode(&event[..])?.kind {
            Some(job_event::Kind::JobStarted(_)) => counted.jobs += 1,
            Some(job_event::Kind::ProcessesChanged(changed)) => {
                let is_final = |state| ProcessState::try_from(state).is_ok_and(ProcessState::is_final);
                for change in changed.changes.iter().filter(|change| is_final(change.to())) {
                    let id = ProcessId::from(change.id.unwrap_or_default());
                    *counted.ends.entry(id).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::growth;

    #[test]
    fn growth_is_that_of_the_line_through_the_sizes() {
        assert_eq!(growth(&[5.0, 5.0, 5.0]), (0.0, 5.0));
        assert_eq!(growth(&[1.0, 2.0, 3.0, 4.0]), (3.0, 2.5));
        assert!(growth(&[10.0, 12.0, 10.0, 12.0, 10.0]).0.abs() < 1.0, "noise is no growth");
    }
}
