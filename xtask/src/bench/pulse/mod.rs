//! The benchmark `pulse`: how sharp an edge is over 1,000 gated processes of 60 machines, beside one raw core publish to as many
//! processes that do nothing but hear it, in turn with the edges. Both write the wall time into a file when they go on. Then all are
//! blocked, and their CPU time is looked at.
//!
//! All machines are agents on this host. The clock that each measures with is set apart on purpose, evenly over a second, so that
//! nothing but the pool clock makes their edges one; the wall time, in which marks are compared, is the host's. What can not be set
//! apart here is the rate: all clocks go equally fast.

mod cpu;
mod edges;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use muster_bus::{Authority, Bus, BusOptions};
use muster_proto::v1::{TriggerFired, envelope::Body};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::wait_until;

use self::cpu::Threads;
use self::edges::{Edges, edges};
use super::start::cost;
use super::statistics::{milliseconds, percentile};
use super::subscriber::{self, Subscribers, wall_time};
use super::{Row, Target};

const MACHINES: u32 = 60;
/// Gated processes, and subscribers of the raw publish.
const PROCESSES: u32 = 1_000;
/// The clocks of the machines are set apart over this.
const CLOCK_SPREAD: Duration = Duration::from_secs(1);
const BLOCK: Duration = Duration::from_millis(700);
const FREE: Duration = Duration::from_millis(300);
/// From an edge to the raw publish after it: all are blocked again, for a while yet.
const RAW_AFTER: Duration = Duration::from_millis(600);
/// Edges of a round, and raw publishes.
const EDGES: u32 = 40;
/// A mark belongs to an edge when it is not further from it; likewise to a raw publish.
const WITHIN: Duration = Duration::from_millis(250);
/// How long blocked processes are watched.
const BLOCKED_TIME: Duration = Duration::from_secs(10);
/// Everything is up within this.
const UP_LIMIT: Duration = Duration::from_secs(120);
const NUMBER: &str = "3";

/// One round.
pub(super) fn run(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Vec<Row>> {
    let scratch = super::memory_folder()?;
    let lab = bring_up(scratch.path().join("lab"))?;
    let raw = scratch.path().join("raw");
    std::fs::create_dir(&raw).context("make a folder for marks")?;
    let files = (1..=PROCESSES).map(|number| format!("file {}", raw.join(number.to_string()).display()));
    let _subscribers = Subscribers::start(&lab, files)?;
    let bus = runtime.block_on(Bus::connect(&BusOptions::insecure_local(&lab.nats_url(), "bench")))?;
    let bench = Bench { lab, runtime, bus, raw };
    let rows = bench.measure()?;
    bench.lab.down()?;
    Ok(rows)
}

fn bring_up(directory: PathBuf) -> anyhow::Result<Lab> {
    let options =
        LabOptions { clock_spread: CLOCK_SPREAD, ..LabOptions::new(directory, super::start::programs()?, MACHINES) };
    let lab = Lab::up(options, &|line| eprintln!("  {line}"))?;
    let milliseconds = |time: Duration| format!("{}ms", time.as_millis());
    lab.muster_ok(&["pulse", "set", NUMBER, "--block", &milliseconds(BLOCK), "--free", &milliseconds(FREE)])?;
    let count = PROCESSES.to_string();
    let gated = ["--pulse", NUMBER, "--param", "marks=true", "--param", "metrics=0s"];
    let start = ["start", "idle", "--processes", &count, "--wait", "--within", "60s"];
    lab.muster_ok(&[&start[..], &gated].concat())?;
    Ok(lab)
}

struct Bench<'r> {
    lab: Lab,
    runtime: &'r tokio::runtime::Runtime,
    bus: Bus,
    /// Folder of the marks of the raw subscribers.
    raw: PathBuf,
}

impl Bench<'_> {
    fn measure(&self) -> anyhow::Result<Vec<Row>> {
        let gated = self.mark_files()?;
        let raw: Vec<PathBuf> = (1..=PROCESSES).map(|number| self.raw.join(number.to_string())).collect();
        wait_until("every process passes an edge and every subscriber hears", UP_LIMIT, || {
            let heard = self.publish().is_ok();
            heard && gated.iter().chain(&raw).all(|file| std::fs::metadata(file).is_ok_and(|meta| meta.len() > 0))
        })?;
        let first = self.newest_edge(&gated[0])?;
        let mut published = Vec::new();
        for _ in 0..EDGES {
            sleep_until(after_edge(first, wall_time()));
            published.push(wall_time());
            self.publish()?;
        }
        let period = nanoseconds(BLOCK + FREE);
        let passed: Vec<u64> = published.iter().map(|time| first + (time - first).div_ceil(period) * period).collect();
        sleep_until(passed.last().copied().unwrap_or(0) + nanoseconds(WITHIN));
        let marks = |files: &[PathBuf]| files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>();
        let (pulse, heard) = (edges(&marks(&gated)?, &passed, WITHIN), edges(&marks(&raw)?, &published, WITHIN));
        ensure!(heard.missed == 0, "{} subscribers did not hear a raw publish", heard.missed);
        let mut rows = edge_rows(&pulse, &heard);
        rows.extend(blocked_rows(&self.blocked(&gated)?));
        Ok(rows)
    }

    /// One raw publish.
    fn publish(&self) -> anyhow::Result<()> {
        let envelope = self.bus.envelope(Body::EdgeFired(TriggerFired::default()), Authority::default());
        self.runtime.block_on(async {
            self.bus.publish(subscriber::SUBJECT, &envelope).await?;
            self.bus.flush().await
        })?;
        Ok(())
    }

    /// The files into which gated processes write when they go on.
    fn mark_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for machine in 1..=MACHINES {
            let work = self.lab.directory().join(format!("node-{machine}/state/work"));
            for process in std::fs::read_dir(&work).with_context(|| format!("look at {}", work.display()))? {
                files.push(process?.path().join("results/marks"));
            }
        }
        ensure!(files.len() == PROCESSES as usize, "{} processes are there, not {PROCESSES}", files.len());
        Ok(files)
    }

    /// When a process went on last, which is the moment of an edge but for the time that it took to wake.
    fn newest_edge(&self, file: &Path) -> anyhow::Result<u64> {
        read(file)?.last().copied().context("a process has passed an edge")
    }

    /// Blocks all processes for long, and looks at what they spend then.
    fn blocked(&self, marks: &[PathBuf]) -> anyhow::Result<Threads> {
        self.lab.muster_ok(&["pulse", "set", NUMBER, "--block", "1h", "--free", "1ms"])?;
        let sizes = || marks.iter().map(|file| std::fs::metadata(file).map_or(0, |meta| meta.len())).sum::<u64>();
        wait_until("all are blocked", UP_LIMIT, || {
            let before = sizes();
            std::thread::sleep(2 * (BLOCK + FREE));
            sizes() == before
        })?;
        let pids = cost::named(&self.lab.members(), "idle:");
        ensure!(pids.len() == PROCESSES as usize, "{} processes live, not {PROCESSES}", pids.len());
        let before = Threads::of(&pids);
        std::thread::sleep(BLOCKED_TIME);
        Ok(Threads::of(&pids).since(before))
    }
}

/// The next moment at which all are blocked and no edge is near, of pulses with an edge at `edge`.
fn after_edge(edge: u64, now: u64) -> u64 {
    let (period, after) = (nanoseconds(BLOCK + FREE), nanoseconds(RAW_AFTER));
    edge + after + now.saturating_sub(edge + after).div_ceil(period) * period
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn sleep_until(wall_time: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    std::thread::sleep(Duration::from_nanos(wall_time).saturating_sub(now));
}

/// The marks of a process.
fn read(file: &Path) -> anyhow::Result<Vec<u64>> {
    let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let (marks, _) = bytes.as_chunks::<8>();
    Ok(marks.iter().map(|mark| u64::from_le_bytes(*mark)).collect())
}

fn edge_rows(pulse: &Edges, raw: &Edges) -> Vec<Row> {
    let row = |name: String, value: &[Duration], reference: &[Duration], percent, target| {
        let at = |times: &[Duration]| percentile(times, percent).map(milliseconds);
        Row {
            name,
            value: at(value).unwrap_or(f64::NAN),
            unit: "ms",
            reference: at(reference),
            reference_name: "raw core publish to as many",
            target,
        }
    };
    let skew = |percent: usize| {
        let name = format!("edge, first to last of {PROCESSES} processes, p{percent}");
        row(name, &pulse.skews, &raw.skews, percent, Some(Target::RatioAtMost(1.0)))
    };
    let behind = |percent: usize| {
        let name = format!("edge, a process behind the first, p{percent}");
        row(name, &pulse.behind, &raw.behind, percent, None)
    };
    let missed = Row {
        name: "edges that a process did not pass".into(),
        value: pulse.missed as f64,
        unit: "",
        reference: None,
        reference_name: "",
        target: Some(Target::AtMost(0.0)),
    };
    vec![skew(50), skew(99), behind(50), behind(99), missed]
}

fn blocked_rows(spent: &Threads) -> Vec<Row> {
    let row = |name: &str, value: f64, unit, target| Row {
        name: format!("{PROCESSES} blocked processes for {} s: {name}", BLOCKED_TIME.as_secs()),
        value,
        unit,
        reference: None,
        reference_name: "",
        target,
    };
    vec![
        row("CPU of their gated threads", milliseconds(spent.gated), "ms", Some(Target::AtMost(1.0))),
        row("times that one of these ran", spent.gated_runs as f64, "", None),
        row("CPU of their other threads: a ping each second", milliseconds(spent.others), "ms", None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_publishes_lie_between_edges() {
        let (edge, second) = (5_000_000_000, 1_000_000_000);
        let after = edge + 600_000_000;
        assert_eq!(after_edge(edge, edge), after);
        assert_eq!(after_edge(edge, after), after);
        assert_eq!(after_edge(edge, after + 1), after + second);
        assert_eq!(after_edge(edge, after + 7 * second - 1), after + 7 * second);
    }
}
