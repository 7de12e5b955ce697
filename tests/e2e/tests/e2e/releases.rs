//! A pool in which machines are of three releases: the one before, this one, and the one after. Nobody who uses it sees a difference.

use std::collections::BTreeMap;

use muster_e2e::relay::Relay;
use muster_e2e::release::Release;
use muster_e2e::{SETTLE_LIMIT, number, options, start, stream, test_processes, wait_state};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use tokio::runtime::Runtime;

/// Two processes on each of the three machines.
const PROCESSES: u32 = 6;

/// A lab whose first machine is of the release before, and whose second is of the one after.
fn mixed(runtime: &Runtime) -> (Lab, Vec<Relay>, tempfile::TempDir) {
    let (options, scratch) = options(3, 1).expect("a folder is made");
    let mut lab = Lab::servers(options, &|_| ()).expect("the servers come up");
    let target = lab.nats.address();
    let releases = [("node-1", Release::before()), ("node-2", Release::After)];
    let relays = releases.map(|(machine, release)| {
        let relay = runtime.block_on(Relay::start(target, release)).expect("the relay starts");
        lab.reach_by(machine, &relay.url());
        relay
    });
    lab.fill(&|_| ()).expect("agents of every release come up, and all else");
    (lab, relays.into(), scratch)
}

/// How many processes of the job run on each machine.
fn by_machine(lab: &Lab, job: u64) -> BTreeMap<String, usize> {
    let rows = lab.muster_json(&["ps", "--job", &job.to_string()]).unwrap_or_default();
    let running = rows.as_array().into_iter().flatten().filter(|row| row["state"] == "running");
    let mut found = BTreeMap::new();
    for row in running {
        *found.entry(row["machine"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    found
}

/// How many machines nobody has.
fn in_pool(lab: &Lab) -> usize {
    let rows = lab.muster_json(&["machine", "list"]).unwrap_or_default();
    rows.as_array().into_iter().flatten().filter(|row| row["tenure"] == "pool").count()
}

#[test]
fn agents_of_the_release_before_and_after_work_with_the_services() {
    let runtime = Runtime::new().expect("a runtime starts");
    let (mut lab, relays, _scratch) = mixed(&runtime);
    let job = start(&lab, "high-io", PROCESSES, &["--param", "file_size=1MiB"]).expect("the job starts");
    let spread: BTreeMap<_, _> = ["node-1", "node-2", "node-3"].map(|machine| (machine.to_owned(), 2)).into();
    assert_eq!(by_machine(&lab, job), spread);

    // What runs is adopted, whichever release its agent is of.
    for machine in ["node-1", "node-2"] {
        let agent = lab.agent(machine).expect("it is a part");
        agent.kill9();
        agent.restart().expect("it starts again");
    }
    wait_until("all run as before", SETTLE_LIMIT, || by_machine(&lab, job) == spread)
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", by_machine(&lab, job), lab.tails()));
    assert_eq!(test_processes(&lab).len(), PROCESSES as usize, "nothing was started twice");

    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("the job stops");
    wait_state(&lab, job, "finished", PROCESSES as usize).expect("all finish");
    let counts = || stream::acknowledged(&lab).expect("the streams are read");
    wait_until("the store has every acknowledged sample", SETTLE_LIMIT, || {
        let summary = lab.muster_json(&["report", "summary"]).unwrap_or_default();
        let (samples, finals) = counts();
        finals == u64::from(PROCESSES) && number(&summary, "samples").is_ok_and(|stored| stored == samples)
    })
    .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", counts(), lab.muster_json(&["report", "summary"])));

    // Epoch, fence and hand-over pass through hellos, heartbeats and orders.
    for machine in ["node-1", "node-2"] {
        lab.muster_ok(&["reserve", machine, "--for", "1h", "--wait", "--timeout", "60s"]).expect("it is handed over");
    }
    for reservation in ["1", "2"] {
        lab.muster_ok(&["checkin", reservation]).expect("it is given back");
    }
    wait_until("all machines are the pool's", SETTLE_LIMIT, || in_pool(&lab) == 3)
        .unwrap_or_else(|error| panic!("{error}\n{}", lab.tails()));
    let again = start(&lab, "idle", PROCESSES, &[]).expect("the pool uses them again");
    assert_eq!(by_machine(&lab, again), spread);
    lab.muster_ok(&["stop", &again.to_string(), "--wait"]).expect("the job stops");
    for relay in &relays {
        assert!(relay.changed() > 0, "it said what the other release says");
    }
    lab.down().expect("nothing is left running");
}
