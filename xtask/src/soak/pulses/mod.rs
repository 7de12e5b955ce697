//! `cargo xtask soak pulses`: 3,000 real processes on 60 agents under 8 pulses that are defined otherwise every few seconds. None may
//! be lost, mia or dead, and how long each was blocked, by its samples, has to be what the definitions say.

mod expect;
mod watch;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_model::{ProcessState, PulseNumber};
use muster_testkit::lab::{Lab, LabOptions};
use muster_testkit::wait_until;

use self::expect::{Duty, PULSES, definition, duty, pulses_of};
use self::watch::{SAMPLES_APART, Seen, Watch};
use super::SoakArguments;
use crate::{bench, build, lab};

const MACHINES: u32 = 60;
/// The clocks of the machines are set apart over this.
const CLOCK_SPREAD: Duration = Duration::from_secs(1);
/// How long processes are watched.
const TIME: Duration = Duration::from_secs(120);
/// A pulse is defined otherwise this often.
const DEFINE_EVERY: Duration = Duration::from_secs(3);
/// A start, and a stop, that takes longer ends the soak.
const START_MAX: &str = "120s";
/// What is written is read within this.
const READ_MAX: Duration = Duration::from_secs(60);
/// The part of the whole time in which a process was blocked is as near to what the definitions say. What makes a difference: each
/// definition takes effect when it has reached the machine, not when it was decided.
const DEVIATION_MAX: f64 = 0.03;
/// Likewise over ten seconds, for all but one in a hundred of these.
const DEVIATION_SHORT_MAX: f64 = 0.10;
/// Jobs differ by as much at least in what is expected of them: otherwise a process that obeys another's pulses would pass.
const JOBS_APART_MIN: f64 = 0.10;

pub(super) fn run(arguments: &SoakArguments) -> anyhow::Result<()> {
    let directory = build::target().join("soak");
    lab::clean(&directory)?;
    let options = LabOptions {
        clock_spread: CLOCK_SPREAD,
        ..LabOptions::new(directory.clone(), bench::optimised_programs()?, MACHINES)
    };
    let lab = Lab::up(options, &|line| eprintln!("{line}"))?;
    super::start::wait_placeable(&lab, MACHINES)?;
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    let watch = Watch::begin(&runtime, &lab.nats_url())?;
    let jobs = start(&lab, arguments.processes)?;
    let defined = shake(&lab, &watch)?;
    eprintln!("stopping");
    for job in jobs.keys() {
        lab.muster_ok(&["stop", &job.to_string(), "--wait", "--within", START_MAX])?;
    }
    let processes = arguments.processes as usize;
    let ended = wait_until("JOBS tells the end of every process", READ_MAX, || {
        watch.count(ProcessState::Finished) >= processes || watch.count(ProcessState::Dead) > 0
    });
    let seen = watch.seen();
    lab.down()?;
    lab::clean(&directory)?;
    let seen = seen?;
    println!("JOBS: processes came into these states: {:?}", seen.states);
    ended?;
    ensure!(seen.history.len() == defined as usize, "JOBS tells of {} definitions of {defined}", seen.history.len());
    println!("pulses were defined {defined} times");
    judge(&seen, &jobs, processes)
}

/// Defines all pulses and starts a job for each, with its pulses: their numbers, and the pulses of each.
fn start(lab: &Lab, processes: u32) -> anyhow::Result<BTreeMap<u32, Vec<PulseNumber>>> {
    (0..u32::from(PULSES)).try_for_each(|step| define(lab, step))?;
    let mut jobs = BTreeMap::new();
    for place in 0..PULSES {
        let numbers = pulses_of(place);
        // What does not divide goes to the first jobs.
        let more = u32::from(u32::from(place) < processes % u32::from(PULSES));
        let count = (processes / u32::from(PULSES) + more).to_string();
        let list = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let start = ["start", "idle", "--processes", &count, "--pulse", &list, "--param", "metrics=0s"];
        let started = lab.muster_json(&[&start[..], &["--wait", "--within", START_MAX]].concat())?;
        let job = started[0]["job"].as_u64().context("read the job number")?;
        eprintln!("job {job}: {count} processes under the pulses {list}");
        jobs.insert(u32::try_from(job)?, numbers);
    }
    Ok(jobs)
}

/// Defines pulses otherwise, again and again; returns how often.
fn shake(lab: &Lab, watch: &Watch) -> anyhow::Result<u32> {
    watch.sample(true);
    let (begin, mut step) = (Instant::now(), u32::from(PULSES));
    while begin.elapsed() < TIME {
        std::thread::sleep((DEFINE_EVERY * (step - u32::from(PULSES) + 1)).saturating_sub(begin.elapsed()));
        define(lab, step)?;
        step += 1;
    }
    watch.sample(false);
    Ok(step)
}

fn define(lab: &Lab, step: u32) -> anyhow::Result<()> {
    let (number, pulse) = definition(step);
    let number = number.to_string();
    let [block, free, phase] =
        [pulse.block(), pulse.free(), pulse.phase()].map(|part| format!("{}ms", part.as_millis()));
    lab.muster_ok(&["pulse", "set", &number, "--block", &block, "--free", &free, "--phase", &phase]).map(drop)
}

/// Every process lived all the time, and was blocked as long as the definitions say.
fn judge(seen: &Seen, jobs: &BTreeMap<u32, Vec<PulseNumber>>, processes: usize) -> anyhow::Result<()> {
    let count = |state: ProcessState| seen.states.get(state.as_str()).copied().unwrap_or(0);
    for state in [ProcessState::Mia, ProcessState::Dead, ProcessState::Lost] {
        ensure!(count(state) == 0, "{} times a process was {}", count(state), state.as_str());
    }
    ensure!(count(ProcessState::Finished) == processes, "{} finished", count(ProcessState::Finished));
    ensure!(seen.samples.len() == processes, "{} of {processes} processes have samples", seen.samples.len());
    let (mut whole, mut short) = (BTreeMap::<u32, Vec<Duty>>::new(), Vec::new());
    for (id, samples) in &seen.samples {
        let job = id.dpid.job.0;
        let numbers = jobs.get(&job).with_context(|| format!("job {job} is not ours"))?;
        let time =
            samples.last().zip(samples.first()).map_or(Duration::ZERO, |(last, first)| last.time.since(first.time));
        ensure!(time + 2 * SAMPLES_APART >= TIME, "{id} has samples over {time:?} only");
        whole.entry(job).or_default().extend(duty(&seen.history, numbers, samples[0], samples[samples.len() - 1]));
        let pairs = samples.windows(2).filter(|pair| pair[1].time.since(pair[0].time) >= SAMPLES_APART);
        short.extend(pairs.filter_map(|pair| duty(&seen.history, numbers, pair[0], pair[1])));
    }
    print(jobs, &whole);
    ensure_alike(&whole, short)
}

/// Prints a table by job.
fn print(jobs: &BTreeMap<u32, Vec<PulseNumber>>, whole: &BTreeMap<u32, Vec<Duty>>) {
    println!("{:>4} {:<10} {:>9}  {:>9} {:>16} {:>9}", "job", "pulses", "processes", "expected", "seen", "deviation");
    for (job, duties) in whole {
        let pulses = jobs[job].iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let expected = mean(duties.iter().map(|duty| duty.expected));
        let (least, greatest) = bounds(duties.iter().map(|duty| duty.seen));
        let (_, worst) = bounds(duties.iter().map(Duty::deviation));
        println!(
            "{job:>4} {pulses:<10} {:>9}  {expected:>9.3} {:>16} {worst:>9.3}",
            duties.len(),
            format!("{least:.3}..{greatest:.3}"),
        );
    }
}

fn ensure_alike(whole: &BTreeMap<u32, Vec<Duty>>, mut short: Vec<Duty>) -> anyhow::Result<()> {
    let (_, worst) = bounds(whole.values().flatten().map(Duty::deviation));
    short.sort_by(|a, b| a.deviation().total_cmp(&b.deviation()));
    let short = |percent| bench::percentile(&short, percent).map_or(f64::NAN, |duty| duty.deviation());
    let (half, most) = (short(50), short(99));
    println!("over the whole time, deviation of a process from what the definitions say: at most {worst:.4}");
    println!("over {SAMPLES_APART:?}: p50 {half:.4}, p99 {most:.4}");
    let (least, greatest) = bounds(whole.values().map(|duties| mean(duties.iter().map(|duty| duty.expected))));
    ensure!(greatest - least >= JOBS_APART_MIN, "what is expected of jobs is too alike: {least:.3}..{greatest:.3}");
    ensure!(worst <= DEVIATION_MAX, "a process was blocked otherwise than defined, by {worst:.3} of the time");
    ensure!(
        most <= DEVIATION_SHORT_MAX,
        "processes were blocked otherwise than defined over {SAMPLES_APART:?}: {most:.3}"
    );
    Ok(())
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    sum / count
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), value| (least.min(value), greatest.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(duties: &[(f64, f64)]) -> BTreeMap<u32, Vec<Duty>> {
        let jobs = duties.iter().zip(1..);
        jobs.map(|((expected, seen), job)| (job, vec![Duty { expected: *expected, seen: *seen }])).collect()
    }

    #[test]
    fn a_process_that_obeys_other_pulses_fails_the_soak() {
        let near = [Duty { expected: 0.5, seen: 0.45 }];
        let check = |duties: &[(f64, f64)], short: &[Duty]| ensure_alike(&whole(duties), short.to_vec());
        check(&[(0.3, 0.31), (0.6, 0.59)], &near).unwrap();
        check(&[(0.3, 0.31), (0.6, 0.50)], &near).unwrap_err();
        check(&[(0.3, 0.31), (0.32, 0.31)], &near).unwrap_err();
        check(&[(0.3, 0.31), (0.6, 0.59)], &[Duty { expected: 0.5, seen: 0.7 }]).unwrap_err();
        check(&[(0.3, 0.31), (0.6, 0.59)], &[]).unwrap_err();
    }
}
