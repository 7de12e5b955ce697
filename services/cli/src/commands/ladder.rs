//! `muster pulse ladder`: holds jobs that run by a pulse of their own, frees one after another, and says what was in at the first
//! trouble.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_proto::v1::{self, job_command, job_query, job_reply};

use super::{Session, jobs};
use crate::arguments::PulseLadderArguments;
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};
use crate::times::short;

/// How often the jobs are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// A pulse that holds: it blocks for a day, beginning now.
const HOLD_BLOCK: Duration = Duration::from_secs(24 * 3_600);
/// What is free after that day.
const HOLD_FREE: Duration = Duration::from_millis(1);
/// What the ladder does, in words.
const WHAT: &str = "climb the ladder";

/// One job of the ladder.
struct Rung {
    job: u32,
    module: String,
    /// The pulses that it came with.
    pulses: Vec<u32>,
    /// Trouble that it had before.
    trouble: Option<String>,
}

pub(super) async fn run(session: &Session, arguments: &PulseLadderArguments) -> Result<(), Failure> {
    let rungs = rungs(session, &arguments.jobs).await?;
    let hold = free_number(session).await?;
    let set = v1::SetPulse { pulse: Some(holding(hold, session.client.bus().now().0)) };
    session.client.job_command(WHAT, job_command::Kind::SetPulse(set)).await?;
    eprintln!(
        "muster: pulse {hold} holds the jobs; should this end early, `muster pulse clear {hold}` lets them all go on"
    );
    let climbed = climb(session, arguments, &rungs, hold).await;
    let restored = restore(session, &rungs, hold).await;
    let (table, trouble) = climbed?;
    session.print(&table).await?;
    restored?;
    match trouble {
        Some(trouble) => Err(Failure::TestsFailed(trouble)),
        None => Ok(()),
    }
}

async fn rungs(session: &Session, numbers: &[u32]) -> Result<Vec<Rung>, Failure> {
    let mut rungs: Vec<Rung> = Vec::new();
    for number in numbers {
        if rungs.iter().any(|rung| rung.job == *number) {
            return Err(Failure::Usage(format!("{WHAT}: job {number} is named twice")));
        }
        let record = look(session, *number).await?;
        let spec = record.spec.clone().unwrap_or_default();
        let module = spec.module.unwrap_or_default().name;
        rungs.push(Rung { job: *number, module, pulses: spec.pulses, trouble: jobs::failed(&record) });
    }
    Ok(rungs)
}

async fn look(session: &Session, number: u32) -> Result<v1::JobRecord, Failure> {
    let (found, run) = session.client.jobs(WHAT, number, true).await?;
    let missing =
        || super::not_found(WHAT.into(), format!("job {number} in run {run}"), "`muster jobs` shows what runs");
    found.into_iter().next().ok_or_else(missing)
}

/// The highest number that is not defined.
async fn free_number(session: &Session) -> Result<u32, Failure> {
    let query = job_query::Kind::Pulses(v1::ListPulses {});
    let job_reply::Kind::Pulses(list) = session.client.job_query(WHAT, query).await? else {
        return Err(unexpected("scheduler"));
    };
    let defined =
        |number: u32| list.pulses.iter().any(|record| record.pulse.is_some_and(|pulse| pulse.number == number));
    let free = (0..=255).rev().find(|number| !defined(*number));
    free.ok_or_else(|| {
        Failure::Usage(format!("{WHAT}: all 256 pulses are defined; clear one with `muster pulse clear N`"))
    })
}

fn holding(number: u32, now: i64) -> v1::Pulse {
    let nanoseconds = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (block_ns, free_ns) = (nanoseconds(HOLD_BLOCK), nanoseconds(HOLD_FREE));
    // A block began a second ago: who hears of it late finds it in force.
    let begun = u64::try_from(now.saturating_sub(1_000_000_000)).unwrap_or(0);
    let place = begun % (block_ns + free_ns);
    v1::Pulse { number, block_ns, free_ns, phase_ns: place.min(block_ns) }
}

async fn set_pulses(session: &Session, job: u32, numbers: Vec<u32>) -> Result<(), Failure> {
    let change = v1::ChangeJob { job, pulses: Some(v1::PulseNumbers { numbers }), parameters: Vec::new() };
    session.client.job_command(WHAT, job_command::Kind::ChangeJob(change)).await.map(drop)
}

/// The steps that were taken, and the first trouble.
async fn climb(
    session: &Session,
    arguments: &PulseLadderArguments,
    rungs: &[Rung],
    hold: u32,
) -> Result<(Table, Option<String>), Failure> {
    for rung in rungs {
        let held = rung.pulses.iter().copied().chain([hold]).collect();
        set_pulses(session, rung.job, held).await?;
    }
    let mut table = Table::new(["step", "freed", "module", "in", "trouble"].map(Column::new).into());
    for (place, rung) in rungs.iter().enumerate() {
        set_pulses(session, rung.job, rung.pulses.clone()).await?;
        let inside: Vec<String> = rungs[..=place].iter().map(|rung| rung.job.to_string()).collect();
        eprintln!("muster: job {} ({}) is free, step {} of {}", rung.job, rung.module, place + 1, rungs.len());
        let begun = Instant::now();
        let trouble = watch(session, rungs, arguments.step).await?;
        table.push(vec![
            Cell::Integer(place as u64 + 1),
            Cell::Integer(rung.job.into()),
            Cell::text(&rung.module),
            Cell::List(inside.clone()),
            trouble.as_ref().map_or(Cell::None, Cell::text),
        ]);
        if let Some(trouble) = trouble {
            let (after, inside) = (short(begun.elapsed()), inside.join(", "));
            return Ok((
                table,
                Some(format!(
                    "first trouble {after} after job {} was freed: {trouble}; jobs {inside} were in",
                    rung.job
                )),
            ));
        }
    }
    Ok((table, None))
}

/// Looks at the jobs for so long, or until one has trouble that it did not have before.
async fn watch(session: &Session, rungs: &[Rung], step: Duration) -> Result<Option<String>, Failure> {
    let begun = Instant::now();
    let before: BTreeMap<u32, &Option<String>> = rungs.iter().map(|rung| (rung.job, &rung.trouble)).collect();
    while begun.elapsed() < step {
        for (job, before) in &before {
            let now = jobs::failed(&look(session, *job).await?);
            if let Some(trouble) = now.filter(|now| before.as_ref() != Some(now)) {
                return Ok(Some(format!("job {job}: {trouble}")));
            }
        }
        tokio::time::sleep(POLL_INTERVAL.min(step.saturating_sub(begun.elapsed()))).await;
    }
    Ok(None)
}

/// Every job has the pulses that it came with, as far as it still runs; the pulse that held is gone.
async fn restore(session: &Session, rungs: &[Rung], hold: u32) -> Result<(), Failure> {
    for rung in rungs {
        match set_pulses(session, rung.job, rung.pulses.clone()).await {
            // One that has ended needs none.
            Ok(()) | Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    let clear = v1::ClearPulses { numbers: vec![hold], all: false };
    session.client.job_command(WHAT, job_command::Kind::ClearPulses(clear)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use muster_model::{PoolTime, Pulse};

    use super::*;

    #[test]
    fn the_pulse_that_holds_blocks_from_now_on_for_nearly_a_day() {
        for now in [1_790_000_000_123_456_789, 1_790_000_000_000_000_000 / 86_400_001_000_000 * 86_400_001_000_000] {
            let wire = holding(255, now);
            let [block, free, phase] = [wire.block_ns, wire.free_ns, wire.phase_ns].map(Duration::from_nanos);
            let pulse = Pulse::new(block, free, phase).expect("a good pulse");
            let now = PoolTime(now);
            assert!(pulse.blocks(now) && pulse.next_edge(now).since(now) > Duration::from_secs(23 * 3_600));
        }
    }
}
