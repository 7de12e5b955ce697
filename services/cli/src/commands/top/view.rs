//! A moment as text. Pure.

use std::time::Duration;

use super::gather::{JobLine, MachineLine, Snapshot, StalledLine};
use crate::output::{Cell, Column, Format, Layout, Table};
use crate::times::{Viewer, size};

/// Lines that each of the lower parts has at least, where it has so many.
const PART_MIN: usize = 3;
/// Machines that are shown where there is room for everything.
const MACHINES_MAX: usize = 10;
/// Stalled processes that are shown where there is room for everything.
const STALLED_MAX: usize = 10;

/// The view in at most `rows` lines.
pub(super) fn text(snapshot: &Snapshot, rows: usize) -> String {
    let mut text = pool_lines(snapshot);
    let used = text.lines().count();
    // Each part has a blank line and a header.
    let stalled = snapshot.stalled.len().min(STALLED_MAX);
    let machines = snapshot.machines.len().min(MACHINES_MAX);
    let left = rows.saturating_sub(used + 2 + if stalled > 0 { 2 } else { 0 } + 2);
    let for_jobs = snapshot.jobs.len().min(left.saturating_sub(stalled.min(PART_MIN) + machines.min(PART_MIN)));
    let for_stalled = stalled.min(left.saturating_sub(for_jobs + machines.min(PART_MIN)));
    let for_machines = machines.min(left.saturating_sub(for_jobs + for_stalled));
    text.push('\n');
    text.push_str(&laid_out(&jobs(&snapshot.jobs[..for_jobs])));
    if for_jobs < snapshot.jobs.len() {
        text.truncate(text.trim_end().len());
        text.push_str(&format!("   (and {} more jobs)\n", snapshot.jobs.len() - for_jobs));
    }
    if for_stalled > 0 {
        text.push('\n');
        text.push_str(&laid_out(&stalled_table(&snapshot.stalled[..for_stalled])));
    }
    text.push('\n');
    text.push_str(&laid_out(&machines_table(&snapshot.machines[..for_machines])));
    text
}

fn pool_lines(snapshot: &Snapshot) -> String {
    let pool = &snapshot.pool;
    let counts = |counts: &std::collections::BTreeMap<&'static str, u32>, order: &[&'static str]| {
        let told = order.iter().filter_map(|name| counts.get(name).filter(|n| **n > 0).map(|n| format!("{n} {name}")));
        let told: Vec<String> = told.collect();
        if told.is_empty() { "none".to_owned() } else { told.join(", ") }
    };
    let states: Vec<&'static str> = muster_model::ProcessState::ALL.into_iter().map(|state| state.as_str()).collect();
    let leaders =
        pool.leaders.iter().map(|leader| format!("{} {} (term {})", leader.service, leader.instance, leader.term));
    let leaders: Vec<String> = leaders.collect();
    let mut lines = vec![
        format!("run {}   pool time {}", pool.run, pool.time.as_deref().unwrap_or("-")),
        format!("machines   {}", counts(&pool.machines, &["up", "silent", "down", "unknown"])),
        format!(
            "processes  {}   {}   {}",
            counts(&pool.processes, &states),
            rate(pool.iterations_per_second),
            throughput(pool.bytes_per_second)
        ),
        format!("leaders    {}", if leaders.is_empty() { "none".into() } else { leaders.join(", ") }),
    ];
    if !snapshot.silent.is_empty() {
        lines.push(format!("no answer  {}", snapshot.silent.join(", ")));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn rate(per_second: Option<f64>) -> String {
    per_second.map_or_else(|| "- iterations/s".into(), |rate| format!("{rate:.0} iterations/s"))
}

fn throughput(per_second: Option<f64>) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate of bytes is positive and small"
    )]
    per_second.map_or_else(|| "- B/s".into(), |rate| format!("{}/s", size(rate.max(0.0) as u64)))
}

fn laid_out(table: &Table) -> String {
    let viewer = Viewer::here(muster_model::PoolTime::NEVER);
    Layout { format: Format::Table, viewer }.render(table).unwrap_or_default()
}

fn whole(per_second: Option<f64>) -> Cell {
    per_second.map_or(Cell::None, |rate| Cell::Number(rate.round()))
}

fn jobs(lines: &[JobLine]) -> Table {
    let mut columns: Vec<Column> = ["job", "module", "processes", "states"].map(Column::new).into();
    columns.push(Column::if_told("stalled"));
    columns.extend(["age_seconds", "iterations/s", "throughput"].map(Column::new));
    let mut table = Table::new(columns);
    for line in lines {
        table.push(vec![
            Cell::Integer(line.job.into()),
            Cell::text(&line.module),
            Cell::Integer(line.processes.into()),
            Cell::text(&line.states),
            if line.stalled == 0 { Cell::None } else { Cell::Integer(line.stalled.into()) },
            Cell::Span(Duration::from_secs_f64(line.seconds.max(0.0))),
            whole(line.iterations_per_second),
            line.bytes_per_second.map_or(Cell::None, |_| Cell::text(throughput(line.bytes_per_second))),
        ]);
    }
    table
}

fn machines_table(lines: &[MachineLine]) -> Table {
    let names = ["busiest machines", "health", "processes", "iterations/s"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    for line in lines {
        table.push(vec![
            Cell::text(&line.machine),
            Cell::text(line.health),
            Cell::Integer(line.processes.into()),
            whole(line.iterations_per_second),
        ]);
    }
    table
}

fn stalled_table(lines: &[StalledLine]) -> Table {
    let names = ["stalled processes", "module", "machine", "unchanged_seconds"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    for line in lines {
        table.push(vec![
            Cell::text(&line.dpid),
            Cell::text(&line.module),
            Cell::text(&line.machine),
            Cell::Span(Duration::from_secs_f64(line.unchanged_seconds)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::gather::{Leader, Pool};
    use super::*;

    fn snapshot() -> Snapshot {
        let job = |job: u32| JobLine {
            job,
            module: "high-io".into(),
            processes: 50,
            states: "48 running, 2 mia".into(),
            stalled: if job == 1 { 1 } else { 0 },
            seconds: 61.0,
            iterations_per_second: Some(1234.5),
            bytes_per_second: (job == 1).then_some(2_097_152.0),
        };
        let machine = |n: u32| MachineLine {
            machine: format!("node-{n}"),
            health: "up",
            processes: 20 - n,
            iterations_per_second: Some(100.0),
        };
        let stalled = StalledLine {
            dpid: "00010007".into(),
            module: "high-io".into(),
            machine: "node-2".into(),
            unchanged_seconds: 61.5,
        };
        Snapshot {
            pool: Pool {
                run: 1,
                time: Some("2026-11-20T12:00:00Z".into()),
                machines: BTreeMap::from([("up", 11), ("silent", 1)]),
                processes: BTreeMap::from([("running", 96), ("mia", 4), ("dead", 0)]),
                iterations_per_second: Some(2469.0),
                bytes_per_second: None,
                leaders: vec![Leader { service: "scheduler", instance: "a".into(), term: 3 }],
            },
            jobs: (1..=8).map(job).collect(),
            machines: (1..=12).map(machine).collect(),
            stalled: vec![stalled],
            silent: vec!["report"],
        }
    }

    #[test]
    fn a_moment_as_people_see_it() {
        insta::assert_snapshot!(text(&snapshot(), usize::MAX));
    }

    #[test]
    fn a_small_terminal_has_something_of_every_part() {
        for rows in [16, 20, 24, 40] {
            let text = text(&snapshot(), rows);
            assert!(text.lines().count() <= rows, "{rows} rows:\n{text}");
            for part in ["processes  96 running", "high-io", "stalled processes", "busiest machines"] {
                assert!(text.contains(part), "{part} in {rows} rows:\n{text}");
            }
        }
    }
}
