//! CPU time, as /proc says it: of this process, of some processes, and of everything that belongs to a lab, part by part.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;

/// Unit of CPU times in /proc: USER_HZ, which is 100 on every architecture that we run on.
const TICK: Duration = Duration::from_millis(10);

/// How the names of test processes begin; each is one thread.
const PROCESS: &str = "trivial:";

/// CPU time by part.
#[derive(Debug, Clone, Default)]
pub(in crate::bench) struct Cost(pub(in crate::bench) BTreeMap<String, Duration>);

impl Cost {
    /// All parts together.
    pub(in crate::bench) fn total(&self) -> Duration {
        self.0.values().sum()
    }

    /// What was spent since `earlier`.
    pub(in crate::bench) fn since(&self, earlier: &Self) -> Self {
        let before = |name: &String| earlier.0.get(name).copied().unwrap_or_default();
        Self(self.0.iter().map(|(name, spent)| (name.clone(), spent.saturating_sub(before(name)))).collect())
    }
}

/// What one process and the children that it has waited for have spent.
struct Spent {
    name: String,
    parent: u32,
    own: u32,
    reaped: u32,
}

/// CPU time of this process and of the children that it has waited for.
pub(in crate::bench) fn own() -> anyhow::Result<Duration> {
    let spent = stat("self").context("read the own CPU time")?;
    Ok(TICK * (spent.own + spent.reaped))
}

/// CPU time of processes that live, of one thread each.
pub(super) fn of(pids: impl Iterator<Item = u32>) -> Duration {
    pids.filter_map(of_thread).sum()
}

/// To the nanosecond: what one of thousands has spent is less than a tick, and would be nothing. None when it is gone.
fn of_thread(pid: u32) -> Option<Duration> {
    let schedule = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    schedule.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// CPU time of all processes that descend from `roots`, living ones and those that were waited for.
pub(in crate::bench) fn below(roots: &[u32]) -> Cost {
    let all = all();
    let belongs = |pid: u32| {
        let ancestors = std::iter::successors(Some(pid), |pid| all.get(pid).map(|spent| spent.parent));
        ancestors.take_while(|pid| *pid > 1).any(|pid| roots.contains(&pid))
    };
    let mut cost = Cost::default();
    for (pid, spent) in &all {
        if belongs(*pid) {
            let own = if spent.name.starts_with(PROCESS) { of_thread(*pid) } else { None };
            *cost.0.entry(part(&spent.name)).or_default() += own.unwrap_or(TICK * spent.own);
            let reaper = if spent.name.starts_with("muster-keeper") { "processes" } else { &part(&spent.name) };
            *cost.0.entry(reaper.to_owned()).or_default() += TICK * spent.reaped;
        }
    }
    cost
}

/// Living processes below `roots` whose name begins like this.
pub(in crate::bench) fn named(roots: &[u32], prefix: &str) -> Vec<u32> {
    let all = all();
    let belongs = |spent: &Spent| {
        let keeper = all.get(&spent.parent);
        keeper.is_some_and(|keeper| roots.contains(&keeper.parent) || roots.contains(&spent.parent))
    };
    let named = all.iter().filter(|(_, spent)| spent.name.starts_with(prefix) && belongs(spent));
    named.map(|(pid, _)| *pid).collect()
}

/// The part of a lab that a process is, by its name.
pub(in crate::bench) fn part(name: &str) -> String {
    let known = [
        (PROCESS, "processes"),
        ("muster-agent", "agents"),
        ("muster-keeper", "keepers"),
        ("muster-schedule", "scheduler"),
        ("muster-telemetr", "telemetry-logger"),
        ("muster-machine-", "machine-lifecycle"),
        ("muster-reservat", "reservation"),
        ("muster-report", "report"),
        ("muster-simulate", "simulated machines"),
        ("nats-server", "nats-server"),
        ("postgres", "PostgreSQL"),
    ];
    let found = known.iter().find(|(prefix, _)| name.starts_with(prefix));
    found.map_or("other services", |(_, part)| part).to_owned()
}

fn all() -> BTreeMap<u32, Spent> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, stat(&pid.to_string())?))).collect()
}

/// Fields 4 (parent), 14 to 17 (own and reaped CPU times) of a process's stat; none when it is gone.
fn stat(process: &str) -> Option<Spent> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (head, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |place: usize| fields.get(place - 3)?.parse::<u32>().ok();
    let name = head.split_once('(')?.1.to_owned();
    Some(Spent { name, parent: number(4)?, own: number(14)? + number(15)?, reaped: number(16)? + number(17)? })
}
