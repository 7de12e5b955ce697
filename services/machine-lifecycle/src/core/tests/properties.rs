use proptest::prelude::*;

use muster_model::{
    BootDriver, BootProgress, BootStep, PowerAction, PowerState, SnapshotName, StorageOutcome, StorageTask,
};

use super::kernels::kernel;
use super::*;
use crate::core::power::{PowerOutcome, PowerTask};
use crate::core::{
    BootOrder, HoldSetting, LoadKey, PowerActed, PowerLooked, PowerOrdering, StorageOrdering, StorageReport,
    StorageWork,
};

/// Something that happens to one of three machines.
#[derive(Debug, Clone)]
enum Step {
    Hello { machine: usize, boot: u8, fenced: u64, forgets: bool, signed: bool },
    Beat { machine: usize, live: u32, stale: bool, fenced: bool },
    Grant { reservation: u64, machines: Vec<usize>, drain: u64, kernel: u8 },
    Dropped { reservation: u64, machine: usize },
    Moved { reservation: u64, by: u64 },
    Ended { reservation: u64 },
    Fence { machine: usize, below: u64 },
    Taken { machine: usize },
    Flag { machine: usize, flag: u8, value: bool },
    Protect { machine: usize, protect: bool },
    Remove { machine: usize },
    Pool { machine: usize, active: bool },
    Load { load: u32 },
    Boot { machine: usize, stock: bool },
    Progress { machine: usize, step: usize },
    Back { machine: usize, boot: u8, kernel: u8, attempt: u32 },
    Switch { machine: usize, task: usize },
    Acted { machine: usize, outcome: usize },
    Looked { machine: usize, on: bool },
    Hold { held: bool },
    Prepare { machine: usize, task: usize },
    Prepared { machine: usize, done: bool },
    Listen { fresh: bool },
    Wait { ms: u64 },
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn step() -> impl Strategy<Value = Step> {
    let machine = || 0..NAMES.len();
    prop_oneof![
        4 => (machine(), 1_u8..4, 0_u64..4, any::<bool>(), any::<bool>())
            .prop_map(|(machine, boot, fenced, forgets, signed)| Step::Hello { machine, boot, fenced, forgets, signed }),
        8 => (machine(), 0_u32..2, any::<bool>(), any::<bool>())
            .prop_map(|(machine, live, stale, fenced)| Step::Beat { machine, live, stale, fenced }),
        4 => (1_u64..4, proptest::collection::vec(machine(), 1..3), 0_u64..20, 0_u8..4)
            .prop_map(|(reservation, machines, drain, kernel)| Step::Grant { reservation, machines, drain, kernel }),
        2 => (1_u64..4, machine()).prop_map(|(reservation, machine)| Step::Dropped { reservation, machine }),
        2 => (1_u64..4, 0_u64..100).prop_map(|(reservation, by)| Step::Moved { reservation, by }),
        3 => (1_u64..4).prop_map(|reservation| Step::Ended { reservation }),
        5 => (machine(), 0_u64..2).prop_map(|(machine, below)| Step::Fence { machine, below }),
        3 => machine().prop_map(|machine| Step::Taken { machine }),
        3 => (machine(), 0_u8..3, any::<bool>()).prop_map(|(machine, flag, value)| Step::Flag { machine, flag, value }),
        2 => (machine(), any::<bool>()).prop_map(|(machine, protect)| Step::Protect { machine, protect }),
        1 => machine().prop_map(|machine| Step::Remove { machine }),
        1 => (machine(), any::<bool>()).prop_map(|(machine, active)| Step::Pool { machine, active }),
        1 => (0_u32..9).prop_map(|load| Step::Load { load }),
        5 => (machine(), any::<bool>()).prop_map(|(machine, stock)| Step::Boot { machine, stock }),
        8 => (machine(), 0_usize..4).prop_map(|(machine, step)| Step::Progress { machine, step }),
        8 => (machine(), 1_u8..6, 0_u8..3, 1_u32..4)
            .prop_map(|(machine, boot, kernel, attempt)| Step::Back { machine, boot, kernel, attempt }),
        3 => (machine(), 0_usize..4).prop_map(|(machine, task)| Step::Switch { machine, task }),
        4 => (machine(), 0_usize..5).prop_map(|(machine, outcome)| Step::Acted { machine, outcome }),
        1 => (machine(), any::<bool>()).prop_map(|(machine, on)| Step::Looked { machine, on }),
        1 => any::<bool>().prop_map(|held| Step::Hold { held }),
        3 => (machine(), 0_usize..3).prop_map(|(machine, task)| Step::Prepare { machine, task }),
        3 => (machine(), any::<bool>()).prop_map(|(machine, done)| Step::Prepared { machine, done }),
        1 => any::<bool>().prop_map(|fresh| Step::Listen { fresh }),
        6 => (0_u64..20_000).prop_map(|ms| Step::Wait { ms }),
    ]
}

impl World {
    /// Takes one step; refusals are as good as replies here. The tick follows, as it does in life.
    fn step(&mut self, step: &Step) {
        match step {
            Step::Beat { .. } | Step::Listen { .. } | Step::Wait { .. } | Step::Progress { .. } => {
                self.step_observed(step)
            }
            Step::Boot { .. }
            | Step::Prepare { .. }
            | Step::Switch { .. }
            | Step::Hold { .. }
            | Step::Flag { .. }
            | Step::Protect { .. }
            | Step::Remove { .. }
            | Step::Pool { .. }
            | Step::Load { .. } => {
                let _ = self.check(Input::Command(command(step)));
            }
            Step::Hello { .. }
            | Step::Back { .. }
            | Step::Grant { .. }
            | Step::Dropped { .. }
            | Step::Moved { .. }
            | Step::Ended { .. }
            | Step::Fence { .. }
            | Step::Acted { .. }
            | Step::Prepared { .. }
            | Step::Looked { .. }
            | Step::Taken { .. } => {
                let input = self.input(step);
                let _ = self.check(input);
            }
        }
        self.tick();
        self.wanted();
    }

    fn step_observed(&mut self, step: &Step) {
        match step {
            Step::Beat { machine, live, stale, fenced } if self.state.machines.contains_key(&id(NAMES[*machine])) => {
                let mut heartbeat = self.heartbeat(NAMES[*machine]);
                heartbeat.processes_live = *live;
                if *stale {
                    heartbeat.incarnation.0 = heartbeat.incarnation.0.saturating_sub(1);
                }
                if *fenced {
                    heartbeat.fenced_epoch = self.machine(NAMES[*machine]).epoch;
                }
                self.observe(Observation::Heartbeat(heartbeat));
            }
            Step::Progress { machine, step } => {
                let steps = [BootStep::Installing, BootStep::Installed, BootStep::Failed, BootStep::Rebooting];
                self.tell_progress(NAMES[*machine], steps[*step]);
            }
            Step::Listen { fresh: true } => self.observe(Observation::LeadershipBegan),
            Step::Listen { fresh: false } => self.observe(Observation::Reconnected),
            Step::Wait { ms } => self.now = self.now + Duration::from_millis(*ms),
            _ => {}
        }
    }

    fn input(&self, step: &Step) -> Input {
        match step {
            Step::Hello { machine, boot, fenced, forgets, signed } => {
                let known = self.state.machines.get(&id(NAMES[*machine]));
                let kept = known.filter(|_| !forgets);
                Input::Hello(Hello {
                    boot_id: format!("boot-{boot}"),
                    fenced_epoch: kept.map_or(Epoch(*fenced), |machine| machine.fenced_epoch),
                    last_incarnation: kept.map_or(Incarnation(*fenced), |machine| machine.incarnation),
                    inventory: Some(inventory(vec![disk("disk-a", if *signed { &["gpt"] } else { &[] })])),
                    ..plain_hello(NAMES[*machine])
                })
            }
            Step::Back { machine, boot, kernel, attempt } => self.back(NAMES[*machine], *boot, *kernel, *attempt),
            Step::Dropped { reservation, machine } => {
                Input::Dropped { reservation: ReservationId(*reservation), machine: id(NAMES[*machine]) }
            }
            Step::Grant { reservation, machines, drain, kernel } => {
                let names: Vec<&str> = machines.iter().map(|machine| NAMES[*machine]).collect();
                let kernel = ["k", "unknown"].get(usize::from(*kernel)).map(|name| KernelName::new(name).unwrap());
                Input::Granted(Grant {
                    kernel: kernel.map(|name| (name, "feed".into())),
                    image: drain.is_multiple_of(2).then(|| SnapshotName::new("clean").unwrap()),
                    deadline: self.now + seconds(20),
                    drain: seconds(*drain),
                    ..grant(self, *reservation, &names)
                })
            }
            Step::Moved { reservation, by } => {
                Input::DeadlineMoved { reservation: ReservationId(*reservation), deadline: self.now + seconds(*by) }
            }
            Step::Acted { machine, outcome } => self.acted_on(NAMES[*machine], *outcome),
            Step::Looked { machine, on } => {
                let state = if *on { PowerState::On } else { PowerState::Off };
                let looked = PowerLooked { position: self.switched_at(NAMES[*machine]), state };
                Input::PowerLooked { machine: id(NAMES[*machine]), looked }
            }
            Step::Prepared { machine, done } => self.prepared(NAMES[*machine], *done),
            Step::Ended { reservation } => Input::Ended { reservation: ReservationId(*reservation) },
            Step::Fence { machine, below } => {
                let machine = id(NAMES[*machine]);
                let epoch = self.state.machines.get(&machine).map_or(1, |machine| machine.epoch.0);
                Input::FenceDone { machine, epoch: Epoch(epoch.saturating_sub(*below)) }
            }
            Step::Taken { machine } => {
                let machine = id(NAMES[*machine]);
                let known = self.state.machines.get(&machine).cloned().unwrap_or_default();
                Input::DesiredTaken { machine, incarnation: known.incarnation, generation: known.generation }
            }
            _ => Input::Tick,
        }
    }
}

impl World {
    fn switched_at(&self, name: &str) -> Position {
        let machine = self.state.machines.get(&id(name));
        machine.and_then(|machine| machine.power.as_ref()).map_or(Position::new(1, 0), |known| known.position)
    }

    /// What an agent reports of a disk, in time or late.
    fn prepared(&self, name: &str, done: bool) -> Input {
        let order = self.state.machines.get(&id(name)).and_then(|machine| machine.storage.as_ref());
        let position = order.map_or(Position::new(1, 0), |order| order.position);
        let outcome = if done { StorageOutcome::Done } else { StorageOutcome::Failed };
        Input::StorageDone { machine: id(name), report: StorageReport { position, outcome, detail: String::new() } }
    }

    /// What a driver says; none of the outcomes is a person who is asked.
    fn acted_on(&self, name: &str, outcome: usize) -> Input {
        let outcomes = [PowerOutcome::Done, PowerOutcome::Failed, PowerOutcome::Unclear, PowerOutcome::Dropped];
        let (position, outcome) = (self.switched_at(name), outcomes.get(outcome).copied());
        Input::PowerActed {
            machine: id(name),
            acted: PowerActed { position, outcome, detail: String::new(), dump: None },
        }
    }

    /// A heartbeat with the progress of the present operation.
    fn tell_progress(&mut self, name: &str, step: BootStep) {
        let boot = self.state.machines.get(&id(name)).and_then(|machine| machine.boot.as_ref());
        let Some(operation) = boot.map(|boot| boot.operation()) else { return };
        let boot = Some(BootProgress { operation, step, detail: String::new() });
        let heartbeat = Heartbeat { boot, ..self.heartbeat(name) };
        self.observe(Observation::Heartbeat(heartbeat));
    }

    /// A hello of a boot in the right kernel, in another build of it, or in the stock kernel.
    fn back(&self, name: &str, boot: u8, running: u8, attempt: u32) -> Input {
        let known = self.state.machines.get(&id(name)).cloned().unwrap_or_default();
        let k = kernel("k");
        let (release, build_id, line) = match running {
            0 => (k.release, k.build_id, format!("muster.boot=feed.{attempt}")),
            1 => (k.release, "57".into(), format!("muster.boot=feed.{attempt}")),
            _ => ("6.1.0".into(), "57".into(), "quiet".into()),
        };
        let found = Inventory {
            kernel_release: release,
            kernel_build_id: build_id,
            ..Inventory::clone(&inventory(vec![disk("disk-a", &[])]))
        };
        Input::Hello(Hello {
            boot_id: format!("boot-{boot}"),
            command_line: line,
            fenced_epoch: known.fenced_epoch,
            last_incarnation: known.incarnation,
            inventory: Some(Arc::new(found)),
            ..plain_hello(name)
        })
    }

    /// The agent does what its machine was ordered to.
    fn go_on_booting(&mut self, name: &str, round: u8) {
        let attempt = self.machine(name).boot.as_ref().map_or(1, |boot| boot.attempt);
        match self.machine(name).phase {
            Phase::Installing => self.tell_progress(name, BootStep::Installed),
            Phase::Rebooting => {
                let stock = self.machine(name).boot.as_ref().is_some_and(|boot| boot.kernel.is_none());
                let back = self.back(name, 100 + round, if stock { 2 } else { 0 }, attempt);
                self.facts(back);
            }
            _ => {}
        }
    }

    /// A kernel and machines that may be booted into it, as far as they are known.
    fn prepare_boots(&mut self) {
        self.facts(Input::Command(Command::AddKernel(Box::new(kernel("k")))));
        for name in NAMES {
            let command = Command::LoadPool(vec![entry(name, &[], true)]);
            self.facts(Input::Command(command));
            let change = Box::new(SettingsChange {
                boot_driver: Some(Some(BootDriver::Simulated)),
                attempts_max: Some(2),
                boot_within: Some(seconds(20)),
                drain: Some(seconds(5)),
                power: Some(Some("simulated domain=rack".parse().unwrap())),
                snapshot: Some(Some("simulated".parse().unwrap())),
                ..SettingsChange::default()
            });
            self.facts(Input::Command(Command::SetSettings { selector: selector(name), change }));
        }
    }
}

fn command(step: &Step) -> Command {
    match step {
        Step::Boot { machine, stock } => Command::Boot(BootOrder {
            selector: selector(NAMES[*machine]),
            kernel: (!stock).then(|| KernelName::new("k").unwrap()),
            nonce: "feed".into(),
            actor: "user:anna".into(),
        }),
        Step::Switch { machine, task } => {
            let power = [PowerAction::Off, PowerAction::Cycle, PowerAction::Reset].get(*task);
            let task = power.map_or(PowerTask::Revert, |action| PowerTask::Power(*action));
            let (selector, actor) = (selector(NAMES[*machine]), "user:anna".into());
            Command::Power(PowerOrdering { selector, task, done: false, actor })
        }
        Step::Prepare { machine, task } => {
            let (task, actor) = (StorageTask::ALL[*task], "user:anna".into());
            let work = StorageWork { resource: resource("disk-a"), task, file_system: None, actor };
            Command::Storage(StorageOrdering { machine: id(NAMES[*machine]), work, confirmed: true })
        }
        Step::Hold { held } => {
            Command::Hold(HoldSetting { held: *held, actor: "user:anna".into(), reason: String::new() })
        }
        Step::Flag { machine, flag, value } => {
            let flag = [Flag::Active, Flag::Maintenance, Flag::Retired][usize::from(*flag)];
            Command::SetFlag(FlagSetting { selector: selector(NAMES[*machine]), flag, value: *value })
        }
        Step::Protect { machine, protect } => Command::SetProtection(ProtectionSetting {
            selector: selector(NAMES[*machine]),
            resources: vec!["disk-a".into()],
            protect: *protect,
            machine: !*protect,
        }),
        Step::Pool { machine, active } => Command::LoadPool(vec![entry(NAMES[*machine], &["disk-*"], *active)]),
        Step::Load { load } => {
            let key = LoadKey { kind: ResourceKind::Disk, device_type: "ssd".into() };
            Command::SetLoadNumbers(vec![(key, *load)])
        }
        Step::Remove { machine } => Command::Remove(id(NAMES[*machine])),
        _ => Command::Remove(id("none")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Every event that is decided is legal, every invariant holds after each (both in `World::check`), the log folds to the state,
    /// and bytes read back; whatever happens in whatever order.
    #[test]
    fn invariants_hold_and_the_log_folds_to_the_state(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        world.prepare_boots();
        let mut epochs = std::collections::BTreeMap::<MachineId, Epoch>::new();
        for step in &steps {
            world.step(step);
            for (id, machine) in &world.state.machines {
                let highest = epochs.entry(id.clone()).or_default();
                prop_assert!(machine.epoch >= *highest, "{id}: an epoch went back");
                *highest = machine.epoch;
            }
        }
        world.check_replay();
    }

    /// I9: once nothing happens any more but heartbeats and fences, every machine comes to rest with its newest fence.
    #[test]
    fn every_machine_settles_once_faults_end(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        world.prepare_boots();
        for step in &steps {
            world.step(step);
        }
        for reservation in 1..4 {
            world.facts(Input::Ended { reservation: ReservationId(reservation) });
        }
        let names: Vec<String> = world.state.machines.keys().map(ToString::to_string).collect();
        let hold = HoldSetting { held: false, actor: "user:anna".into(), reason: String::new() };
        world.facts(Input::Command(Command::Hold(hold)));
        for name in &names {
            let again = later_hello(&world, name);
            world.hello(Hello { boot_id: "boot-9".into(), ..again });
        }
        for round in 0..200 {
            world.now = world.now + seconds(1);
            for name in &names {
                let acted = world.acted_on(name, 0);
                world.facts(acted);
                world.go_on_booting(name, round);
                let boot = world.observed.newest(&id(name)).and_then(|seen| seen.heartbeat.boot.clone());
                let heartbeat = Heartbeat { fenced_epoch: world.machine(name).epoch, boot, ..world.heartbeat(name) };
                world.observe(Observation::Heartbeat(heartbeat));
            }
            world.tick();
        }
        for name in &names {
            prop_assert!(world.machine(name).rests_in_pool(), "{name}: {:?}", world.machine(name).tenure);
            prop_assert!(!world.machine(name).protection_pending() && !world.machine(name).down);
            let at_rest = [Phase::Ready, Phase::Offline, Phase::Dirty].contains(&world.machine(name).phase);
            prop_assert!(at_rest, "{name}: {:?}", world.machine(name));
        }
        prop_assert!(world.tick().is_empty() && world.wanted().is_empty());
    }
}
