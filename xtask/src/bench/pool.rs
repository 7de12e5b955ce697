//! Pools of machines for the benchmark of placement, in a real state of the scheduler.

use std::time::Duration;

use anyhow::Context;
use muster_ledger::{At, Core, Now};
use muster_model::{
    CommandId, Incarnation, MachineId, ModuleName, Phase, PoolTime, Position, ReservationId, ResourceId, ResourceKind,
    Term,
};
use muster_scheduler::core::event::{LoadNumber, MachineSeen};
use muster_scheduler::core::input::{Count, CountBy, Heartbeat, Start, Started};
use muster_scheduler::core::machine::{Resource, Seen};
use muster_scheduler::core::module::{Artifact, Module, Requirement};
use muster_scheduler::core::{Event, Input, JobCore, Observation, Observed, Reply, State};

/// Types of disks, with load numbers of 4, 8, ... 64: two of them have a capacity of 8 to 128.
const TYPES: u32 = 16;
const TIME: PoolTime = PoolTime(1_000_000_000);

/// A state with its volatile part.
pub(super) struct Pool {
    pub(super) state: State,
    observed: Observed,
    sequence: u64,
}

/// What constrains a machine: each of these is one in ten.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Constraint {
    /// Its first disk is protected.
    Protected,
    /// Another reservation holds it.
    Held,
    /// It has the tag that the selector leaves out.
    Slow,
    /// It is silent.
    Silent,
    None,
}

/// Machine `number` of a pool.
pub(super) fn constraint(number: u32) -> Constraint {
    match number % 10 {
        3 => Constraint::Protected,
        5 => Constraint::Held,
        7 => Constraint::Slow,
        9 => Constraint::Silent,
        _ => Constraint::None,
    }
}

/// Load number of a disk.
pub(super) fn load_of(machine: u32, disk: u32) -> u32 {
    4 * (1 + (machine.wrapping_mul(7) + disk * 5) % TYPES)
}

impl Pool {
    /// So many machines with so many disks and four CPUs each; all were heard, some of them too long ago.
    pub(super) fn new(machines: u32, disks: u32, modules: &[Module]) -> anyhow::Result<Self> {
        let mut pool = Self { state: State::default(), observed: Observed::default(), sequence: 0 };
        for number in 1..=TYPES {
            let load =
                LoadNumber { kind: ResourceKind::Disk, device_type: format!("type-{}", number * 4), load: number * 4 };
            pool.fold(&Event::LoadNumberSeen(load));
        }
        for module in modules {
            pool.fold(&Event::ModuleAdded(Box::new(module.clone())));
        }
        for number in 0..machines {
            let seen = machine(number, disks)?;
            pool.fold(&Event::MachineSeen(Box::new(MachineSeen { seen, usable: Vec::new() })));
        }
        for number in 0..machines {
            let ago = Duration::from_secs(if constraint(number) == Constraint::Silent { 10 } else { 1 });
            let (machine, incarnation) = (id(number)?, Incarnation(1));
            let heartbeat = Heartbeat {
                machine,
                incarnation,
                generation: Position::default(),
                digest: 0,
                live: 0,
                stored: 0,
                policy: muster_model::TriggerPolicy::default(),
            };
            JobCore::observe(&mut pool.observed, &pool.state, Observation::Heartbeat(heartbeat), now() - ago);
        }
        Ok(pool)
    }

    fn fold(&mut self, event: &Event) {
        self.sequence += 1;
        let at = At { position: Position::new(1, self.sequence), time: TIME, actor: "" };
        JobCore::apply(&mut self.state, event, &at);
    }

    /// Decides a start, and says how long that took.
    pub(super) fn start(&self, start: &Start) -> anyhow::Result<(Vec<Event>, Started, Duration)> {
        let now = Now { time: now(), position: Position::new(1, self.sequence + 1), term: Term(1) };
        let input = Input::Start(start.clone());
        let begun = std::time::Instant::now();
        let decision = JobCore::decide(&self.state, &self.observed, &input, now);
        let taken = begun.elapsed();
        let decision = decision.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
        match decision.reply {
            Some(Reply::Started(started)) => Ok((decision.events, started, taken)),
            _ => anyhow::bail!("a start was not answered"),
        }
    }

    /// Folds what a start came to, and says how long that took.
    pub(super) fn take(&mut self, events: &[Event]) -> Duration {
        let begun = std::time::Instant::now();
        events.iter().for_each(|event| self.fold(event));
        begun.elapsed()
    }
}

fn now() -> PoolTime {
    TIME + Duration::from_secs(60)
}

fn id(number: u32) -> anyhow::Result<MachineId> {
    MachineId::new(&format!("node-{number:06}")).context("name a machine")
}

fn machine(number: u32, disks: u32) -> anyhow::Result<Seen> {
    let mut seen = Seen::new(id(number)?);
    (seen.active, seen.phase, seen.incarnation) = (true, Some(Phase::Ready), Incarnation(1));
    let attributes = [("arch", "x86_64".to_owned()), ("cpus", "4".to_owned()), ("disks", disks.to_string())];
    seen.attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let resource = |id: String, kind, device_type| {
        let id = ResourceId::new(&id).context("name a resource")?;
        anyhow::Ok(Resource { id, kind, device_type, shared_name: String::new(), size: 1 << 40 })
    };
    for cpu in 0..4 {
        seen.resources.push(resource(format!("cpu{cpu}"), ResourceKind::Cpu, String::new())?);
    }
    for disk in 0..disks {
        let device_type = format!("type-{}", load_of(number, disk));
        seen.resources.push(resource(format!("disk-{disk:04}"), ResourceKind::Disk, device_type)?);
    }
    match constraint(number) {
        Constraint::Protected => seen.protected.extend(["disk-0000".to_owned()]),
        Constraint::Held => seen.reservation = ReservationId(7),
        Constraint::Slow => seen.tags.extend(["slow".to_owned()]),
        Constraint::Silent | Constraint::None => {}
    }
    Ok(seen)
}

/// A module that needs one of each of these, with these roles.
pub(super) fn module(name: &str, kinds: &[ResourceKind], roles: &[&str]) -> anyhow::Result<Module> {
    let need = |kind: &ResourceKind| Requirement { kind: *kind, count: 1, weight_milli: 1000 };
    Ok(Module {
        name: ModuleName::new(name).context("name a module")?,
        version: "1".into(),
        description: String::new(),
        artifacts: vec![Artifact { architecture: "x86_64".into(), sha256: "0".repeat(64), size_bytes: 1 }],
        requirements: kinds.iter().map(need).collect(),
        parameters: Vec::new(),
        stop_grace: Duration::from_secs(1),
        ends_by_itself: false,
        reboots: false,
        root: false,
        stall: Duration::ZERO,
        roles: roles.iter().map(ToString::to_string).collect(),
        clients: String::new(),
        client_selector: String::new(),
    })
}

/// A start with selectors of machines and resources.
pub(super) fn start(module: &str, processes: u32, resources: &str) -> Start {
    Start {
        command: CommandId([7; 16]),
        actor: "user:bench".into(),
        module: module.into(),
        count: Count { number: processes, by: CountBy::Job },
        selector: "cpus>=2 and not tag=slow".into(),
        resource_selector: resources.into(),
        parameters: Vec::new(),
        dry_run: false,
        reservation: ReservationId(0),
        seed: 1,
        pulses: Vec::new(),
        again: None,
        check_out: false,
        on_error: String::new(),
    }
}
