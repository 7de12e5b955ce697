//! What a simulated machine does about what it is told, and about its script.

use super::*;
use crate::script::Script;

fn machine(script: &str) -> Machine {
    let script = Script::parse(script).expect("valid");
    let mut machine =
        Machine::new(MachineId::new("sim-1").expect("valid"), script.of(&MachineId::new("sim-1").expect("valid")));
    let desired = MachineDesired { incarnation: 1, epoch: 1, ..MachineDesired::default() };
    let said = machine.take_machine(&desired);
    assert_eq!(said.reports, [report::Kind::Fence(FenceDone { epoch: 1 })]);
    machine
}

fn orders(epoch: u64, stop: bool) -> UpdateJobs {
    let spec = v1::StartSpec { run: 1, job: 1, ..v1::StartSpec::default() };
    let processes = vec![v1::ProcessOrder { process: 1, attempt: 1, stop, ..v1::ProcessOrder::default() }];
    UpdateJobs {
        jobs: vec![JobOrders { spec: Some(spec), epoch, processes, ..JobOrders::default() }],
        ..UpdateJobs::default()
    }
}

#[test]
fn an_order_is_started_once_and_stopped_once() {
    let mut machine = machine("");
    for expected in [1, 0] {
        assert_eq!(machine.take_update(&orders(1, false)).0.reports.len(), expected);
    }
    assert_eq!(machine.heartbeat().processes_live, 1);
    for expected in [1, 0] {
        assert_eq!(machine.take_update(&orders(1, true)).0.reports.len(), expected);
    }
    assert_eq!((machine.heartbeat().processes_live, machine.heartbeat().processes_digest), (0, 0));
}

#[test]
fn a_new_epoch_ends_what_ran_and_refuses_older_orders() {
    let mut machine = machine("");
    machine.take_update(&orders(1, false));
    let said = machine.take_machine(&MachineDesired { epoch: 2, ..MachineDesired::default() });
    assert_eq!(said.reports.len(), 2, "a death, and the fence");
    machine.processes.clear();
    let (_, reply) = machine.take_update(&orders(1, false));
    assert_eq!(reply.refused[0].refusal(), AgentRefusal::OldEpoch);
}

/// A machine with one process of job 1, to which `kind` happens after a second.
fn machine_where(kind: &str) -> (Machine, Said) {
    let text = format!("[[fault]]\nmachines = \"*\"\njob = 1\nafter = \"1s\"\nkind = {kind}");
    let mut machine = machine(&text);
    machine.take_update(&orders(1, false));
    assert_eq!(machine.pass(Duration::from_millis(900)), Said::default(), "not yet");
    let said = machine.pass(Duration::from_secs(1));
    (machine, said)
}

fn state_in(said: &Said) -> Option<ProcessState> {
    match said.reports.first()? {
        report::Kind::Process(process) => Some(process.state()),
        _ => None,
    }
}

#[test]
fn a_death_is_told_with_its_exit_and_kept_in_the_inventory() {
    let (machine, said) = machine_where("\"die\"");
    assert_eq!(state_in(&said), Some(ProcessState::Dead));
    let [known] = &machine.known()[..] else { panic!("one process") };
    assert_eq!(
        (known.state(), known.verdict(), known.exited, known.exit_status),
        (ProcessState::Dead, Verdict::Error, true, 9)
    );
    assert_eq!((known.reason.as_str(), known.pid, known.epoch), ("killed by signal 9", 1, 1));
}

#[test]
fn a_process_that_is_mia_comes_back() {
    let (mut machine, said) = machine_where("\"mia\"\nfor = \"4s\"");
    assert_eq!(state_in(&said), Some(ProcessState::Mia));
    assert_eq!(machine.pass(Duration::from_secs(4)), Said::default());
    assert_eq!(machine.pings().expect("it lives").results[0].missed, 3);
    assert_eq!(state_in(&machine.pass(Duration::from_secs(5))), Some(ProcessState::Running));
}

#[test]
fn a_stalled_process_answers_without_progress() {
    let (mut machine, _) = machine_where("\"stall\"\nfor = \"60s\"");
    machine.pass(Duration::from_secs(31));
    let ping = machine.pings().expect("it lives").results[0];
    assert_eq!((ping.missed, ping.unchanged_ms), (0, 30_000));
}

#[test]
fn corrupt_data_make_a_failure_of_a_pass() {
    let (mut machine, said) = machine_where("\"corrupt\"");
    assert!(matches!(said.reports[..], [report::Kind::Corruption(_)]));
    machine.take_update(&orders(1, true));
    assert_eq!((machine.known()[0].state(), machine.known()[0].verdict()), (ProcessState::Finished, Verdict::Fail));
}

#[test]
fn a_reboot_ends_everything_and_has_another_boot_id() {
    let boot_of = |machine: &mut Machine| machine.heartbeat().boot_id;
    let (mut machine, said) = machine_where("\"reboot\"\nfor = \"2s\"");
    assert_eq!(boot_of(&mut machine), "simulated-sim-1-2");
    assert_eq!((state_in(&said), machine.is_silent()), (Some(ProcessState::Dead), true));
    assert!(machine.pass(Duration::from_secs(3)).hello_again, "it says hello when it is back");
}

#[test]
fn a_machine_is_silent_refuses_answers_late_or_loses_reports_for_a_while() {
    let (mut machine, _) = machine_where("\"silent\"\nfor = \"2s\"");
    assert!(machine.is_silent());
    assert!(machine.pass(Duration::from_secs(3)).hello_again && !machine.is_silent());
    let (mut machine, _) = machine_where("\"slow\"\nfor = \"2s\"\ndelay = \"300ms\"");
    assert_eq!(machine.answers_after(), Duration::from_millis(300));
    machine.pass(Duration::from_secs(3));
    assert_eq!(machine.answers_after(), Duration::ZERO);
    let (mut machine, _) = machine_where("\"lose-report\"\nbatches = 2");
    assert_eq!([machine.loses_a_batch(), machine.loses_a_batch(), machine.loses_a_batch()], [true, true, false]);
    let mut other = orders(1, false);
    other.jobs[0].spec.as_mut().expect("it has one").job = 2;
    let (mut machine, _) = machine_where("\"refuse\"\nfor = \"2s\"");
    assert_eq!(machine.take_update(&other).1.refused[0].refusal(), AgentRefusal::Draining);
    machine.pass(Duration::from_secs(3));
    assert_eq!(machine.take_update(&other).0.reports.len(), 1);
}
