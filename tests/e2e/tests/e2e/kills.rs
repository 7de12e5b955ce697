//! Invariant I6: kill -9 of any part under a running job ends no test, starts none twice, and loses no sample.

use std::time::Duration;

use muster_e2e::{SETTLE_LIMIT, lab, number, start, states, stream, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;

/// Processes of the job under which everything is killed.
const PROCESSES: usize = 50;

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
fn settled(lab: &Lab, job: u64) -> bool {
    let up = lab.muster_json(&["machine", "list"]).unwrap_or_default();
    let up = up.as_array().map_or(0, |rows| rows.iter().filter(|row| row["health"] == "up").count());
    up == 2
        && states(lab, job).is_ok_and(|found| found.get("running") == Some(&PROCESSES))
        && lab.muster(&["report", "summary"]).is_ok_and(|output| output.status.success())
        && lab.muster(&["admin", "status"]).is_ok_and(|output| output.status.success())
}

#[test]
fn kills_of_every_part_end_no_test_and_lose_no_sample() {
    let rounds: usize = std::env::var("MUSTER_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (mut lab, _scratch) = lab(2, 1).expect("the lab comes up");
    let count = u32::try_from(PROCESSES).expect("a small number");
    let job = start(&lab, "idle", count, &["--param", "metrics=200ms"]).expect("the job starts");
    let before = test_processes(&lab);
    assert_eq!(before.len(), PROCESSES);
    for _ in 0..rounds {
        for part in PARTS {
            kill_and_restart(&mut lab, part).unwrap_or_else(|error| panic!("{part} restarts: {error:?}"));
            wait_until("the lab settles", SETTLE_LIMIT, || settled(&lab, job)).unwrap_or_else(|error| {
                panic!("after kill -9 of {part}: {error}: {:?}\n{}", states(&lab, job), lab.tails())
            });
            assert_eq!(test_processes(&lab), before, "after kill -9 of {part}: the same processes run");
        }
    }
    lab.muster_ok(&["stop", &job.to_string(), "--wait", "--timeout", "90s"]).expect("the job stops");
    wait_state(&lab, job, "finished", PROCESSES).expect("all finish");
    report_is_complete(&lab);
    lab.down().expect("nothing is left running");
}

/// The store holds what the streams hold: every sample once, and a final report of every process.
fn report_is_complete(lab: &Lab) {
    let acknowledged = || stream::acknowledged(lab).expect("the streams are read");
    let stored = || {
        let summary = lab.muster_json(&["report", "summary"]).unwrap_or_default();
        (number(&summary, "samples").unwrap_or(0), number(&summary, "final_reports").unwrap_or(0))
    };
    let complete = || {
        let counts = stored();
        counts.1 == PROCESSES as u64 && counts == acknowledged()
    };
    wait_until("the store equals the streams", Duration::from_secs(60), complete)
        .unwrap_or_else(|error| panic!("{error}: stored {:?}, acknowledged {:?}", stored(), acknowledged()));
}
