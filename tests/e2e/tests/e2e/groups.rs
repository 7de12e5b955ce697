//! Masters and clients: a test that takes machines as it needs them, and gives them all back however it ends.

use std::time::{Duration, Instant};

use muster_e2e::{SETTLE_LIMIT, job_number, options, test_processes};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Machines of the group are on their way back within this, however the master ends.
const BACK_WITHIN: Duration = Duration::from_secs(45);

fn lab() -> (Lab, tempfile::TempDir) {
    let (mut options, scratch) = options(3, 1).expect("a folder is made");
    options.simulated = 5;
    (Lab::up(options, &|_| ()).expect("the lab comes up"), scratch)
}

/// A test on a machine whose program is this script, with `muster` in `$M`.
fn master(lab: &Lab, machine: &str, script: &str) -> u64 {
    let arguments = format!("arguments=[\"-ec\", \"M={}\\n{script}\"]", lab.muster_program().display());
    let start = ["start", "command", "--on", machine, "--processes", "1", "--wait", "--timeout", "90s"];
    let arguments = [&start[..], &["--param", "program=/bin/sh", "--param", &arguments]].concat();
    job_number(&lab.muster_json(&arguments).expect("the job starts")).expect("it has a number")
}

fn rows(lab: &Lab, arguments: &[&str]) -> Vec<Value> {
    lab.muster_json(arguments).ok().and_then(|rows| rows.as_array().cloned()).unwrap_or_default()
}

fn clients(lab: &Lab) -> Vec<Value> {
    let all = rows(lab, &["reservation", "list"]);
    all.into_iter().filter(|row| row["master"].as_str().is_some_and(|master| master.starts_with("process"))).collect()
}

fn ready(lab: &Lab) -> usize {
    clients(lab).iter().filter(|row| row["state"] == "ready").count()
}

fn all_are_the_pools(lab: &Lab) -> bool {
    let machines = rows(lab, &["machine", "list"]);
    machines.iter().all(|row| row["tenure"] == "pool") && machines.len() == 8
}

fn pid_of(lab: &Lab, job: u64) -> Pid {
    let dpid = rows(lab, &["ps", "--job", &job.to_string()])[0]["dpid"].as_str().expect("a DPID").to_owned();
    Pid::from_raw(i32::try_from(test_processes(lab)[&dpid][0].0).expect("a pid")).expect("a pid")
}

/// Waits until no client is left and all of their machines are the pool's, within the limit.
fn all_go_back(lab: &Lab, begun: Instant, what: &str) {
    wait_until(what, SETTLE_LIMIT, || clients(lab).is_empty() && all_are_the_pools(lab))
        .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", clients(lab), rows(lab, &["machine", "list"])));
    let took = begun.elapsed();
    assert!(took < BACK_WITHIN, "{what}: it took {took:?}");
    eprintln!("{what}: {:.1} s", took.as_secs_f64());
}

const TAKES_TWO: &str = "$M client ask 'sim-*' --count 2\\n$M client wait --within 60s\\nexec sleep 600";

#[test]
fn a_load_test_begins_with_one_client_gangs_up_to_many_and_its_end_gives_all_back() {
    let (lab, _scratch) = lab();
    let script = "$M client ask sim-1\\n$M client wait --within 60s\\n$M client ask --count 2\\n\
        $M client wait --within 60s\\n$M client dismiss sim-1\\n$M client list --output json > clients.json\\n\
        test $(grep -c reservation clients.json) -ge 1\\nwhile ! test -e stop; do sleep 0.2; done";
    let job = master(&lab, "node-1", script);
    wait_until("two are left of three", SETTLE_LIMIT, || ready(&lab) == 2 && clients(&lab).len() == 2)
        .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", clients(&lab), lab.muster_ok(&["logs", "00010001"])));
    let ended = rows(&lab, &["reservation", "list", "--all"]);
    assert_eq!(ended.iter().filter(|row| row["end"] == "released").count(), 1, "one was dismissed: {ended:?}");
    // A person sees whose they are, and may take from them what is theirs.
    let of = clients(&lab)[0]["master"].as_str().expect("a master").to_owned();
    assert!(of.ends_with("00010001"), "{of}");
    let begun = Instant::now();
    lab.muster_ok(&["stop", &job.to_string(), "--wait"]).expect("it stops");
    all_go_back(&lab, begun, "the master ended");
    let ended = rows(&lab, &["reservation", "list", "--all"]);
    assert_eq!(ended.iter().filter(|row| row["end"] == "master ended").count(), 2, "{ended:?}");

    // Outside a test nobody is asked.
    let refused = lab.muster(&["client", "list"]).expect("it runs");
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("this is no test"));
    lab.down().expect("nothing is left running");
}

#[test]
fn a_killed_silent_or_switched_off_master_has_its_clients_on_their_way_back_in_time() {
    let (mut lab, _scratch) = lab();
    let up = Instant::now();
    let job = master(&lab, "node-1", TAKES_TWO);
    wait_until("both are ready", SETTLE_LIMIT, || ready(&lab) == 2).expect("they become ready");
    let begun = Instant::now();
    kill_process(pid_of(&lab, job), Signal::KILL).expect("it is killed");
    all_go_back(&lab, begun, "the master was killed");

    master(&lab, "node-1", TAKES_TWO);
    let off = master(&lab, "node-2", TAKES_TWO);
    wait_until("all are ready", SETTLE_LIMIT, || ready(&lab) == 4).expect("they become ready");
    // machine-lifecycle calls nobody down in its first 45 s.
    wait_until("machine-lifecycle judges", SETTLE_LIMIT, || up.elapsed() > Duration::from_secs(60))
        .expect("time passes");
    lab.service("scheduler-a").expect("it is a part").kill9();
    lab.service("scheduler-a").and_then(|service| service.restart()).expect("it starts again");
    let (test, begun) = (pid_of(&lab, off), Instant::now());
    // Partitioned: the agent is there, and nothing is heard of it. Switched off: agent and test are gone at once.
    lab.agent("node-1").expect("it is a part").signal(Signal::STOP).expect("it is stopped");
    lab.agent("node-2").expect("it is a part").kill9();
    kill_process(test, Signal::KILL).expect("it is killed");
    all_go_back(&lab, begun, "one master was cut off, and one switched off");
    lab.agent("node-1").expect("it is a part").signal(Signal::CONT).expect("it goes on");
    lab.agent("node-2").and_then(|agent| agent.restart()).expect("it starts again");
    wait_until("nothing of the lost masters is left", SETTLE_LIMIT, || test_processes(&lab).is_empty())
        .unwrap_or_else(|error| panic!("{error}: {:?}", test_processes(&lab)));
    lab.down().expect("nothing is left running");
}

/// A module like `idle`, each of whose processes gets clients.
fn add_gang(lab: &Lab) {
    let idle = std::fs::read_to_string(muster_testkit::tools::root().join("modules/idle/module.toml"));
    let wants = "reboots = true\nclients = \"clients\"\nclient_selector = \"sim-*\"\n";
    let manifest =
        idle.expect("it is read").replace("name = \"idle\"", "name = \"gang\"").replace("reboots = true\n", wants);
    let counts = "\n[[parameters]]\nname = \"clients\"\ntype = \"integer\"\ndefault = \"0\"\nhelp = \"clients\"\n";
    let folder = lab.directory().join("gang");
    std::fs::create_dir(&folder).expect("a folder is made");
    std::fs::write(folder.join("module.toml"), manifest + counts).expect("the manifest is written");
    let programs = lab.muster_program().parent().expect("a folder").display().to_string();
    let folder = folder.display().to_string();
    lab.muster_ok(&["module", "add", &folder, "--artifacts", &programs]).expect("it is added");
}

const GROUP: &str = r#"
[[step]]
name = "group"

[[step.task]]
name = "master"
module = "gang"
processes = 1
on = "node-1"
parameters = { clients = 2, errand_clients = 2, errand_stop = true }
"#;

#[test]
fn a_task_of_a_plan_gets_its_clients_and_its_errands_on_them_end_with_it() {
    let (lab, _scratch) = lab();
    add_gang(&lab);
    let file = lab.directory().join("group.toml");
    std::fs::write(&file, GROUP).expect("the plan is written");
    let started = lab.muster_json(&["plan", "start", &file.display().to_string()]).expect("it starts");
    let job = job_number(&started).expect("it has a number");
    // An errand on them takes them up, so they are ready or active.
    let ready = |row: &Value| row["ready"].as_array().map_or(0, Vec::len);
    wait_until("both clients are ready", SETTLE_LIMIT, || clients(&lab).iter().map(ready).sum::<usize>() == 2)
        .unwrap_or_else(|error| panic!("{error}: {:?} {:?}", clients(&lab), lab.muster_ok(&["why", &job.to_string()])));
    assert!(clients(&lab).iter().all(|row| row["master"] == "process 1/00010001"), "{:?}", clients(&lab));
    let on_clients = || rows(&lab, &["ps", "--all"]).into_iter().filter(|row| row["module"] == "idle");
    let are = |states: [&str; 2]| {
        let mut found: Vec<_> = on_clients().map(|row| row["state"].as_str().unwrap_or_default().to_owned()).collect();
        found.sort_unstable();
        found == states
    };
    wait_until("one errand runs, the other was stopped and awaited", SETTLE_LIMIT, || are(["finished", "running"]))
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", rows(&lab, &["ps", "--all"]), lab.tails()));
    let machines: Vec<_> = clients(&lab).iter().flat_map(|row| row["machines"].as_array().cloned()).flatten().collect();
    assert!(
        on_clients().all(|row| machines.contains(&row["machine"])),
        "{machines:?} {:?}",
        rows(&lab, &["ps", "--all"])
    );

    let begun = Instant::now();
    kill_process(pid_of(&lab, job), Signal::KILL).expect("the master is killed");
    wait_until("its errand ends with it", SETTLE_LIMIT, || are(["finished", "finished"]))
        .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", rows(&lab, &["ps", "--all"]), lab.tails()));
    all_go_back(&lab, begun, "the master of a plan was killed");
    lab.down().expect("nothing is left running");
}

#[test]
fn a_reservation_holds_itself_and_takes_clients_that_end_with_it() {
    let (lab, _scratch) = lab();
    let head = lab.muster_json(&["reserve", "node-2", "--for", "3d", "--wait"]).expect("it is ready");
    let head = head[0]["reservation"].as_u64().expect("a number").to_string();
    lab.muster_ok(&["reserve", "--count", "2", "--each", "--master", &head]).expect("they are taken");
    let of_head = || rows(&lab, &["reservation", "list", "--master", &head]);
    wait_until("both are ready", SETTLE_LIMIT, || of_head().iter().filter(|row| row["state"] == "ready").count() == 2)
        .unwrap_or_else(|error| panic!("{error}: {:?}", of_head()));
    let foreign = lab.muster(&["reserve", "--master", "99"]).expect("it runs");
    assert_eq!(foreign.status.code(), Some(4), "{}", String::from_utf8_lossy(&foreign.stderr));
    let begun = Instant::now();
    lab.muster_ok(&["checkin", &head]).expect("it is given back");
    wait_until("all are back", SETTLE_LIMIT, || of_head().is_empty() && all_are_the_pools(&lab)).expect("they go back");
    assert!(begun.elapsed() < BACK_WITHIN);
    lab.down().expect("nothing is left running");
}
