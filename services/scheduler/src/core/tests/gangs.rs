//! Gangs: whole or not at all, every member on a machine of its own, and all of them know where the others are.

use muster_ledger::Scope;
use proptest::prelude::*;

use super::super::input::{AgentRefusal, Effect, Order, RefusedProcess};
use super::super::job::StopReason;
use super::super::placement::gangs::{form, gangs};
use super::super::placement::loads::Loads;
use super::super::placement::place;
use super::placement::{pool, problem};
use super::*;

/// A lab with a module of two roles.
fn lab(machines: usize) -> Lab {
    let mut lab = Lab::with(machines);
    let mut module = high_io();
    module.roles = vec!["server".into(), "client".into()];
    lab.give(Input::AddModule(Box::new(module))).expect("it is a good module");
    lab
}

fn refuse(lab: &mut Lab, process: u32, refusal: AgentRefusal) {
    let refused = RefusedProcess { id: lab.id(1, process), refusal, detail: String::new() };
    let machine = lab.process(1, process).machine.clone();
    lab.give(Input::Refused { machine, refused: vec![refused] }).expect("it is taken");
}

/// The orders that agents are to get, by process.
fn orders(lab: &mut Lab) -> BTreeMap<u32, Order> {
    let nodes: Vec<String> = lab.state.machines.keys().map(ToString::to_string).collect();
    nodes.iter().for_each(|node| lab.heartbeat(node, Position::default()));
    let effects = JobCore::wanted(&lab.state, &lab.observed, Scope::Full, lab.time);
    let updates = effects.into_iter().filter_map(|effect| match effect {
        Effect::SendUpdate(update) => Some(update.desired.orders),
        Effect::ListKnown { .. } => None,
    });
    updates.flatten().flat_map(|orders| orders.processes).map(|order| (order.process.0, order)).collect()
}

#[test]
fn every_member_is_told_of_all_members() {
    let mut lab = lab(3);
    lab.start(6);
    let orders = orders(&mut lab);
    assert_eq!(orders.len(), 6);
    for (number, order) in orders {
        let gang = order.gang.expect("its module has gangs");
        let (process, _, machine) = &gang.members[gang.member.role as usize];
        assert_eq!((process.0, machine), (number, &lab.process(1, number).machine), "it finds itself by its role");
        assert_eq!(gang.members.len(), 2);
    }
    let roles = |node: &str| {
        let live = lab.state.machines[node].live.iter();
        live.filter_map(|dpid| lab.state.processes[dpid].member).map(|member| member.role).sum::<u32>()
    };
    assert_eq!((roles("node-1"), roles("node-2"), roles("node-3")), (1, 1, 1), "each machine has both roles");
}

#[test]
fn a_part_of_a_gang_is_refused_with_the_nearest_counts() {
    let mut lab = lab(3);
    let text = |lab: &mut Lab, processes| lab.start_as(&start(processes)).expect_err("it is refused").to_string();
    assert_eq!(
        text(&mut lab, 5),
        "start high-io: 5 processes are no whole gangs of 2 (server, client); give --processes 4 or 6"
    );
    assert!(text(&mut lab, 1).ends_with("give --processes 2"));
    assert!(text(&mut lab, 65_535).ends_with("give --processes 65534"));
    assert!(lab.state.jobs.is_empty());
}

#[test]
fn a_gang_that_is_larger_than_what_fits_is_refused() {
    let mut lab = lab(1);
    let text = lab.start_as(&start(2)).expect_err("it is refused").to_string();
    assert_eq!(
        text,
        "start high-io: a gang of 2 needs 2 different machines, and 1 machine fits; the nearest that would fit is a gang of 1: let \
         1 more take part"
    );
}

#[test]
fn a_refused_member_moves_off_its_mates_and_they_are_told() {
    let mut lab = lab(3);
    lab.start(2);
    let mate = 2;
    lab.report(1, mate, ProcessState::Running);
    let (before, at) = (lab.process(1, 1).machine.clone(), lab.process(1, mate).changed);
    refuse(&mut lab, 1, AgentRefusal::Stale);
    let (moved, kept) = (lab.process(1, 1).clone(), lab.process(1, mate).clone());
    assert!(moved.machine != before && moved.machine != kept.machine);
    assert_eq!((moved.attempt, moved.member), (attempt(2), Some(super::super::job::Member { gang: 1, role: 0 })));
    assert!(kept.changed > at, "its order is sent again");
    let told = orders(&mut lab).remove(&mate).expect("its mate is told").gang.expect("its module has gangs");
    assert_eq!(told.members[0], (ProcessNumber(1), attempt(2), moved.machine));
}

#[test]
fn where_no_machine_is_left_the_member_is_dead_and_its_mates_are_stopped() {
    let mut lab = lab(2);
    lab.start(4);
    let gang = lab.process(1, 1).member;
    let mate = (2..=4).find(|other| lab.process(1, *other).member.map(|m| m.gang) == gang.map(|m| m.gang));
    let mate = mate.expect("a gang has two");
    refuse(&mut lab, 1, AgentRefusal::Draining);
    assert_eq!((lab.process(1, 1).state, lab.process(1, 1).verdict), (ProcessState::Dead, Verdict::Error));
    let reason = |process| lab.process(1, process).stop.as_ref().map(|stop: &super::super::job::StopOrder| stop.reason);
    assert_eq!(reason(mate), Some(StopReason::Gang));
    let stopped = (1..=4).filter(|process| reason(*process).is_some()).count();
    assert_eq!(stopped, 1, "the other gang goes on");
}

/// The same by looking at every machine for every member.
fn exhaustive(loads: &mut Loads, roles: usize, gangs: u32) -> Vec<u32> {
    let mut counts = vec![0; loads.len()];
    for _ in 0..gangs {
        let mut order: Vec<usize> = (0..loads.len()).collect();
        order.sort_by_key(|machine| (loads.after(*machine, 1), *machine));
        for machine in order.into_iter().take(roles) {
            counts[machine] += 1;
            loads.add(machine, 1);
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn gangs_are_whole_apart_and_as_balanced_as_by_the_exhaustive_scan(
        disks in prop::collection::vec(prop::collection::vec((1_u32..64, 0_u64..50_000), 1..4), 1..14),
        roles in 2_usize..5,
        count in 1_u32..60,
    ) {
        let machines = pool(&disks);
        let refs: Vec<_> = machines.iter().collect();
        let mut problem = problem(&refs, count * roles as u32);
        problem.roles = roles;
        let solution = place(&problem);
        let mut apart = BTreeMap::<u32, BTreeSet<&MachineId>>::new();
        for placement in &solution.placements {
            prop_assert_eq!(placement.members.len(), placement.count as usize);
            for member in &placement.members {
                prop_assert!(apart.entry(member.gang).or_default().insert(&placement.machine), "twice on a machine");
            }
        }
        let expected = if machines.len() < roles { 0 } else { count as usize };
        prop_assert_eq!(apart.len(), expected);
        prop_assert!(apart.values().all(|machines| machines.len() == roles), "whole");
        let loads = || Loads::of(&refs, problem.requirements);
        if expected > 0 {
            prop_assert_eq!(gangs(&mut loads(), roles, count).counts, exhaustive(&mut loads(), roles, count));
        }
        prop_assert_eq!(place(&problem), solution, "the same every time");
    }

    #[test]
    fn fixed_counts_form_gangs_or_say_which_machine_has_too_many(
        counts in prop::collection::vec(0_u32..12, 1..12),
        roles in 2_usize..5,
    ) {
        let mut counts = counts;
        let odd = counts.iter().sum::<u32>() % roles as u32;
        counts.push((roles as u32 - odd) % roles as u32);
        let gangs = counts.iter().sum::<u32>() / roles as u32;
        match form(counts.clone(), roles) {
            Err(machine) => prop_assert!(counts[machine] > gangs),
            Ok(members) => {
                let mut seen = BTreeSet::new();
                let mut next = members.members.iter();
                for count in &counts {
                    let here: Vec<u32> = next.by_ref().take(*count as usize).map(|member| { seen.insert((member.gang, member.role)); member.gang }).collect();
                    prop_assert_eq!(here.iter().collect::<BTreeSet<_>>().len(), here.len(), "twice on a machine");
                }
                prop_assert_eq!(seen.len(), gangs as usize * roles, "every role of every gang");
            }
        }
    }
}
