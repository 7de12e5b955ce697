//! `cargo xtask bench place`: how long a start takes to decide, and how well it is balanced, against looking at every machine for every
//! process and against a bare heap. One thread; the machines have constraints: some disks are protected, some machines are held by
//! another reservation, silent, or left out by the selector.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use muster_model::ResourceKind::{Cpu, Disk};
use muster_scheduler::core::event::Event;
use muster_scheduler::core::module::Requirement;
use muster_scheduler::core::placement::{loads::Loads, spread};

use super::pool::{Constraint, Pool, constraint, load_of, module, start};
use super::{Row, Target};

/// A scan of every machine for every process ends in time below this many looks.
const SCAN_LOOKS_MAX: u64 = 400_000_000;

/// One case.
struct Case {
    machines: u32,
    disks: u32,
    /// Processes of each job.
    jobs: &'static [u32],
    module: &'static str,
    resources: &'static str,
    target_ms: Option<f64>,
}

const CASES: [Case; 8] = [
    Case { machines: 60, disks: 2, jobs: &[3_000], module: "one", resources: "", target_ms: None },
    Case { machines: 10_000, disks: 2, jobs: &[3_000], module: "one", resources: "", target_ms: Some(1.0) },
    Case {
        machines: 10_000,
        disks: 2,
        jobs: &[3_000],
        module: "one",
        resources: "kind=disk and size>=1GiB",
        target_ms: None,
    },
    Case { machines: 10_000, disks: 2, jobs: &[30_000], module: "one", resources: "", target_ms: None },
    Case { machines: 50_000, disks: 2, jobs: &[50_000, 50_000], module: "one", resources: "", target_ms: Some(10.0) },
    Case { machines: 10_000, disks: 2, jobs: &[3_000], module: "gang", resources: "", target_ms: None },
    Case { machines: 10_000, disks: 2, jobs: &[30_000], module: "two", resources: "", target_ms: None },
    Case { machines: 60, disks: 640, jobs: &[3_000], module: "one", resources: "", target_ms: Some(1.0) },
];

pub(super) fn run() -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for case in &CASES {
        rows.extend(measure(case)?);
    }
    Ok(rows)
}

fn measure(case: &Case) -> anyhow::Result<Vec<Row>> {
    let modules =
        [module("one", &[Disk], &[])?, module("two", &[Disk, Cpu], &[])?, module("gang", &[Disk], &["a", "b"])?];
    let mut pool = Pool::new(case.machines, case.disks, &modules)?;
    let (mut decided, mut folded, mut balance) = (Duration::ZERO, Duration::ZERO, 0.0);
    for processes in case.jobs {
        let wanted = start(case.module, *processes, case.resources);
        let (events, started, taken) = pool.start(&wanted)?;
        check(&events, *processes)?;
        balance = started.balance_milli as f64 / 1000.0;
        decided += taken;
        folded += pool.take(&events);
    }
    let requirements =
        &modules.iter().find(|module| module.name.as_str() == case.module).unwrap_or(&modules[0]).requirements;
    let apart = if case.module == "gang" { 2 } else { 1 };
    let total: u32 = case.jobs.iter().sum();
    let loads = machine_loads(case, requirements);
    let (pure, pure_balance) = pure(&loads, apart, total);
    let heap = bare_heap(&loads, total);
    let scan = (loads.len() as u64 * u64::from(total) <= SCAN_LOOKS_MAX).then(|| scan(&loads, apart, total));
    let name = format!("{} machines of {} disks, {total} processes{}", case.machines, case.disks, described(case));
    let row = |what: &str, value: f64, unit| Row {
        name: format!("{what}: {name}"),
        value,
        unit,
        reference: None,
        reference_name: "",
        target: None,
    };
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let scan_time = scan.as_ref().map(|(taken, _)| milliseconds(*taken));
    let mut rows = vec![
        Row {
            reference: scan_time,
            reference_name: "scan of all",
            target: case.target_ms.map(Target::AtMost),
            ..row("decide", milliseconds(decided), "ms")
        },
        Row {
            reference: Some(milliseconds(heap)),
            reference_name: "bare heap",
            ..row("spread alone", milliseconds(pure), "ms")
        },
        row("fold", milliseconds(folded), "ms"),
    ];
    let of_scan = scan.map(|(_, balance)| balance);
    rows.push(Row {
        reference: Some(of_scan.unwrap_or(pure_balance)),
        reference_name: if of_scan.is_some() { "scan of all" } else { "spread alone" },
        target: of_scan.map(Target::AtMost),
        ..row("balance", balance, "of the mean")
    });
    Ok(rows)
}

fn described(case: &Case) -> String {
    let jobs = if case.jobs.len() > 1 { format!(" in {} jobs", case.jobs.len()) } else { String::new() };
    let kind = match case.module {
        "gang" => ", gangs of two",
        "two" => ", disk and CPU",
        _ => "",
    };
    let resources = if case.resources.is_empty() { "" } else { ", resources selected" };
    format!("{jobs}{kind}{resources}")
}

/// What was decided is what was asked for, and nothing is where it must not be.
fn check(events: &[Event], processes: u32) -> anyhow::Result<()> {
    let Some(Event::JobStarted(started)) = events.first() else { anyhow::bail!("nothing was started") };
    let placed: u32 = started.placements.iter().map(|placement| placement.count).sum();
    anyhow::ensure!(placed == processes, "{placed} of {processes} were placed");
    for placement in started.placements.iter() {
        let number: u32 = placement.machine.as_str().trim_start_matches("node-").parse()?;
        let allowed = matches!(constraint(number), Constraint::None | Constraint::Protected);
        anyhow::ensure!(allowed, "{} may not be used", placement.machine);
        let shielded = constraint(number) == Constraint::Protected
            && placement.resources.iter().any(|id| id.as_str() == "disk-0000");
        anyhow::ensure!(!shielded, "a protected disk of {} is used", placement.machine);
    }
    Ok(())
}

/// Use and capacity of each machine that may be used, by each kind that is needed, and what one process takes.
type MachineLoads = Vec<Vec<(u64, u64)>>;

fn machine_loads(case: &Case, requirements: &[Requirement]) -> MachineLoads {
    let usable =
        (0..case.machines).filter(|number| matches!(constraint(*number), Constraint::None | Constraint::Protected));
    let capacity = |number: u32, need: &Requirement| match need.kind {
        Disk => {
            let first = u32::from(constraint(number) == Constraint::Protected);
            (first..case.disks).map(|disk| u64::from(load_of(number, disk)) * 1000).sum()
        }
        _ => 4 * u64::from(need.kind.default_load()) * 1000,
    };
    usable.map(|number| requirements.iter().map(|need| (0, capacity(number, need))).collect()).collect()
}

fn key(loads: &[(u64, u64)], more: u64) -> u64 {
    loads.iter().map(|(used, capacity)| ((used + more) << 20) / capacity).max().unwrap_or(0)
}

fn balance(loads: &MachineLoads) -> f64 {
    let now: Vec<u64> = loads.iter().map(|machine| key(machine, 0)).collect();
    let (sum, greatest) = (now.iter().sum::<u64>() as f64, now.iter().max().copied().unwrap_or(0) as f64);
    // As the scheduler tells it: thousandths, cut off.
    if sum == 0.0 { 1.0 } else { (greatest * 1000.0 * now.len() as f64 / sum).floor() / 1000.0 }
}

/// Looks at every machine for every process, or every gang.
fn scan(loads: &MachineLoads, apart: usize, processes: u32) -> (Duration, f64) {
    let mut loads = loads.clone();
    let begun = Instant::now();
    for _ in 0..processes as usize / apart {
        let mut chosen: Vec<usize> = Vec::with_capacity(apart);
        for _ in 0..apart {
            let open = (0..loads.len()).filter(|machine| !chosen.contains(machine));
            let Some(least) = open.min_by_key(|machine| (key(&loads[*machine], 1000), *machine)) else { break };
            chosen.push(least);
        }
        chosen.iter().for_each(|machine| loads[*machine].iter_mut().for_each(|need| need.0 += 1000));
    }
    (begun.elapsed(), balance(&loads))
}

/// A heap and nothing else: no constraints, no resources, no result but counts.
fn bare_heap(loads: &MachineLoads, processes: u32) -> Duration {
    let mut loads = loads.clone();
    let mut counts = vec![0_u32; loads.len()];
    let begun = Instant::now();
    let mut heap: BinaryHeap<_> =
        (0..loads.len()).map(|machine| Reverse((key(&loads[machine], 1000), machine))).collect();
    for _ in 0..processes {
        let Some(mut least) = heap.peek_mut() else { break };
        let machine = least.0.1;
        counts[machine] += 1;
        loads[machine].iter_mut().for_each(|need| need.0 += 1000);
        least.0.0 = key(&loads[machine], 1000);
    }
    std::hint::black_box(&counts);
    begun.elapsed()
}

/// The scheduler's spreading, without finding machines before it and resources after it.
fn pure(machines: &MachineLoads, apart: usize, processes: u32) -> (Duration, f64) {
    let kinds: Vec<Requirement> = machines.first().map_or(0, Vec::len).checked_sub(1).map_or(Vec::new(), |last| {
        let need = |kind| Requirement { kind, count: 1, weight_milli: 1000 };
        [Disk, Cpu][..=last].iter().map(|kind| need(*kind)).collect()
    });
    let total = |(used_milli, capacity_milli): &(u64, u64)| muster_scheduler::core::machine::Total {
        count: 1,
        used_milli: *used_milli,
        capacity_milli: *capacity_milli,
    };
    let mut loads = Loads::new(&kinds, machines.len());
    machines.iter().for_each(|machine| loads.push(machine.iter().map(total)));
    let begun = Instant::now();
    let members = spread(&mut loads, if apart > 1 { apart } else { 0 }, processes);
    let taken = begun.elapsed();
    std::hint::black_box(&members);
    (taken, loads.balance_milli() as f64 / 1000.0)
}
