//! reservation and machine-lifecycle, each with its log, and what each has not yet read of the other's.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_ledger::{At, Core, Now, Scope};
use muster_machine_lifecycle::core::{
    Command as MachineCommand, Desired, Effect, FlagSetting, Input as MachineInput, MachineCore, Observation, Observed,
    Reply,
};
use muster_machine_lifecycle::wire as machine_wire;
use muster_model::{Epoch, Flag, MachineId, PoolTime, Position, ReservationId, Selector, Term};
use muster_proto::v1::{Cause, Entry, Followed, ReservationEvent, cause::Kind, reservation_event};
use muster_reservation::core::{Command, Extension, Input, ReservationCore, Reserve, Stage};
use muster_reservation::wire as reservation_wire;

use super::agent::Agent;
use super::{Mistake, Service};

/// When the world begins.
pub(super) const BEGIN: PoolTime = PoolTime(1_000_000_000_000);
/// The reservation.
const RESERVATION: ReservationId = ReservationId(1);
/// Who has it.
const USER: &str = "user:anna";

/// The machine.
pub(super) fn machine() -> MachineId {
    MachineId::new("m1").expect("a legal name")
}

/// What follows from one input: its place in the log, and the events that stand there.
type Written = (u64, Vec<Bytes>);

/// A log as it is folded; its own encoding tells it from all others.
struct Log<C: Core> {
    state: Arc<C::State>,
    key: Bytes,
    sequence: u64,
}

impl<C: Core> Clone for Log<C> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), key: self.key.clone(), sequence: self.sequence }
    }
}

impl<C: Core> PartialEq for Log<C> {
    fn eq(&self, other: &Self) -> bool {
        (self.sequence, &self.key) == (other.sequence, &other.key)
    }
}

impl<C: Core> Eq for Log<C> {}

impl<C: Core> Hash for Log<C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.sequence, &self.key).hash(state);
    }
}

impl<C: Core> std::fmt::Debug for Log<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "up to {}", self.sequence)
    }
}

impl<C: Core<State: Clone>> Log<C> {
    fn begin() -> Self {
        let state = C::State::default();
        Self { key: C::encode_state(&state), state: Arc::new(state), sequence: 1 }
    }

    /// Decides an input and folds what was decided. Gives what stands in the log then, and the reply.
    fn decide(
        &mut self,
        observed: &C::Observed,
        input: &C::Input,
        time: PoolTime,
    ) -> (Option<Written>, Option<C::Reply>) {
        let position = Position::new(1, self.sequence + 1);
        let now = Now { time, position, term: Term(1) };
        let Ok(decision) = C::decide(&self.state, observed, input, now) else { return (None, None) };
        if decision.events.is_empty() {
            return (None, decision.reply);
        }
        let mut state = C::State::clone(&self.state);
        for event in &decision.events {
            C::apply(&mut state, event, &At { position, time, actor: "" });
        }
        let events = decision.events.iter().map(C::encode_event).collect();
        *self = Self { key: C::encode_state(&state), state: Arc::new(state), sequence: position.sequence.0 };
        (Some((self.sequence, events)), decision.reply)
    }
}

/// Both services.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Services {
    reservations: Log<ReservationCore>,
    machines: Log<MachineCore>,
    observed: Arc<Observed>,
    /// Of RESERVATIONS, not read by machine-lifecycle.
    for_machines: Vec<Written>,
    /// Of MACHINES, not read by reservation: events, and how far RESERVATIONS was read with them.
    for_reservations: Vec<(Vec<Bytes>, Option<u64>)>,
    is_up: [bool; 2],
}

impl Services {
    pub(super) fn begin(now: PoolTime) -> Self {
        let mut services = Self {
            reservations: Log::begin(),
            machines: Log::begin(),
            observed: Arc::default(),
            for_machines: Vec::new(),
            for_reservations: Vec::new(),
            is_up: [true; 2],
        };
        services.observe(Observation::LeadershipBegan, now);
        services
    }

    pub(super) fn is_up(&self, service: Service) -> bool {
        self.is_up[service.index()]
    }

    pub(super) fn stop(&mut self, service: Service) {
        self.is_up[service.index()] = false;
    }

    pub(super) fn go_on(&mut self, service: Service, now: PoolTime) {
        self.is_up[service.index()] = true;
        if service == Service::MachineLifecycle {
            self.observe(Observation::LeadershipBegan, now);
        }
    }

    /// How far everything is: nothing happens any more where it stays so.
    pub(super) fn positions(&self) -> (u64, u64, usize, usize) {
        let unread = (self.for_machines.len(), self.for_reservations.len());
        (self.reservations.sequence, self.machines.sequence, unread.0, unread.1)
    }

    /// Until when the reservation has its machine.
    pub(super) fn deadline(&self) -> PoolTime {
        let known = self.reservations.state.reservation(RESERVATION);
        match known.map(|known| &known.stage) {
            Some(Stage::Ready(grant)) => grant.deadline,
            Some(Stage::Ended(ended)) => ended.grant.as_ref().map_or(PoolTime::NEVER, |grant| grant.deadline),
            Some(Stage::Queued | Stage::Preparing(_)) | None => PoolTime::NEVER,
        }
    }

    /// People let the machine take part.
    pub(super) fn activate(&mut self, now: PoolTime) {
        let selector = Selector::parse("m1").expect("a legal selector");
        let setting = FlagSetting { selector, flag: Flag::Active, value: true };
        self.machines_decide(&MachineInput::Command(MachineCommand::SetFlag(setting)), None, now);
    }

    pub(super) fn reserve(&mut self, now: PoolTime, duration: Duration) {
        self.command(Command::Reserve(Reserve { count: 1, duration, ..Reserve::default() }), now);
    }

    pub(super) fn extend(&mut self, now: PoolTime, by: Duration) {
        self.command(Command::Extend { id: RESERVATION, to: Extension::By(by) }, now);
    }

    fn command(&mut self, command: Command, now: PoolTime) {
        self.reservations_decide(&Input::Command { user: USER.into(), command: Box::new(command) }, now);
    }

    /// All that is up reads what there is to read, ticks, and is heard where it can be.
    pub(super) fn turn(&mut self, now: PoolTime, agent: &mut Agent, mistake: Option<Mistake>) {
        if self.is_up(Service::Reservation) {
            self.turn_of_reservation(now);
        }
        if !self.is_up(Service::MachineLifecycle) {
            return;
        }
        if agent.is_connected() {
            self.hear(agent, now);
        }
        self.read_reservations(now, mistake);
        if mistake != Some(Mistake::NoDeadlineAtMachines) || self.is_up(Service::Reservation) {
            self.machines_decide(&MachineInput::Tick, None, now);
        }
        if agent.is_connected() {
            self.tell(agent, now);
        }
    }

    fn turn_of_reservation(&mut self, now: PoolTime) {
        for (events, read) in std::mem::take(&mut self.for_reservations) {
            let followed = read.map(|sequence| Followed {
                stream: "RESERVATIONS".into(),
                position: Some(Position::new(1, sequence).into()),
            });
            let cause = Some(Cause { kind: followed.map(Kind::Followed) });
            let entry = Entry { cause, events, ..Entry::default() };
            let inputs = reservation_wire::inputs_of_entry(&entry).expect("events of our own are read");
            inputs.iter().for_each(|input| self.reservations_decide(input, now));
        }
        self.reservations_decide(&Input::Tick, now);
    }

    fn reservations_decide(&mut self, input: &Input, now: PoolTime) {
        let (written, _) = self.reservations.decide(&(), input, now);
        self.for_machines.extend(written);
    }

    /// machine-lifecycle decides an input, which may be of a message of RESERVATIONS.
    fn machines_decide(&mut self, input: &MachineInput, read: Option<u64>, now: PoolTime) -> Option<Reply> {
        let (written, reply) = self.machines.decide(&self.observed, input, now);
        if let Some((_, events)) = written {
            self.for_reservations.push((events, read));
        } else if let Some(read) = read {
            self.for_reservations.push((Vec::new(), Some(read)));
        }
        reply
    }

    fn observe(&mut self, observation: Observation, now: PoolTime) {
        let mut observed = Observed::clone(&self.observed);
        MachineCore::observe(&mut observed, &self.machines.state, observation, now);
        self.observed = Arc::new(observed);
    }

    fn read_reservations(&mut self, now: PoolTime, mistake: Option<Mistake>) {
        for (sequence, events) in std::mem::take(&mut self.for_machines) {
            for bytes in events {
                let event: ReservationEvent = prost::Message::decode(bytes).expect("an event of our own");
                let is_extension = matches!(event.kind, Some(reservation_event::Kind::Extended(_)));
                if is_extension && mistake == Some(Mistake::ExtensionLost) {
                    continue;
                }
                let input = machine_wire::inputs_of_reservation_event(event).expect("an event of our own");
                if let Some(input) = input {
                    self.machines_decide(&input, Some(sequence), now);
                }
            }
        }
    }

    /// The agent says hello where it has to, else a heartbeat, and is answered.
    fn hear(&mut self, agent: &mut Agent, now: PoolTime) {
        if agent.must_greet() {
            let reply = self.machines_decide(&MachineInput::Hello(agent.hello()), None, now);
            if let Some(Reply::Hello(desired)) = reply {
                agent.greeted(&desired, now);
            }
        }
        let beat = agent.beat();
        let incarnation = beat.incarnation;
        self.observe(Observation::Heartbeat(beat), now);
        let answer = machine_wire::heartbeat_answer(0, incarnation, self.machines.state.machines.get(&machine()));
        agent.answered(&answer, now);
    }

    /// The agent is told what machine-lifecycle wants, and reports its fence.
    fn tell(&mut self, agent: &mut Agent, now: PoolTime) {
        let wanted = MachineCore::wanted(&self.machines.state, &self.observed, Scope::Full, now);
        for desired in wanted.into_iter().filter_map(desired) {
            agent.told(&desired);
        }
        let epoch: Epoch = agent.beat().fenced_epoch;
        self.machines_decide(&MachineInput::FenceDone { machine: machine(), epoch }, None, now);
    }
}

fn desired(effect: Effect) -> Option<Box<Desired>> {
    match effect {
        Effect::SendDesired { desired, .. } => Some(desired),
        Effect::Switch { .. }
        | Effect::LookAtPower { .. }
        | Effect::Boot { .. }
        | Effect::KeepKernel { .. }
        | Effect::Prepare { .. } => None,
    }
}
