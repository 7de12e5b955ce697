//! Counts by machine, disk and CPU, resource selectors, and disks that several machines reach.

use proptest::prelude::*;

use super::*;

fn by(number: u32, by: CountBy) -> Start {
    Start { count: Count { number, by }, ..start(0) }
}

const PER_DISK: CountBy = CountBy::Resource(ResourceKind::Disk);
const PER_CPU: CountBy = CountBy::Resource(ResourceKind::Cpu);

/// How many processes of job 1 are on each resource, named with its machine.
fn on_resources(lab: &Lab) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for process in lab.state.processes.values() {
        for resource in &process.resources {
            *counts.entry(format!("{}/{resource}", process.machine)).or_default() += 1;
        }
    }
    counts
}

fn refusal(lab: &mut Lab, start: &Start) -> String {
    let before = lab.state.clone();
    let text = lab.start_as(start).expect_err("it is refused").to_string();
    assert_eq!(lab.state, before, "a refusal changes nothing");
    text
}

fn with_disks(disks: &[usize]) -> Lab {
    let mut lab = Lab::with(0);
    for (number, disks) in disks.iter().enumerate() {
        lab.add_machine(&format!("node-{}", number + 1), 2, *disks);
    }
    lab
}

/// A machine with these disks: id, shared name, type and size.
fn add_with(lab: &mut Lab, id: &str, disks: &[(&str, &str, &str, u64)]) {
    lab.add_machine(id, 2, 0);
    let mut resources = vec![found_resource("cpu0", ResourceKind::Cpu), found_resource("cpu1", ResourceKind::Cpu)];
    for (disk, shared, device_type, size) in disks {
        let (shared_name, device_type) = ((*shared).to_owned(), (*device_type).to_owned());
        resources.push(Resource { shared_name, device_type, size: *size, ..found_resource(disk, ResourceKind::Disk) });
    }
    lab.machines(vec![(id, found(resources))]);
}

#[test]
fn so_many_on_each_disk_machine_or_cpu_are_exactly_so_many() {
    let mut lab = with_disks(&[2, 3, 1]);
    lab.start_as(&by(3, PER_DISK)).expect("it fits");
    let counts = on_resources(&lab);
    assert_eq!((counts.len(), counts.values().all(|count| *count == 3)), (6, true), "{counts:?}");
    assert_eq!(lab.state.jobs[&JobNumber(1)].processes, 18);

    let mut lab = with_disks(&[2, 3, 1]);
    lab.start_as(&by(4, CountBy::Machine)).expect("it fits");
    assert!(lab.state.machines.values().all(|machine| machine.live.len() == 4));

    let mut lab = with_disks(&[2, 3, 1]);
    lab.start_as(&by(5, PER_CPU)).expect("it fits");
    assert!(lab.state.machines.values().all(|machine| machine.live.len() == 10), "the module need not use them");
}

#[test]
fn a_count_that_can_not_be_reached_says_the_nearest() {
    let mut lab = with_disks(&[2, 3, 1]);
    assert_eq!(
        refusal(&mut lab, &by(0, PER_DISK)),
        "start high-io: 0 processes were asked for; one start has 1 to 65535; give --per-disk, 1 or more"
    );
    assert_eq!(
        refusal(&mut lab, &by(20_000, PER_DISK)),
        "start high-io: 20000 on each of 6 are 120000 processes; one start has 1 to 65535; give --per-disk 10922 (65532 processes)"
    );
    let mut bare = high_io();
    bare.name = ModuleName::new("bare").expect("a good name");
    bare.requirements.clear();
    let mut lab = with_disks(&[0, 0]);
    lab.give(Input::AddModule(Box::new(bare))).expect("it is a good module");
    let start = Start { module: "bare".into(), ..by(1, PER_DISK) };
    assert_eq!(
        refusal(&mut lab, &start),
        "start bare: no machine that fits has a disk that may be used; `muster resource list` shows which disks are protected; or \
         give --processes"
    );
}

#[test]
fn fixed_counts_of_a_module_with_gangs_are_whole_gangs_or_refused() {
    let mut gang = high_io();
    gang.roles = vec!["a".into(), "b".into(), "c".into()];
    let mut lab = with_disks(&[2, 2, 2, 1]);
    lab.give(Input::AddModule(Box::new(gang))).expect("it is a good module");
    let text = refusal(&mut lab, &by(1, CountBy::Machine));
    assert_eq!(text, "start high-io: 4 processes are no whole gangs of 3 (a, b, c); give --per-machine 3");
    lab.start_as(&by(3, CountBy::Machine)).expect("12 are four gangs");
    assert!(lab.state.machines.values().all(|machine| machine.live.len() == 3));

    let mut lonely = with_disks(&[7, 1, 1]);
    let mut gang = high_io();
    gang.roles = vec!["a".into(), "b".into(), "c".into()];
    lonely.give(Input::AddModule(Box::new(gang))).expect("it is a good module");
    let text = refusal(&mut lonely, &by(1, PER_DISK));
    assert!(text.contains("one machine would have two members of a gang: there are 3 gangs of 3"), "{text}");
}

#[test]
fn a_resource_selector_limits_what_is_taken_and_is_kept() {
    let mut lab = Lab::with(0);
    for node in ["node-1", "node-2", "node-3"] {
        add_with(&mut lab, node, &[("disk-a", "", "ssd", 100 << 30), ("disk-b", "", "hdd", 4 << 40)]);
    }
    let select = |selector: &str| Start { resource_selector: selector.into(), ..start(12) };
    lab.start_as(&select("kind=disk and type=ssd")).expect("each has one");
    assert!(lab.state.processes.values().all(|process| process.resources == [resource("disk-a")]));
    lab.start_as(&select("size>=1TiB and not machine=node-2")).expect("two have one");
    let second = lab.state.processes_of(JobNumber(2));
    assert!(second.into_iter().all(|(_, p)| p.resources == [resource("disk-b")] && p.machine != machine("node-2")));
    lab.start_as(&select("node-3/disk-*")).expect("one has two");
    assert!(lab.state.processes_of(JobNumber(3)).all(|(_, process)| process.machine == machine("node-3")));
    assert_eq!(lab.state.jobs[&JobNumber(3)].resource_selector, "node-3/disk-*");

    let per_disk = Start { resource_selector: "type=hdd".into(), ..by(2, PER_DISK) };
    assert_eq!(lab.start_as(&per_disk).expect("three have one").placements.len(), 3);
    assert!(lab.state.processes_of(JobNumber(4)).all(|(_, process)| process.resources == [resource("disk-b")]));
}

#[test]
fn a_process_that_is_placed_again_keeps_to_its_resources() {
    use super::super::input::{AgentRefusal, RefusedProcess};
    let mut lab = Lab::with(0);
    for node in ["node-1", "node-2", "node-3"] {
        let disks = [("disk-a", "", "ssd", 1), ("disk-b", "", "hdd", 1)];
        add_with(&mut lab, node, if node == "node-2" { &disks[1..] } else { &disks });
    }
    lab.start_as(&Start { resource_selector: "type=ssd".into(), ..start(1) }).expect("two have one");
    let refused = RefusedProcess { id: lab.id(1, 1), refusal: AgentRefusal::Stale, detail: String::new() };
    let machine_id = lab.process(1, 1).machine.clone();
    lab.give(Input::Refused { machine: machine_id, refused: vec![refused] }).expect("it is taken");
    let process = lab.process(1, 1);
    assert_eq!((&process.machine, process.resources.as_slice()), (&machine("node-3"), &[resource("disk-a")][..]));
}

#[test]
fn a_wrong_resource_selector_says_what_would_be_right() {
    let mut lab = Lab::with(2);
    let select = |selector: &str| Start { resource_selector: selector.into(), ..start(2) };
    let wrong = lab.start_as(&select("kind=disk and disk-9")).expect_err("there is none");
    assert_eq!(
        wrong.to_string(),
        "start high-io: no resource `disk-9` is known; did you mean `disk-0`? `muster resource list` shows all"
    );
    let place = wrong.place.expect("it is marked");
    assert_eq!(&place.text[place.from..place.to], "disk-9");
    assert!(refusal(&mut lab, &select("node-2/disk-7")).contains("did you mean `node-2/disk-0`?"));
    assert!(refusal(&mut lab, &select("kind=dsk")).contains("kinds are cpu, disk, nic, memory, tape"));
    assert_eq!(
        refusal(&mut lab, &select("kind=nic")),
        "start high-io: none of 2 machines fit: 2 with too few resources that are selected (`kind=nic` matches none of 12 resources); \
         nearest is node-1: change --resources; `muster resource list node-1` shows what it has"
    );
    let contradiction = Start { selector: "cpus>=4 and cpus<2".into(), ..start(2) };
    assert!(refusal(&mut lab, &contradiction).contains("(`cpus<2` matches none of 2 machines)"));
    let contradiction = Start { selector: "node-1 and name=node-2".into(), ..start(2) };
    assert!(refusal(&mut lab, &contradiction).contains("(`name=node-2` matches none of the 1 machine of `node-1`)"));
}

/// Two machines that reach one disk, and have one of their own.
fn shared() -> Lab {
    let mut lab = Lab::with(0);
    add_with(&mut lab, "node-1", &[("disk-a", "", "", 1), ("disk-s", "wwn-1", "", 1)]);
    add_with(&mut lab, "node-2", &[("disk-b", "", "", 1), ("disk-t", "wwn-1", "", 1)]);
    lab
}

#[test]
fn a_disk_with_several_paths_is_one() {
    let mut lab = shared();
    lab.start_as(&by(2, PER_DISK)).expect("it fits");
    let counts = on_resources(&lab);
    let paths = counts.get("node-1/disk-s").copied().unwrap_or(0) + counts.get("node-2/disk-t").copied().unwrap_or(0);
    assert_eq!((lab.state.processes.len(), paths), (6, 2), "{counts:?}");
    let used = |node: &str, disk: &str| {
        let machine = &lab.state.machines[node];
        machine.places.iter().find(|place| place.id == resource(disk)).map(|place| place.used_milli)
    };
    assert_eq!((used("node-1", "disk-s"), used("node-2", "disk-t")), (Some(2000), Some(2000)));
}

#[test]
fn what_runs_on_one_path_counts_on_all() {
    let mut lab = shared();
    lab.start_as(&Start { resource_selector: "node-1/disk-s".into(), ..start(10) }).expect("it fits");
    let total = |lab: &Lab, node: &str| lab.state.machines[node].total(ResourceKind::Disk).used_milli;
    assert_eq!((total(&lab, "node-1"), total(&lab, "node-2")), (10_000, 10_000));
    let before = lab.state.processes.len() as u32;
    lab.start(9);
    let counts = on_resources(&lab);
    assert_eq!(counts.get("node-1/disk-s"), Some(&10), "the shared one is full on both: {counts:?}");
    assert_eq!(counts.get("node-2/disk-t"), None);
    for process in 1..=before {
        lab.report(1, process, ProcessState::Finished);
    }
    assert_eq!((total(&lab, "node-1"), total(&lab, "node-2")), (5_000, 4_000));
    lab.machines(vec![("node-2", Fact::Removed)]);
    assert_eq!(total(&lab, "node-1"), 5_000);
}

#[test]
fn a_machine_that_stops_reaching_a_disk_counts_its_own_alone() {
    let mut lab = shared();
    lab.start_as(&Start { resource_selector: "disk-s".into(), ..start(4) }).expect("it fits");
    let mut alone = found_resource("disk-t", ResourceKind::Disk);
    alone.shared_name = "wwn-2".into();
    lab.machines(vec![("node-2", found(vec![alone, found_resource("cpu0", ResourceKind::Cpu)]))]);
    let total = |node: &str| lab.state.machines[node].total(ResourceKind::Disk).used_milli;
    assert_eq!((total("node-1"), total("node-2")), (4_000, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn counts_by_resource_are_exact_whatever_is_protected(
        disks in prop::collection::vec(1_usize..5, 1..6),
        protected in prop::collection::vec(0_usize..5, 1..6),
        number in 1_u32..5,
    ) {
        let mut lab = with_disks(&disks);
        for (node, disk) in protected.iter().enumerate().take(disks.len()) {
            let protected = [format!("disk-{disk}")].into();
            let fact = Fact::ProtectionChanged { protected, released: BTreeSet::new(), machine: false };
            lab.machines(vec![(format!("node-{}", node + 1).as_str(), fact)]);
        }
        let open: usize = lab.state.machines.values().map(|m| m.total(ResourceKind::Disk).count as usize).sum();
        if lab.start_as(&by(number, PER_DISK)).is_ok() {
            let counts = on_resources(&lab);
            prop_assert_eq!(counts.len(), open);
            prop_assert!(counts.values().all(|count| *count == number));
            for (node, disk) in protected.iter().enumerate() {
                let protected = format!("node-{}/disk-{disk}", node + 1);
                prop_assert!(!counts.contains_key(&protected), "never on protected (I13)");
            }
        } else {
            prop_assert_eq!(open, 0);
        }
    }
}
