//! Passes over all reservations, in the core alone: how long one takes where nothing can be granted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use muster_ledger::{At, Core, Now};
use muster_model::{Epoch, Flag, MachineId, PoolTime, Position, Term};
use muster_reservation::core::{Command, Event, Input, News, ReservationCore, Reserve, State};

use crate::bench::{Row, Target};

const TIME: PoolTime = PoolTime(1_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);
/// Passes of which the longest counts.
const PASSES: u32 = 20;

pub(super) fn measure() -> anyhow::Result<Vec<Row>> {
    let waiting = stuck(1_000)?.pass()?;
    let idle = held(10_000)?.pass()?;
    let row = |name: &str, taken: Duration, most: f64| Row {
        target: Some(Target::AtMost(most)),
        ..Row::bare(name, taken.as_secs_f64() * 1e3, "ms")
    };
    Ok(vec![
        row("full pass, 1,000 free machines, 1,000 waiting that must not delay the first", waiting, 100.0),
        row("idle pass, 10,000 machines held, nobody waits", idle, 10.0),
    ])
}

/// All machines but one are free, the first in line wants all of them, and nobody behind it would be done before.
fn stuck(machines: u32) -> anyhow::Result<Pool> {
    let mut pool = Pool::of(machines)?;
    pool.reserve("node-00000", 1, HOUR)?;
    pool.reserve("", machines, HOUR)?;
    for number in 1..machines {
        pool.reserve(["", "cpus>=4", "not tag=rack7", "arch=x86_64"][number as usize % 4], 1, HOUR * 24)?;
    }
    Ok(pool)
}

/// Every machine is held.
fn held(machines: u32) -> anyhow::Result<Pool> {
    let mut pool = Pool::of(machines)?;
    for number in 0..machines {
        let name = format!("node-{number:05}");
        pool.reserve(&name, 1, HOUR)?;
        let id = pool.state.last();
        let machine = MachineId::new(&name)?;
        for news in
            [News::Draining(Some(id)), News::EpochRaised { epoch: Epoch(1), holder: Some(id) }, News::Fenced(Epoch(1))]
        {
            pool.decide(&Input::Machine { machine: machine.clone(), news })?;
        }
    }
    Ok(pool)
}

struct Pool {
    state: State,
    position: Position,
}

impl Pool {
    fn of(machines: u32) -> anyhow::Result<Self> {
        let mut pool = Self { state: State::default(), position: Position::new(1, 1) };
        for number in 0..machines {
            let machine = MachineId::new(&format!("node-{number:05}")).context("name a machine")?;
            let attributes = [("cpus", "8"), ("arch", "x86_64")].map(|(key, value)| (key.to_owned(), value.to_owned()));
            for news in [
                News::Added { tags: [format!("rack{}", number % 40)].into() },
                News::Flag(Flag::Active, true),
                News::Attributes(BTreeMap::from(attributes)),
                News::Phase { ready: true, offline: false },
            ] {
                pool.decide(&Input::Machine { machine: machine.clone(), news })?;
            }
        }
        Ok(pool)
    }

    fn reserve(&mut self, selector: &str, count: u32, duration: Duration) -> anyhow::Result<()> {
        let reserve = Reserve { selector: selector.into(), count, duration, ..Reserve::default() };
        self.decide(&Input::Command { user: "user:bench".into(), command: Box::new(Command::Reserve(reserve)) })
            .map(drop)
    }

    fn decide(&mut self, input: &Input) -> anyhow::Result<Vec<Event>> {
        let now = Now { time: TIME, position: self.position, term: Term(1) };
        let decision = ReservationCore::decide(&self.state, &(), input, now);
        let events = decision.map_err(|refusal| anyhow::anyhow!("{refusal}"))?.events;
        self.position.sequence.0 += 1;
        let at = At { position: self.position, time: TIME, actor: "" };
        events.iter().for_each(|event| ReservationCore::apply(&mut self.state, event, &at));
        Ok(events)
    }

    /// The longest of some passes, none of which decides anything.
    fn pass(&mut self) -> anyhow::Result<Duration> {
        let mut longest = Duration::ZERO;
        for _ in 0..PASSES {
            let begun = Instant::now();
            let events = self.decide(&Input::Tick)?;
            longest = longest.max(begun.elapsed());
            ensure!(events.is_empty(), "something was decided: {:?}", events.first());
        }
        Ok(longest)
    }
}
