//! Invariant I6: kill -9 of any part under load ends no test, starts none twice, and loses no sample.

use std::time::Duration;

use muster_e2e::{SETTLE_LIMIT, lab, number, start, states, stream, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;

/// Machines of the lab.
const MACHINES: u32 = 4;

/// A job under which everything is killed.
struct Load {
    module: &'static str,
    processes: usize,
    parameters: &'static [&'static str],
}

/// What runs meanwhile: small files at a low rate, so that two cores have room for the restarts.
const LOADS: [Load; 2] = [
    Load { module: "high-io", processes: 300, parameters: &["file_size=64KiB", "block_size=4KiB", "iops_max=4"] },
    Load { module: "tcp", processes: 100, parameters: &["packet_size=4KiB", "rate_max=8KiB"] },
];

/// Parts that are killed, one after another.
const PARTS: [&str; 8] = [
    "scheduler-a",
    "machine-lifecycle-a",
    "reservation-a",
    "telemetry-logger-a",
    "report-a",
    "node-1",
    "nats-server",
    "postgres",
];

fn kill_and_restart(lab: &mut Lab, part: &str) -> anyhow::Result<()> {
    match part {
        "nats-server" => {
            lab.nats.kill9();
            lab.nats.restart()
        }
        "postgres" => {
            lab.postgres.kill9();
            lab.postgres.restart()
        }
        agent if agent.starts_with("node-") => lab.agent(agent)?.restart(),
        service => lab.service(service)?.restart(),
    }
}

/// Everything answers again, every process runs, and every machine is up.
fn settled(lab: &Lab, jobs: &[(u64, usize)]) -> bool {
    let up = lab.muster_json(&["machine", "list"]).unwrap_or_default();
    let up = up.as_array().map_or(0, |rows| rows.iter().filter(|row| row["health"] == "up").count());
    up == MACHINES as usize
        && jobs.iter().all(|(job, count)| states(lab, *job).is_ok_and(|found| found.get("running") == Some(count)))
        && lab.muster(&["report", "summary"]).is_ok_and(|output| output.status.success())
        && lab.muster(&["admin", "status"]).is_ok_and(|output| output.status.success())
}

fn start_load(lab: &Lab, load: &Load) -> (u64, usize) {
    let count = u32::try_from(load.processes).expect("a small number");
    let parameters: Vec<&str> = load.parameters.iter().flat_map(|parameter| ["--param", parameter]).collect();
    let job = start(lab, load.module, count, &parameters).expect("the job starts");
    (job, load.processes)
}

#[test]
fn kills_of_every_part_under_400_processes_end_no_test_and_lose_no_sample() {
    let rounds: usize = std::env::var("MUSTER_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (mut lab, _scratch) = lab(MACHINES, 1).expect("the lab comes up");
    let jobs: Vec<(u64, usize)> = LOADS.iter().map(|load| start_load(&lab, load)).collect();
    let all: usize = LOADS.iter().map(|load| load.processes).sum();
    let before = test_processes(&lab);
    assert_eq!(before.len(), all, "each process is really there");
    assert!(before.values().all(|found| found.len() == 1), "and once");
    for _ in 0..rounds {
        for part in PARTS {
            kill_and_restart(&mut lab, part).unwrap_or_else(|error| panic!("{part} restarts: {error:?}"));
            wait_until("the lab settles", SETTLE_LIMIT, || settled(&lab, &jobs)).unwrap_or_else(|error| {
                let found: Vec<_> = jobs.iter().map(|(job, _)| states(&lab, *job)).collect();
                panic!("after kill -9 of {part}: {error}: {found:?}\n{}", lab.tails())
            });
            assert_eq!(test_processes(&lab), before, "after kill -9 of {part}: the same processes run");
        }
    }
    for (job, count) in &jobs {
        lab.muster_ok(&["stop", &job.to_string(), "--wait", "--timeout", "90s"]).expect("the job stops");
        wait_state(&lab, *job, "finished", *count).expect("all finish");
    }
    wait_until("the test processes are gone", SETTLE_LIMIT, || test_processes(&lab).is_empty()).expect("none is left");
    report_is_complete(&lab, all as u64);
    lab.down().expect("nothing is left running");
}

/// The store holds what the streams hold: every sample once, a final report of every process, and what those verified.
fn report_is_complete(lab: &Lab, processes: u64) {
    let acknowledged = || stream::acknowledged(lab).expect("the streams are read");
    let stored = || {
        let summary = lab.muster_json(&["report", "summary"]).unwrap_or_default();
        let sum = |name: &str| {
            summary.as_array().map_or(0, |rows| rows.iter().filter_map(|row| number(row, name).ok()).sum())
        };
        (sum("samples"), sum("final_reports"), sum("verified_bytes"))
    };
    let complete = || {
        let (samples, finals, _) = stored();
        finals == processes && (samples, finals) == acknowledged()
    };
    wait_until("the store equals the streams", Duration::from_secs(60), complete)
        .unwrap_or_else(|error| panic!("{error}: stored {:?}, acknowledged {:?}", stored(), acknowledged()));
    let said = stream::total(lab, "verified_bytes").expect("the streams are read");
    assert!(said > 0.0, "something was verified");
    assert_eq!(stored().2 as f64, said, "the report says what the final reports say");
}
