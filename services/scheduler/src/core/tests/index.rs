//! The index that placement searches finds what looking at every machine would, on every replica.

use proptest::prelude::*;

use super::super::placement::loads::Loads;
use super::super::selection;
use super::*;

/// A machine of a random pool.
#[derive(Debug, Clone)]
struct Node {
    /// Solid state or not, and protected or not.
    disks: Vec<(bool, bool)>,
    held: bool,
    slow: bool,
    silent: bool,
    inactive: bool,
    cpus: usize,
}

fn node() -> impl Strategy<Value = Node> {
    let disks = prop::collection::vec((any::<bool>(), prop::bool::weighted(0.3)), 1..5);
    let rare = || prop::bool::weighted(0.2);
    (disks, rare(), rare(), rare(), rare(), 1_usize..5).prop_map(|(disks, held, slow, silent, inactive, cpus)| Node {
        disks,
        held,
        slow,
        silent,
        inactive,
        cpus,
    })
}

/// Ids whose order is not the order in which they come.
fn name(number: usize) -> String {
    format!("m{}", number * 7 % 23)
}

fn lab(nodes: &[Node]) -> Lab {
    let mut lab = Lab::new();
    lab.give(Input::AddModule(Box::new(high_io()))).expect("it is a good module");
    for (number, node) in nodes.iter().enumerate() {
        let id = name(number);
        lab.add_machine(&id, 1, 0);
        let cpus = (0..node.cpus).map(|n| found_resource(&format!("cpu{n}"), ResourceKind::Cpu));
        let disks = node.disks.iter().enumerate().map(|(n, (solid, _))| {
            let device_type = if *solid { "ssd" } else { "hdd" }.to_owned();
            Resource { device_type, ..found_resource(&format!("disk-{n}"), ResourceKind::Disk) }
        });
        let protected = node.disks.iter().enumerate().filter(|(_, (_, protected))| *protected);
        let protected = protected.map(|(n, _)| format!("disk-{n}")).collect();
        lab.machines(vec![
            (&id, found(cpus.chain(disks).collect())),
            (&id, Fact::ProtectionChanged { protected, released: BTreeSet::new(), machine: false }),
            (&id, Fact::TagsSet(if node.slow { ["slow".to_owned()].into() } else { BTreeSet::new() })),
            (&id, Fact::FlagChanged { flag: Flag::Active, value: !node.inactive }),
        ]);
        if node.held {
            lab.machines(vec![
                (&id, Fact::EpochRaised { epoch: Epoch(1), reservation: ReservationId(3) }),
                (&id, Fact::FenceReported(Epoch(1))),
            ]);
        }
        if node.silent {
            lab.heartbeat(&id, Position::default());
        }
    }
    lab.wait(Duration::from_secs(4));
    for (number, _) in nodes.iter().enumerate().filter(|(_, node)| !node.silent) {
        lab.heartbeat(&name(number), Position::default());
    }
    lab
}

/// A disk that a process may use.
fn may_use(node: &Node, (solid, protected): (bool, bool), only_solid: bool, reservation: u64) -> bool {
    let machine = node.held == (reservation == 3) && !node.slow && !node.silent && !node.inactive;
    machine && !protected && (solid || !only_solid)
}

/// Counts by looking at every machine for every process.
fn exhaustive(lab: &Lab, nodes: &[Node], only_solid: bool, reservation: u64, processes: u32) -> BTreeMap<String, u32> {
    let mut machines: Vec<(String, u64, u64)> = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let found = &lab.state.machines[name(number).as_str()];
        let disks = node.disks.iter().enumerate().filter(|(_, disk)| may_use(node, **disk, only_solid, reservation));
        let places = disks.filter_map(|(n, _)| found.places.iter().find(|p| p.id == resource(&format!("disk-{n}"))));
        let (used, capacity) = places.fold((0, 0), |(u, c), p| (u + p.used_milli, c + u64::from(p.load) * 1000));
        if capacity > 0 {
            machines.push((name(number), used, capacity));
        }
    }
    machines.sort();
    let mut counts = BTreeMap::new();
    for _ in 0..processes {
        let least = (0..machines.len()).min_by_key(|n| (((machines[*n].1 + 1000) << 20) / machines[*n].2, *n));
        let Some(least) = least else { break };
        machines[least].1 += 1000;
        *counts.entry(machines[least].0.clone()).or_default() += 1;
    }
    counts
}

fn wanted(processes: u32, only_solid: bool, reservation: u64) -> Start {
    Start {
        selector: "not tag=slow".into(),
        resource_selector: if only_solid { "kind=disk and type=ssd".into() } else { String::new() },
        reservation: ReservationId(reservation),
        ..start(processes)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn starts_go_where_the_exhaustive_scan_would_put_them_and_nowhere_else(
        nodes in prop::collection::vec(node(), 1..12),
        starts in prop::collection::vec((1_u32..40, any::<bool>(), prop::bool::weighted(0.2)), 1..4),
    ) {
        let mut lab = lab(&nodes);
        for (processes, only_solid, held) in starts {
            let reservation = if held { 3 } else { 0 };
            let start = wanted(processes, only_solid, reservation);
            let expected = exhaustive(&lab, &nodes, only_solid, reservation, processes);
            let restored = JobCore::decode_state(&JobCore::encode_state(&lab.state)).expect("a snapshot reads back");
            let again = JobCore::decide(&restored, &lab.observed, &Input::Start(start.clone()), lab.now());
            let Ok(started) = lab.start_as(&start) else {
                prop_assert!(expected.is_empty() && again.is_err());
                continue;
            };
            prop_assert_eq!(&again.expect("it starts there too").events, &lab.last, "the same on a replica");
            let counts = started.placements.iter().map(|p| (p.machine.to_string(), p.count)).collect::<BTreeMap<_, _>>();
            prop_assert_eq!(counts, expected);
            for placement in started.placements.iter() {
                let number = (0..nodes.len()).find(|n| name(*n) == placement.machine.as_str()).expect("it is known");
                for id in placement.resources.iter() {
                    let disk: usize = id.as_str().trim_start_matches("disk-").parse().expect("a disk");
                    let disk = nodes[number].disks[disk];
                    prop_assert!(may_use(&nodes[number], disk, only_solid, reservation), "{} of {}", id, placement.machine);
                }
            }
        }
    }

    #[test]
    fn columns_answer_selectors_as_the_facts_do(
        nodes in prop::collection::vec(node(), 1..12),
        pick in 0_usize..8,
    ) {
        let lab = lab(&nodes);
        let texts = [
            "cpus>=3", "not tag=slow and cpus<3", "m1* or tag=slow", "name=m0", "not (m7,m14 or disks>=2)", "arch=x86_64 and type=x",
            "tag!=slow", "memory>1GiB or nics=0",
        ];
        let selector = muster_model::Selector::parse(texts[pick]).expect("it is right");
        let found = selection::selected(&lab.state.pool, &selector).expect("it is not everything");
        let expected: Vec<bool> = lab.state.machines.values().map(|machine| selector.matches(&machine.seen)).collect();
        prop_assert_eq!(found, expected, "{}", texts[pick]);
    }

    #[test]
    fn all_at_once_and_one_by_one_come_to_the_same(
        machines in prop::collection::vec((0_u64..40_000, 1_u64..64, 0_u64..40_000, 1_u64..64), 1..20),
        processes in 0_u32..600,
        both in any::<bool>(),
    ) {
        use super::super::machine::Total;
        use super::super::placement::share::shares;
        let need = |kind| Requirement { kind, count: 1, weight_milli: 700 };
        let needs = [need(ResourceKind::Disk), need(ResourceKind::Cpu)];
        let mut loads = Loads::new(&needs[..1 + usize::from(both)], machines.len());
        for (disk, disks, cpu, cpus) in machines {
            let total = |used_milli, capacity: u64| Total { count: 1, used_milli, capacity_milli: capacity * 1000 };
            loads.push([total(disk, disks), total(cpu, cpus)].into_iter());
        }
        let mut expected = vec![0; loads.len()];
        let mut scanned = loads.clone();
        for _ in 0..processes {
            let least = (0..scanned.len()).min_by_key(|machine| (scanned.after(*machine, 1), *machine)).expect("one");
            scanned.add(least, 1);
            expected[least] += 1;
        }
        prop_assert_eq!(shares(&mut loads, processes), expected);
        prop_assert_eq!(loads.balance_milli(), scanned.balance_milli());
    }
}
