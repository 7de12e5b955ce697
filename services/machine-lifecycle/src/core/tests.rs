//! The rules of the core, through inputs alone: one helper feeds them, folds the events and checks the invariants after each.

mod announced;
mod boots;
mod commands;
mod direct;
mod findings;
mod flakiness;
mod health;
mod hello;
mod images;
mod kernels;
mod power;
mod preparation;
mod properties;
mod protection;
mod restarts;
mod storage;
mod tenure;
mod thousand;
mod transitions;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_ledger::{At, Core, Now, Scope};
use muster_model::{
    Epoch, Flag, Incarnation, KernelName, MachineId, Phase, PoolTime, Position, Refusal, RefusalCode, ReservationId,
    ResourceId, ResourceKind, Selector, Term,
};

use super::{
    Command, Desired, Effect, Event, Fact, FlagSetting, Grant, Heartbeat, Hello, Input, Inventory, Machine,
    MachineCore, Observation, Observed, PoolEntry, ProtectionSetting, Reply, Resource, SettingsChange, State, check,
};

/// A core with its log, on a clock of its own.
pub(super) struct World {
    pub(super) state: State,
    pub(super) observed: Observed,
    pub(super) now: PoolTime,
    pub(super) log: Vec<(Position, PoolTime, Event)>,
    sequence: u64,
}

pub(super) fn id(name: &str) -> MachineId {
    MachineId::new(name).unwrap()
}

pub(super) fn resource(name: &str) -> ResourceId {
    ResourceId::new(name).unwrap()
}

pub(super) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

impl World {
    /// Listens since so long that verdicts may be given.
    pub(super) fn new() -> Self {
        let mut world = Self {
            state: State::default(),
            observed: Observed::default(),
            now: PoolTime(1_000_000_000_000),
            log: Vec::new(),
            sequence: 0,
        };
        world.observe(Observation::LeadershipBegan);
        world.now = world.now + seconds(60);
        world
    }

    /// Decides and folds one input, each event checked for itself alone: for worlds that are too large to be looked at whole each time.
    pub(super) fn feed(&mut self, input: Input) {
        let position = Position::new(1, self.sequence + 1);
        let now = Now { time: self.now, position, term: Term(1) };
        let decision = MachineCore::decide(&self.state, &self.observed, &input, now).unwrap();
        self.sequence += u64::from(!decision.events.is_empty());
        for event in decision.events {
            check::legal(&self.state, &event).unwrap_or_else(|error| panic!("{error}: {event:?}"));
            MachineCore::apply(&mut self.state, &event, &At { position, time: self.now, actor: "" });
        }
    }

    /// Feeds one input: decides, folds, checks every invariant, and that events read back as they were.
    pub(super) fn check(&mut self, input: Input) -> Result<(Vec<Fact>, Option<Reply>), Refusal> {
        let position = Position::new(1, self.sequence + 1);
        let now = Now { time: self.now, position, term: Term(1) };
        let before = self.state.clone();
        let decided = MachineCore::decide(&self.state, &self.observed, &input, now);
        assert_eq!(self.state, before, "deciding changes nothing");
        let decision = decided?;
        let mut facts = Vec::new();
        for event in decision.events {
            check::legal(&self.state, &event).unwrap_or_else(|error| panic!("{error}: {event:?}"));
            let read = MachineCore::decode_event(&MachineCore::encode_event(&event));
            assert_eq!(read, Ok(event.clone()));
            MachineCore::apply(&mut self.state, &event, &At { position, time: self.now, actor: "" });
            if let Event::Machine { fact, .. } = &event {
                facts.push(fact.clone());
            }
            self.log.push((position, self.now, event));
        }
        if !facts.is_empty() {
            self.sequence += 1;
        }
        check::check(&self.state).unwrap();
        Ok((facts, decision.reply))
    }

    pub(super) fn facts(&mut self, input: Input) -> Vec<Fact> {
        self.check(input).unwrap().0
    }

    pub(super) fn tick(&mut self) -> Vec<Fact> {
        self.facts(Input::Tick)
    }

    pub(super) fn observe(&mut self, observation: Observation) {
        MachineCore::observe(&mut self.observed, &self.state, observation, self.now);
    }

    pub(super) fn machine(&self, name: &str) -> &Machine {
        &self.state.machines[&id(name)]
    }

    /// Says hello and returns the answer.
    pub(super) fn hello(&mut self, hello: Hello) -> Desired {
        match self.check(Input::Hello(hello)).unwrap().1 {
            Some(Reply::Hello(desired)) => desired,
            other => panic!("{other:?}"),
        }
    }

    /// A machine that is active, has fenced its epoch and beats: ready for use.
    pub(super) fn ready_machine(&mut self, name: &str) {
        self.hello(plain_hello(name));
        let epoch = self.machine(name).epoch;
        self.facts(Input::FenceDone { machine: id(name), epoch });
        self.command(Command::SetFlag(FlagSetting { selector: selector(name), flag: Flag::Active, value: true }))
            .unwrap();
        self.beat(name);
        self.tick();
    }

    /// An ordinary heartbeat: everything taken, nothing running.
    pub(super) fn heartbeat(&self, name: &str) -> Heartbeat {
        let machine = self.machine(name);
        let draining = super::desired_of(machine).draining;
        Heartbeat {
            machine: id(name),
            incarnation: machine.incarnation,
            boot_id: machine.boot_id.clone(),
            generation: machine.generation,
            fenced_epoch: machine.fenced_epoch,
            processes_live: 0,
            processes_digest: 0,
            draining,
            stored: machine.last_batch,
            boot: None,
            storage: None,
            ssh_key: String::new(),
        }
    }

    pub(super) fn beat(&mut self, name: &str) {
        let heartbeat = self.heartbeat(name);
        self.observe(Observation::Heartbeat(heartbeat));
    }

    pub(super) fn command(&mut self, command: Command) -> Result<Vec<Fact>, Refusal> {
        Ok(self.check(Input::Command(command))?.0)
    }

    pub(super) fn wanted(&self) -> Vec<Effect> {
        MachineCore::wanted(&self.state, &self.observed, Scope::Full, self.now)
    }

    /// The log folds to the state, and the state reads back from its bytes.
    pub(super) fn check_replay(&self) {
        let mut replayed = State::default();
        for (position, time, event) in &self.log {
            MachineCore::apply(&mut replayed, event, &At { position: *position, time: *time, actor: "" });
        }
        assert_eq!(replayed, self.state);
        let bytes = MachineCore::encode_state(&self.state);
        let read = MachineCore::decode_state(&bytes).unwrap();
        assert_eq!(read, self.state);
        assert_eq!(MachineCore::encode_state(&read), bytes, "equal states give equal bytes");
    }
}

/// Drains empty, fences: the machine arrives where it was going.
pub(super) fn arrive(world: &mut World, name: &str) {
    world.beat(name);
    world.tick();
    let epoch = world.machine(name).epoch;
    world.facts(Input::FenceDone { machine: id(name), epoch });
}

pub(super) fn disk(name: &str, signatures: &[&str]) -> Resource {
    Resource {
        id: resource(name),
        kind: ResourceKind::Disk,
        device_type: "ssd".into(),
        path: format!("/dev/{name}"),
        size: 1 << 30,
        signatures: signatures.iter().map(ToString::to_string).collect(),
        shared_name: String::new(),
        topology: None,
        area: None,
    }
}

pub(super) fn inventory(resources: Vec<Resource>) -> Arc<Inventory> {
    Arc::new(Inventory {
        architecture: "x86_64".into(),
        kernel_release: "6.1.0".into(),
        boot_id: "boot-1".into(),
        memory_bytes: 16 << 30,
        machine_type: "lab".into(),
        resources,
        ..Inventory::default()
    })
}

pub(super) fn plain_hello(name: &str) -> Hello {
    Hello {
        announced: None,
        machine: id(name),
        agent_version: "0.1.0".into(),
        boot_id: "boot-1".into(),
        fenced_epoch: Epoch(0),
        last_incarnation: Incarnation(0),
        last_batch: 0,
        command_line: "root=/dev/vda quiet".into(),
        inventory: Some(inventory(vec![disk("disk-a", &[]), disk("disk-b", &["ext4"])])),
    }
}

/// The hello of an agent that remembers what it was told.
pub(super) fn later_hello(world: &World, name: &str) -> Hello {
    let machine = world.machine(name);
    Hello {
        fenced_epoch: machine.fenced_epoch,
        last_incarnation: machine.incarnation,
        last_batch: machine.last_batch,
        boot_id: machine.boot_id.clone(),
        inventory: machine.inventory.clone(),
        ..plain_hello(name)
    }
}

pub(super) fn grant(world: &World, reservation: u64, names: &[&str]) -> Grant {
    Grant {
        reservation: ReservationId(reservation),
        user: "user:anna".into(),
        machines: names.iter().map(|name| id(name)).collect(),
        deadline: world.now + seconds(3600),
        ssh_key: String::new(),
        drain: seconds(30),
        kernel: None,
        image: None,
    }
}

pub(super) fn protect(resources: &[&str], protect: bool) -> Command {
    Command::SetProtection(ProtectionSetting {
        selector: selector("a"),
        resources: resources.iter().map(ToString::to_string).collect(),
        protect,
        machine: false,
    })
}

pub(super) fn entry(name: &str, protect: &[&str], active: bool) -> PoolEntry {
    let protect: BTreeSet<String> = protect.iter().map(ToString::to_string).collect();
    let (tags, settings) = (BTreeSet::from(["lab".into()]), SettingsChange::default());
    PoolEntry { machine: id(name), protect, protect_machine: false, tags, active, settings }
}
