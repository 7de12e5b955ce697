//! Users: they give commands and repeat them, with the same id, until they are answered.

use std::collections::VecDeque;
use std::time::Duration;

use muster_model::PoolTime;
use muster_proto::v1::{
    self, envelope::Body, job_command, job_reply, machine_command, reservation_command, reservation_reply,
};

use crate::SimulationOptions;
use crate::plans;
use crate::random::Random;
use crate::service::Stream;

/// A command without an answer is given again after this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Pulses that users define.
const PULSES: u64 = 3;
/// Remembered jobs and reservations of a user.
const REMEMBERED_MAX: usize = 16;

/// A command on its way.
#[derive(Debug, Clone)]
struct Asked {
    to: Stream,
    envelope: v1::Envelope,
    sent: PoolTime,
}

/// A user.
#[derive(Debug)]
pub(crate) struct User {
    index: usize,
    rarity: u32,
    given: u64,
    asked: Option<Asked>,
    next_at: PoolTime,
    jobs: VecDeque<u32>,
    reservations: VecDeque<u64>,
    script: VecDeque<(Stream, Body)>,
    /// Jobs that were accepted.
    pub(crate) accepted: Vec<u32>,
    /// Reservations that were accepted.
    pub(crate) reserved: Vec<u64>,
}

impl User {
    /// A user; the first one sets the pool up.
    pub(crate) fn new(index: usize, options: &SimulationOptions) -> Self {
        let script = if index == 0 { set_up(options.machines) } else { VecDeque::new() };
        Self {
            index,
            rarity: options.rarity,
            given: 0,
            asked: None,
            next_at: PoolTime::NEVER,
            jobs: VecDeque::new(),
            reservations: VecDeque::new(),
            script,
            accepted: Vec::new(),
            reserved: Vec::new(),
        }
    }

    /// Has nothing more to say.
    pub(crate) fn is_quiet(&self) -> bool {
        self.asked.is_none() && self.script.is_empty()
    }

    /// From now on it only gives back: everything stops, every machine is checked in.
    pub(crate) fn finish(&mut self) {
        let stop = v1::Stop { all: true, ..Default::default() };
        if self.index == 0 {
            self.script.push_back(job(job_command::Kind::Stop(stop)));
        }
        for reservation in self.reserved.clone() {
            let check_in = v1::CheckIn { reservation, ..Default::default() };
            self.script.push_back(reservation_body(reservation_command::Kind::CheckIn(check_in)));
        }
    }

    /// What it says now: something new, or again what was not answered. `is_busy` users think of new things.
    pub(crate) fn say(
        &mut self,
        now: PoolTime,
        is_busy: bool,
        machines: usize,
        random: &mut Random,
    ) -> Option<(Stream, v1::Envelope)> {
        if let Some(asked) = &mut self.asked {
            if now.since(asked.sent) < ANSWER_TIMEOUT {
                return None;
            }
            asked.sent = now;
            return Some((asked.to, asked.envelope.clone()));
        }
        let (to, body) = match self.script.pop_front() {
            Some(next) => next,
            None if is_busy && now >= self.next_at => {
                self.next_at = now + random.millis(200, 8_000) * self.rarity;
                self.think(machines, random)?
            }
            None => return None,
        };
        let envelope = self.envelope(now, body, random);
        self.asked = Some(Asked { to, envelope: envelope.clone(), sent: now });
        Some((to, envelope))
    }

    /// A UUIDv7 of now.
    fn envelope(&mut self, now: PoolTime, body: Body, random: &mut Random) -> v1::Envelope {
        self.given += 1;
        let mut id = [0; 16];
        id[..6].copy_from_slice(&(now.0 as u64 / 1_000_000).to_be_bytes()[2..]);
        id[6..8].copy_from_slice(&[0x70, self.index as u8]);
        id[8..].copy_from_slice(&random.below(u64::MAX).to_be_bytes());
        v1::Envelope {
            actor: format!("user:u{}", self.index),
            cmd_id: bytes::Bytes::copy_from_slice(&id),
            body: Some(body),
            ..Default::default()
        }
    }

    /// Takes an answer: the first one to what was asked last counts.
    pub(crate) fn answered(&mut self, to: &v1::Envelope) {
        let Some(asked) = self.asked.take() else { return };
        match &to.body {
            Some(Body::JobReply(v1::JobReply { kind: Some(job_reply::Kind::Started(started)) })) => {
                self.jobs.push_back(started.job);
                self.accepted.push(started.job);
            }
            Some(Body::JobReply(v1::JobReply { kind: Some(job_reply::Kind::PlanAccepted(plan)) })) => {
                self.jobs.push_back(plan.job);
                self.accepted.push(plan.job);
            }
            Some(Body::ReservationReply(v1::ReservationReply {
                kind: Some(reservation_reply::Kind::Reservation(record)),
            })) if is_reserve(&asked.envelope) => {
                self.reservations.push_back(record.reservation);
                self.reserved.push(record.reservation);
            }
            _ => {}
        }
        if self.jobs.len() > REMEMBERED_MAX {
            self.jobs.pop_front();
        }
        if self.reservations.len() > REMEMBERED_MAX {
            self.reservations.pop_front();
        }
    }

    /// The id of what was asked last.
    pub(crate) fn asked_id(&self) -> Option<&[u8]> {
        self.asked.as_ref().map(|asked| asked.envelope.cmd_id.as_ref())
    }

    fn think(&self, machines: usize, random: &mut Random) -> Option<(Stream, Body)> {
        let mine = self.reservations.back().copied();
        match random.below(25) {
            0..=6 => Some(self.start(mine, machines, random)),
            7..=9 => {
                let jobs = vec![*self.jobs.get(random.index(self.jobs.len().max(1)))?];
                let grace_ms = random.below(4_000);
                Some(job(job_command::Kind::Stop(v1::Stop { jobs, grace_ms, ..Default::default() })))
            }
            10..=13 => Some(reserve(machines, random)),
            14 | 15 => {
                let check_in = v1::CheckIn { reservation: mine?, ..Default::default() };
                Some(reservation_body(reservation_command::Kind::CheckIn(check_in)))
            }
            16 => {
                let by_ns = (1 + random.below(60)) as i64 * 1_000_000_000;
                let extend = v1::Extend { reservation: mine?, by_ns, ..Default::default() };
                Some(reservation_body(reservation_command::Kind::Extend(extend)))
            }
            17 => Some(set_flag(
                &format!("m{}", random.index(machines)),
                v1::MachineFlag::Maintenance,
                random.happens(300),
            )),
            18 => match random.below(6) {
                0 => Some(set_flag(&format!("m{}", random.index(machines)), v1::MachineFlag::Retired, true)),
                1 => {
                    let remove = v1::RemoveMachine { machine: format!("m{}", random.index(machines)) };
                    Some(machine(machine_command::Kind::Remove(remove)))
                }
                2 | 3 => Some(set_flag("*", v1::MachineFlag::Retired, false)),
                _ => Some(set_flag("*", v1::MachineFlag::Active, true)),
            },
            19 => Some(protect(&format!("m{}", random.index(machines)), random.happens(500))),
            20 => Some(set_pulse(random)),
            21 | 22 => Some(plans::write(if random.happens(200) { mine.unwrap_or(0) } else { 0 }, random)),
            23 => {
                let numbers = (0..random.below(3) as u32).collect();
                let change = v1::ChangeJob {
                    job: *self.jobs.get(random.index(self.jobs.len().max(1)))?,
                    pulses: Some(v1::PulseNumbers { numbers }),
                    parameters: Vec::new(),
                };
                Some(job(job_command::Kind::ChangeJob(change)))
            }
            _ => {
                let numbers = vec![random.below(PULSES) as u32];
                Some(job(job_command::Kind::ClearPulses(v1::ClearPulses { numbers, all: false })))
            }
        }
    }

    fn start(&self, mine: Option<u64>, machines: usize, random: &mut Random) -> (Stream, Body) {
        let reservation = if random.happens(300) { mine.unwrap_or(0) } else { 0 };
        let selector = match random.below(3) {
            0 => format!("m{}", random.index(machines)),
            _ => String::new(),
        };
        let start = v1::Start {
            module: "simulated".into(),
            processes: 1 + random.below(12) as u32,
            selector,
            reservation,
            pulses: if random.happens(300) { vec![random.below(PULSES) as u32] } else { Vec::new() },
            ..Default::default()
        };
        job(job_command::Kind::Start(start))
    }
}

fn is_reserve(envelope: &v1::Envelope) -> bool {
    let Some(Body::ReservationCommand(command)) = &envelope.body else { return false };
    matches!(command.kind, Some(reservation_command::Kind::Reserve(_)))
}

/// Takes the machines into the pool that a pool file names, and adds the one module.
fn set_up(machines: usize) -> VecDeque<(Stream, Body)> {
    let names =
        (0..machines).map(|index| v1::PoolMachine { machine: format!("m{index}"), active: true, ..Default::default() });
    let load = v1::LoadPool { machines: names.collect() };
    let artifact = v1::Artifact { architecture: "any".into(), sha256: "0".repeat(64), size_bytes: 1 };
    let module = v1::Module {
        name: "simulated".into(),
        version: "1".into(),
        description: "a process of the simulation".into(),
        artifacts: vec![artifact],
        requirements: vec![v1::Requirement { kind: v1::ResourceKind::Disk.into(), count: 1, weight_milli: 1_000 }],
        stop_grace_ms: 3_000,
        parameters: vec![v1::Parameter {
            name: "clients".into(),
            r#type: v1::ParameterType::Integer.into(),
            default: "0".into(),
            help: "machines that each process gets as clients".into(),
            ..Default::default()
        }],
        clients: "clients".into(),
        ..Default::default()
    };
    [
        machine(machine_command::Kind::LoadPool(load)),
        job(job_command::Kind::AddModule(v1::AddModule { module: Some(module) })),
    ]
    .into()
}

fn set_pulse(random: &mut Random) -> (Stream, Body) {
    let part = |random: &mut Random| (1 + random.below(50)) * 100_000_000;
    let (block_ns, free_ns) = (part(random), part(random));
    let pulse = v1::Pulse { number: random.below(PULSES) as u32, block_ns, free_ns, phase_ns: 0 };
    job(job_command::Kind::SetPulse(v1::SetPulse { pulse: Some(pulse) }))
}

fn reserve(machines: usize, random: &mut Random) -> (Stream, Body) {
    let selector = match random.below(3) {
        0 => format!("m{},m{}", random.index(machines), random.index(machines)),
        _ => String::new(),
    };
    let reserve = v1::Reserve {
        selector,
        count: 1 + random.below(2) as u32,
        duration_ns: (5 + random.below(90)) as i64 * 1_000_000_000,
        drain_ns: random.below(8) as i64 * 1_000_000_000,
        priority: random.below(3) as u32,
        ..Default::default()
    };
    reservation_body(reservation_command::Kind::Reserve(reserve))
}

fn set_flag(selector: &str, flag: v1::MachineFlag, value: bool) -> (Stream, Body) {
    let set = v1::SetFlag { selector: selector.into(), flag: flag as u32, value };
    machine(machine_command::Kind::SetFlag(set))
}

fn protect(selector: &str, protect: bool) -> (Stream, Body) {
    let resources = vec!["disk1".into()];
    let set = v1::SetProtection { selector: selector.into(), resources, protect, machine: false };
    machine(machine_command::Kind::SetProtection(set))
}

fn job(kind: job_command::Kind) -> (Stream, Body) {
    (Stream::Jobs, Body::JobCommand(v1::JobCommand { kind: Some(kind), ..Default::default() }))
}

fn machine(kind: machine_command::Kind) -> (Stream, Body) {
    (Stream::Machines, Body::MachineCommand(v1::MachineCommand { kind: Some(kind) }))
}

fn reservation_body(kind: reservation_command::Kind) -> (Stream, Body) {
    (Stream::Reservations, Body::ReservationCommand(v1::ReservationCommand { kind: Some(kind), master: None }))
}
