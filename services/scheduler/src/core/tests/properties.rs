//! Random sequences of inputs: what must hold holds after each of them, and the log says it all.

use muster_model::{OnFailure, Pulse, PulseNumber};
use proptest::prelude::*;

use super::super::input::{AgentRefusal, ChangeJob, ClearPulses, RefusedProcess, StepStart, TaskStart};
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Start(u32, u64),
    StopJob(u32, u64),
    StopAll,
    Report { pick: usize, state: usize, repeat: bool },
    Hello { node: usize, keep: u8 },
    Inventory { node: usize, keep: u8 },
    Refused { pick: usize, refusal: usize },
    Machine { node: usize, fact: usize },
    Wait(u64),
    Fence { node: usize, epoch: u64 },
    NewRun,
    SetPulse(u8, u64),
    ClearPulse(u8),
    ChangeJob(u32, u32),
    Arm { number: u32, reservation: u64 },
    Fire { number: u32, crash: bool },
    Disarm(u32),
    Plan { steps: u32, tasks: u32, processes: u32, what: usize },
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u32..6, 0_u64..2).prop_map(|(processes, reservation)| Step::Start(processes, reservation)),
        1 => (1_u32..5, 0_u64..20).prop_map(|(job, grace)| Step::StopJob(job, grace)),
        1 => Just(Step::StopAll),
        12 => (any::<usize>(), 0_usize..8, any::<bool>()).prop_map(|(pick, state, repeat)| Step::Report { pick, state, repeat }),
        2 => (0_usize..3, any::<u8>()).prop_map(|(node, keep)| Step::Hello { node, keep }),
        1 => (0_usize..3, any::<u8>()).prop_map(|(node, keep)| Step::Inventory { node, keep }),
        2 => (any::<usize>(), 0_usize..5).prop_map(|(pick, refusal)| Step::Refused { pick, refusal }),
        4 => (0_usize..3, 0_usize..17).prop_map(|(node, fact)| Step::Machine { node, fact }),
        2 => (0_u64..400).prop_map(Step::Wait),
        1 => (0_usize..3, 0_u64..4).prop_map(|(node, epoch)| Step::Fence { node, epoch }),
        1 => Just(Step::NewRun),
        2 => (0_u8..3, 1_u64..4).prop_map(|(number, block)| Step::SetPulse(number, block)),
        1 => (0_u8..3).prop_map(Step::ClearPulse),
        2 => (1_u32..5, 0_u32..3).prop_map(|(job, number)| Step::ChangeJob(job, number)),
        3 => (0_u32..4, 0_u64..2).prop_map(|(number, reservation)| Step::Arm { number, reservation }),
        2 => (0_u32..4, any::<bool>()).prop_map(|(number, crash)| Step::Fire { number, crash }),
        1 => (0_u32..4).prop_map(Step::Disarm),
        2 => (1_u32..4, 1_u32..3, 1_u32..4, 0_usize..6).prop_map(|(steps, tasks, processes, what)| Step::Plan { steps, tasks, processes, what }),
        4 => Just(Step::Tick),
    ]
}

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

fn fact(lab: &Lab, node: &str, number: usize) -> Fact {
    let seen = lab.state.machines.get(node).map(|machine| machine.seen.clone());
    let (next_epoch, incarnation, boot_id) = seen.map_or((Epoch(1), Incarnation(1), String::new()), |seen| {
        (seen.epoch.next(), seen.incarnation.next(), seen.boot_id)
    });
    let protection = |protected: &str| Fact::ProtectionChanged {
        protected: [protected.to_owned()].into(),
        released: BTreeSet::new(),
        machine: false,
    };
    match number {
        0 => Fact::DrainingStarted,
        1 => Fact::EpochRaised { epoch: next_epoch, reservation: ReservationId(next_epoch.0 % 2) },
        2 | 3 => Fact::FenceReported(Epoch(next_epoch.0 - 1)),
        4 => Fact::HealthChanged { down: true },
        5 => Fact::HealthChanged { down: false },
        6 => Fact::BootObserved(format!("boot-{}", lab.time.0)),
        7 => Fact::IncarnationGranted { incarnation, boot_id },
        8 => protection("disk-0"),
        9 => protection("nothing"),
        10 => inventory(2, 1),
        11 => inventory(4, 3),
        12 => Fact::Removed,
        14 => Fact::TagsSet([format!("tag-{}", lab.time.0 % 3)].into()),
        15 | 16 => {
            let shared_name = format!("wwn-{}", lab.time.0 / 1_000_000_000 % (number as i64 - 13));
            let cpu = found_resource("cpu0", ResourceKind::Cpu);
            found(vec![cpu, Resource { shared_name, ..found_resource("disk-0", ResourceKind::Disk) }])
        }
        _ => Fact::FlagChanged { flag: Flag::Active, value: true },
    }
}

fn pick(lab: &Lab, number: usize) -> Option<(u32, u32)> {
    let dpid = lab.state.processes.keys().nth(number % lab.state.processes.len().max(1))?;
    Some((dpid.job.0, dpid.process.0))
}

/// What a machine's agent knows: some of what the log says lives there, some of it further than the log.
fn known(lab: &Lab, node: &str, keep: u8) -> Vec<KnownProcess> {
    let Some(machine) = lab.state.machines.get(node) else { return Vec::new() };
    let kept = machine.live.iter().enumerate().filter(|(index, _)| keep >> (index % 8) & 1 == 1);
    kept.map(|(_, dpid)| {
        let process = &lab.state.processes[dpid];
        let state = ProcessState::ALL[(process.state as usize + usize::from(keep / 64)) % ProcessState::ALL.len()];
        lab.report_of(dpid.job.0, dpid.process.0, state)
    })
    .collect()
}

fn perform(lab: &mut Lab, step: Step) {
    match step {
        Step::Start(processes, reservation) => {
            let mut start = start(processes);
            start.reservation = ReservationId(reservation);
            start.pulses = lab.state.pulses.keys().take(processes as usize % 3).map(|number| number.0.into()).collect();
            let _ = lab.give(Input::Start(start));
        }
        Step::StopJob(job, grace) => drop(lab.give(Input::Stop(stop_job(job, Duration::from_secs(grace))))),
        Step::StopAll => drop(lab.give(Input::Stop(Stop { all: true, ..Stop::default() }))),
        Step::Report { pick: number, state, repeat } => {
            let Some((job, process)) = pick(lab, number) else { return };
            let report = Report::Process(lab.report_of(job, process, ProcessState::ALL[state]));
            let machine = lab.process(job, process).machine.clone();
            lab.report_batch(&machine, vec![report.clone()]);
            if repeat {
                lab.take_batch(&machine, 1, vec![report]);
            }
        }
        Step::Hello { node, keep } if lab.state.machines.contains_key(NODES[node]) => {
            let known = known(lab, NODES[node], keep);
            lab.hello(NODES[node], known);
        }
        Step::Hello { .. } => {}
        Step::Inventory { node, keep } => {
            if !lab.state.machines.contains_key(NODES[node]) {
                return;
            }
            let known = known(lab, NODES[node], keep);
            lab.inventory(NODES[node], known);
        }
        Step::Refused { pick: number, refusal } => {
            let Some((job, process)) = pick(lab, number) else { return };
            let refusals = [
                AgentRefusal::OldEpoch,
                AgentRefusal::Draining,
                AgentRefusal::Stale,
                AgentRefusal::Protected,
                AgentRefusal::Invalid,
            ];
            let refused =
                RefusedProcess { id: lab.id(job, process), refusal: refusals[refusal], detail: String::new() };
            let machine = lab.process(job, process).machine.clone();
            lab.give(Input::Refused { machine, refused: vec![refused] }).expect("it is taken");
        }
        Step::Machine { node, fact: 13 } => lab.add_machine(NODES[node], 4, 2),
        Step::Machine { node, fact: number } => {
            let fact = fact(lab, NODES[node], number);
            lab.machines(vec![(NODES[node], fact)]);
        }
        Step::Wait(seconds) => {
            lab.wait(Duration::from_secs(seconds));
            lab.give(Input::Tick).expect("a tick is not refused");
        }
        Step::Fence { node, epoch } => lab.report_batch(&machine(NODES[node]), vec![Report::Fenced(Epoch(epoch))]),
        Step::NewRun => drop(lab.give(Input::NewRun)),
        Step::SetPulse(number, block) => {
            let pulse = Pulse::new(Duration::from_secs(block), Duration::from_secs(2), Duration::ZERO);
            lab.give(Input::SetPulse(PulseNumber(number), pulse.expect("a good pulse"))).expect("it is not refused");
        }
        Step::ClearPulse(number) => {
            drop(lab.give(Input::ClearPulses(ClearPulses { numbers: vec![number.into()], all: false })));
        }
        Step::ChangeJob(job, number) => {
            let change = ChangeJob { job: JobNumber(job), pulses: Some(vec![number]), parameters: Vec::new() };
            drop(lab.give(Input::ChangeJob(change)));
        }
        Step::Tick => drop(lab.give(Input::Tick).expect("a tick is not refused")),
        Step::Plan { steps, tasks, processes, what } => start_plan(lab, (steps, tasks), processes, what),
        step => perform_trigger(lab, step),
    }
}

/// A plan of some shape: what follows where its steps fail, whether its tasks have limits, and whether steps wait for each other.
fn start_plan(lab: &mut Lab, (steps, tasks): (u32, u32), processes: u32, what: usize) {
    let task = |number: u32| TaskStart {
        limit: Duration::from_secs(if what.is_multiple_of(2) { 200 } else { 0 }),
        attempts: what as u32 % 4,
        ..plans::task(&format!("t{number}"), processes)
    };
    let step = |number: u32| {
        let before = format!("s{}", number.saturating_sub(1));
        let after: &[&str] = if number == 0 || what == 5 { &[] } else { &[&before] };
        let step = plans::step(&format!("s{number}"), after, (0..tasks).map(task).collect());
        StepStart { on_failure: OnFailure::ALL[what % 3], ..step }
    };
    let plan = plans::plan((0..steps).map(step).collect());
    lab.give(Input::StartPlan(Box::new(plan))).expect("it is a good plan");
}

/// The steps of triggers.
fn perform_trigger(lab: &mut Lab, step: Step) {
    match step {
        Step::Arm { number, reservation } => {
            triggers::hear(lab);
            let arm = triggers::arm(number, "*", if number == 0 { "crash" } else { "packet" });
            let reservation = ReservationId(reservation);
            drop(lab.give(Input::Arm(Box::new(super::super::input::Arm { reservation, ..arm }))));
        }
        Step::Fire { number, crash } => {
            let Ok((firing, machines)) = triggers::fire(lab, number, u64::from(crash)) else { return };
            for id in machines {
                let acted =
                    triggers::acted(lab, id.as_str(), &firing, muster_model::TriggerOutcome::ALL[number as usize]);
                lab.report_batch(&id, vec![Report::TriggerActed(Box::new(acted))]);
            }
        }
        Step::Disarm(number) => {
            let disarm = super::super::input::Disarm { numbers: vec![number], ..Default::default() };
            drop(lab.give(Input::Disarm(disarm)));
        }
        other => unreachable!("{other:?} is no step of triggers"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_must_hold_holds_after_any_inputs(steps in prop::collection::vec(step(), 1..80)) {
        let mut lab = Lab::with(3);
        lab.policy.crash = true;
        for step in steps {
            let finals: BTreeMap<_, _> = lab.state.processes.iter().filter(|(_, p)| p.state.is_final()).map(|(d, p)| (*d, p.clone())).collect();
            let run = lab.state.run;
            perform(&mut lab, step);
            if lab.state.run == run {
                for (dpid, before) in finals {
                    let now = lab.state.processes.get(&dpid);
                    let is_tried_again = now.is_none_or(|now| now.attempt > before.attempt);
                    if is_tried_again && lab.state.jobs.get(&dpid.job).is_some_and(|job| job.plan.is_some()) {
                        continue;
                    }
                    prop_assert_eq!(now, Some(&before), "final is final (I8)");
                }
            }
        }
        prop_assert_eq!(lab.replayed(), lab.state, "the state is the fold of the log");
    }

    #[test]
    fn every_job_ends_once_all_machines_are_gone(steps in prop::collection::vec(step(), 1..60)) {
        let mut lab = Lab::with(3);
        for step in steps {
            perform(&mut lab, step);
        }
        for node in NODES {
            lab.machines(vec![(node, Fact::Removed)]);
        }
        // A plan waits for machines that may come, until it is stopped.
        lab.give(Input::Stop(Stop { all: true, ..Stop::default() })).expect("it is not refused");
        lab.give(Input::Tick).expect("a tick is not refused");
        prop_assert!(lab.state.jobs.values().all(|job| job.ended != PoolTime::NEVER), "each reaches its end (I2)");
    }
}
