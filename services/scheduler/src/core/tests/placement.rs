//! Placement: as good as looking at every machine for every process, and the same every time.

use proptest::prelude::*;

use super::super::machine::{Machine, Place, Seen};
use super::super::placement::{Problem, Solution, place};
use super::*;

/// Machines with disks of given load numbers and uses, and CPUs.
pub(super) fn pool(disks: &[Vec<(u32, u64)>]) -> Vec<Machine> {
    let machine_of = |(number, disks): (usize, &Vec<(u32, u64)>)| {
        let mut machine = Machine::new(Seen::new(machine(&format!("m{number:04}"))));
        let cpu = |n: usize| Place {
            id: resource(&format!("cpu{n}")),
            kind: ResourceKind::Cpu,
            load: 8,
            used_milli: 0,
            description: Default::default(),
        };
        let disk = |(n, (load, used)): (usize, &(u32, u64))| Place {
            id: resource(&format!("disk-{n}")),
            kind: ResourceKind::Disk,
            load: *load,
            used_milli: *used,
            description: Default::default(),
        };
        machine.set_places((0..2).map(cpu).chain(disks.iter().enumerate().map(disk)).collect());
        machine
    };
    disks.iter().enumerate().map(machine_of).collect()
}

fn solve(machines: &[Machine], requirements: &[Requirement], processes: u32) -> Solution {
    let machines: Vec<&Machine> = machines.iter().collect();
    place(&Problem { requirements, ..problem(&machines, processes) })
}

/// One disk for each process.
pub(super) fn problem<'a>(machines: &'a [&'a Machine], processes: u32) -> Problem<'a> {
    const DISK: [Requirement; 1] = [Requirement { kind: ResourceKind::Disk, count: 1, weight_milli: 1000 }];
    Problem { requirements: &DISK, machines, processes, roles: 0 }
}

/// The same by looking at every machine for every process: `(used + 1 place) / capacity` compared as fractions.
fn exhaustive(machines: &[Machine], weight: u64, processes: u32) -> Vec<usize> {
    let disks = |machine: &Machine| {
        let places = machine.places.iter().filter(|place| place.kind == ResourceKind::Disk);
        places.fold((0_u64, 0_u64), |(used, capacity), place| {
            (used + place.used_milli, capacity + u64::from(place.load) * 1000)
        })
    };
    let mut totals: Vec<(u64, u64)> = machines.iter().map(disks).collect();
    let mut counts = vec![0; machines.len()];
    for _ in 0..processes {
        let least =
            (0..totals.len()).min_by_key(|index| (((totals[*index].0 + weight) << 20) / totals[*index].1, *index));
        let Some(least) = least else { break };
        totals[least].0 += weight;
        counts[least] += 1;
    }
    counts
}

fn disk(count: u32, weight_milli: u32) -> Requirement {
    Requirement { kind: ResourceKind::Disk, count, weight_milli }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_heap_is_as_good_as_the_exhaustive_scan(
        disks in prop::collection::vec(prop::collection::vec((1_u32..64, 0_u64..50_000), 1..4), 1..12),
        processes in 1_u32..200,
        weight in 1_u32..3000,
    ) {
        let machines = pool(&disks);
        let solution = solve(&machines, &[disk(1, weight)], processes);
        let mut counts = vec![0; machines.len()];
        for placement in &solution.placements {
            let index = machines.iter().position(|machine| machine.seen.machine == placement.machine).expect("known");
            counts[index] = placement.count as usize;
        }
        prop_assert_eq!(counts, exhaustive(&machines, u64::from(weight), processes));
        prop_assert_eq!(solve(&machines, &[disk(1, weight)], processes), solution, "the same every time");
    }

    #[test]
    fn every_process_is_numbered_once_and_its_resources_differ(
        disks in prop::collection::vec(prop::collection::vec((1_u32..64, 0_u64..5_000), 2..5), 1..12),
        processes in 1_u32..200,
    ) {
        let machines = pool(&disks);
        let needs = [disk(2, 500), Requirement { kind: ResourceKind::Cpu, count: 1, weight_milli: 250 }];
        let solution = solve(&machines, &needs, processes);
        let mut next = 1;
        for placement in &solution.placements {
            prop_assert_eq!(placement.first.0, next);
            next += placement.count;
            for resources in (0..placement.count as usize).map(|index| placement.resources_of(index)) {
                prop_assert_eq!(resources.len(), 3);
                prop_assert_eq!(resources.iter().collect::<BTreeSet<_>>().len(), 3);
                prop_assert!(resources[2].as_str().starts_with("cpu"), "in the order of the requirements");
            }
        }
        prop_assert_eq!(next, processes + 1);
    }
}

#[test]
fn load_numbers_weigh_and_what_runs_counts() {
    let machines = pool(&[vec![(8, 0)], vec![(24, 0)], vec![(8, 8000)]]);
    let solution = solve(&machines, &[disk(1, 1000)], 16);
    let counts: Vec<u32> = solution.placements.iter().map(|placement| placement.count).collect();
    assert_eq!(counts, [4, 12], "the third machine is full already");
    let solution = solve(&machines, &[disk(1, 1000)], 72);
    assert_eq!(solution.balance_milli, 1000, "80 places over 40: all are loaded twice");
}

#[test]
fn within_a_machine_the_least_loaded_resource_is_taken() {
    let machines = pool(&[vec![(10, 0), (10, 5000), (20, 0)]]);
    let solution = solve(&machines, &[disk(1, 1000)], 8);
    let mut counts = BTreeMap::<&str, usize>::new();
    for id in solution.placements[0].resources.iter() {
        *counts.entry(id.as_str()).or_default() += 1;
    }
    assert_eq!(counts, BTreeMap::from([("disk-0", 3), ("disk-2", 5)]));
}

#[test]
fn a_module_without_requirements_goes_by_cpus_and_processes() {
    let mut lab = Lab::with(0);
    lab.add_machine("large", 12, 0);
    lab.add_machine("small", 4, 0);
    let mut module = high_io();
    module.requirements.clear();
    lab.give(Input::AddModule(Box::new(module))).expect("it is a good module");
    lab.start(16);
    let large = lab.state.machines["large"].live.len();
    assert_eq!(large, 12);
    lab.start(16);
    assert_eq!(lab.state.machines["large"].live.len(), 24, "what runs counts");
}

#[test]
fn protection_selector_and_tenure_are_respected() {
    let mut lab = Lab::with(4);
    lab.machines(vec![
        ("node-1", Fact::TagsSet(["slow".to_owned()].into())),
        (
            "node-2",
            Fact::ProtectionChanged {
                protected: ["disk-*".to_owned()].into(),
                released: BTreeSet::new(),
                machine: false,
            },
        ),
        ("node-3", Fact::EpochRaised { epoch: epoch(1), reservation: ReservationId(1) }),
    ]);
    let mut chosen = start(8);
    chosen.selector = "cpus>=4 and not tag=slow".into();
    lab.start_as(&chosen).expect("one machine fits");
    assert!((1..=8).all(|process| lab.process(1, process).machine == machine("node-4")));
}
