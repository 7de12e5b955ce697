//! What an agent is told.

use std::time::Duration;

use muster_model::{Epoch, PoolTime, Position, ProcessId, ProcessState};
use muster_proto::v1::{self, AgentRefusal, agent_command, envelope::Body, hello_answer};

use super::disk::Known;
use super::process::Child;
use super::{Agent, Owner, Ports, Stage};
use crate::options::Flaw;
use crate::truth::Fork;

/// An order for one process, with what it shares with others.
struct Order<'a> {
    id: ProcessId,
    epoch: u64,
    placed_on: Position,
    reservation: u64,
    order: &'a v1::ProcessOrder,
}

impl Agent {
    /// Takes the answer to a hello. One to another hello than the newest counts for nothing.
    pub(crate) fn answered(&mut self, number: u64, from: Owner, answer: &v1::Envelope, ports: &mut Ports<'_>) {
        let Some(life) = &mut self.life else { return };
        if life.hello.0 != number || life.stage != Stage::Greeting(from) {
            return;
        }
        if !self.admits_term(from, answer.term, ports) {
            return;
        }
        let Some(Body::HelloAnswer(answer)) = &answer.body else {
            self.greet(Owner::MachineLifecycle);
            return;
        };
        match &answer.kind {
            Some(hello_answer::Kind::Machine(desired)) => {
                let life = self.life.as_mut().expect("looked at above");
                (life.incarnation, life.closed) = (desired.incarnation, false);
                self.disk.incarnation = desired.incarnation;
                self.take_machine(desired, ports.now);
                self.greet(Owner::Scheduler);
            }
            Some(hello_answer::Kind::Job(desired)) => self.take_whole_list(desired, ports),
            None => {}
        }
    }

    fn greet(&mut self, to: Owner) {
        if let Some(life) = &mut self.life {
            life.stage = Stage::Greeting(to);
            life.hello.1 = PoolTime::NEVER;
        }
    }

    /// A service answered a heartbeat.
    pub(crate) fn heartbeat_answered(&mut self, from: Owner, answer: &v1::Envelope, ports: &mut Ports<'_>) {
        if !self.admits_term(from, answer.term, ports) {
            return;
        }
        let (Some(life), Some(Body::HeartbeatAnswer(answer))) = (&mut self.life, &answer.body) else { return };
        life.contact = ports.now;
        let is_older = Position::from(answer.generation.unwrap_or_default()) < self.disk.machine_generation;
        if from == Owner::MachineLifecycle && answer.holder_deadline_ns > 0 && !is_older {
            self.disk.deadline = PoolTime(answer.holder_deadline_ns);
        }
        if answer.hello_again && life.stage == Stage::Online {
            self.greet(Owner::MachineLifecycle);
        }
    }

    /// Takes a command and answers it; none where there is nobody to answer.
    pub(crate) fn command(
        &mut self,
        from: Owner,
        envelope: &v1::Envelope,
        ports: &mut Ports<'_>,
    ) -> Option<v1::AgentReply> {
        self.life.as_ref()?;
        if let Err(refusal) = self.admit(from, envelope, ports) {
            return Some(refused(refusal, self.generation_of(from)));
        }
        let Some(Body::AgentCommand(command)) = &envelope.body else {
            return Some(refused(AgentRefusal::Invalid, Position::default()));
        };
        match command.kind.as_ref()? {
            agent_command::Kind::Machine(desired) => {
                self.take_machine(desired, ports.now);
                Some(taken(self.disk.machine_generation))
            }
            agent_command::Kind::UpdateJobs(update) => self.update(update, ports),
            agent_command::Kind::ListKnown(_) => {
                let (processes, last_batch) = (self.known_to_wire(ports.flaw), self.disk.last_batch);
                Some(v1::AgentReply { processes, last_batch, ..taken(self.disk.generation) })
            }
            agent_command::Kind::ReadLog(_)
            | agent_command::Kind::Peer(_)
            | agent_command::Kind::Clock(_)
            | agent_command::Kind::Install(_)
            | agent_command::Kind::Prepare(_)
            | agent_command::Kind::Reboot(_) => Some(refused(AgentRefusal::Invalid, Position::default())),
        }
    }

    fn generation_of(&self, owner: Owner) -> Position {
        match owner {
            Owner::MachineLifecycle => self.disk.machine_generation,
            Owner::Scheduler => self.disk.generation,
        }
    }

    /// I4: what is below the present term, epoch or incarnation has no effect.
    fn admit(&mut self, from: Owner, envelope: &v1::Envelope, ports: &Ports<'_>) -> Result<(), AgentRefusal> {
        if ports.flaw == Some(Flaw::NoAuthority) {
            return Ok(());
        }
        if !self.admits_term(from, envelope.term, ports) {
            return Err(AgentRefusal::OldTerm);
        }
        let life = self.life.as_ref().expect("only a living agent is commanded");
        let hello_done = life.stage == Stage::Online || from == Owner::MachineLifecycle;
        if !hello_done || life.incarnation == 0 || envelope.incarnation != life.incarnation {
            return Err(AgentRefusal::OldIncarnation);
        }
        let is_known = envelope.epoch == self.disk.epoch;
        let announces = from == Owner::MachineLifecycle && envelope.epoch > self.disk.epoch;
        if is_known || announces { Ok(()) } else { Err(AgentRefusal::OldEpoch) }
    }

    fn admits_term(&mut self, from: Owner, term: u64, ports: &Ports<'_>) -> bool {
        let known = self.disk.terms.entry(from).or_default();
        let admitted = term >= *known || ports.flaw == Some(Flaw::NoAuthority);
        *known = term.max(*known);
        admitted
    }

    /// Takes the desired state of the machine; an older one counts for nothing.
    fn take_machine(&mut self, desired: &v1::MachineDesired, now: PoolTime) {
        let generation = Position::from(desired.generation.unwrap_or_default());
        if generation < self.disk.machine_generation && desired.epoch <= self.disk.epoch {
            return;
        }
        self.disk.machine_generation = self.disk.machine_generation.max(generation);
        self.disk.epoch = self.disk.epoch.max(desired.epoch);
        self.disk.draining = desired.draining;
        self.disk.protected = desired.protected.iter().cloned().collect();
        let deadline = desired.holder.as_ref().map_or(0, |holder| holder.deadline_ns);
        self.disk.deadline = PoolTime(deadline);
        if let Some(life) = &mut self.life {
            life.contact = now;
            life.closed &= self.disk.fenced == self.disk.epoch;
        }
    }

    /// The whole list: what is new starts, what is to stop stops; what is missing ends nothing.
    fn take_whole_list(&mut self, desired: &v1::JobDesired, ports: &mut Ports<'_>) {
        for orders in &desired.jobs {
            // Refused here means placed again by the scheduler, which sees that it does not live.
            self.take_orders(orders, true, ports);
        }
        let Some(life) = &mut self.life else { return };
        (life.stage, life.contact) = (Stage::Online, ports.now);
        self.forget(&desired.forget);
        self.disk.pulses.clone_from(&desired.pulses);
        self.disk.generation = desired.generation.unwrap_or_default().into();
    }

    /// Takes an update; none when the agent crashes over it.
    fn update(&mut self, update: &v1::UpdateJobs, ports: &mut Ports<'_>) -> Option<v1::AgentReply> {
        let builds_on = Position::from(update.builds_on.unwrap_or_default());
        let generation = Position::from(update.generation.unwrap_or_default());
        if builds_on != self.disk.generation && ports.flaw != Some(Flaw::NoAuthority) {
            if generation <= self.disk.generation {
                return Some(taken(self.disk.generation));
            }
            self.greet(Owner::Scheduler);
            return Some(refused(AgentRefusal::OtherGeneration, self.disk.generation));
        }
        let refused = update.jobs.iter().flat_map(|orders| self.take_orders(orders, false, ports)).collect();
        self.life.as_ref()?;
        self.forget(&update.forget);
        self.disk.pulses.clone_from(&update.pulses);
        self.disk.generation = generation;
        Some(v1::AgentReply { refused, ..taken(generation) })
    }

    fn forget(&mut self, ids: &[v1::ProcessId]) {
        for id in ids {
            let id = ProcessId::from(*id);
            if self.disk.known.get(&id).is_some_and(|known| known.ended) {
                self.disk.known.remove(&id);
                self.exits.remove(&id);
            }
        }
    }

    fn take_orders(&mut self, orders: &v1::JobOrders, whole: bool, ports: &mut Ports<'_>) -> Vec<v1::RefusedProcess> {
        let spec = orders.spec.clone().unwrap_or_default();
        let mut refused = Vec::new();
        for order in &orders.processes {
            if self.life.is_none() {
                break;
            }
            let dpid = Some(v1::Dpid { job: spec.job, process: order.process });
            let wire = v1::ProcessId { run: spec.run, dpid, attempt: order.attempt };
            let placed_on = Position::from(orders.machine_generation.unwrap_or_default());
            let (epoch, reservation) = (orders.epoch, spec.reservation);
            let order = Order { id: wire.into(), epoch, placed_on, reservation, order };
            if let Err(refusal) = self.take_order(&order, whole, ports) {
                refused.push(v1::RefusedProcess { id: Some(wire), refusal: refusal.into(), detail: String::new() });
            }
        }
        refused
    }

    fn take_order(&mut self, order: &Order<'_>, whole: bool, ports: &mut Ports<'_>) -> Result<(), AgentRefusal> {
        let grace = Duration::from_millis(order.order.grace_ms);
        if let Some(known) = self.disk.known.get_mut(&order.id) {
            if order.order.stop && known.stop.is_none() {
                known.stop = Some(ports.now + grace);
                ports.truth.excuse(order.id);
                if let Some(child) = self.children.get_mut(&order.id) {
                    child.stop(ports.now, ports.random);
                }
            }
            return Ok(());
        }
        if !order.order.stop {
            self.may_start(order, whole, ports)?;
        }
        let stop = order.order.stop.then_some(ports.now);
        if ports.may_crash && ports.random.happens(6) {
            return self.crash_between_intent_and_fork(order, ports);
        }
        self.disk.known.insert(order.id, Known::new(order.epoch, stop));
        if !order.order.stop {
            self.children.insert(order.id, Child::new(ports.now, ports.random));
            ports.trace.note(ports.now, format_args!("m{} forks {} in epoch {}", self.index, order.id, order.epoch));
            let fork = Fork { machine: self.index, epoch: Epoch(order.epoch), reservation: order.reservation };
            ports.truth.forked(order.id, fork);
        }
        Ok(())
    }

    /// The intent is on disk, and nothing else happened.
    fn crash_between_intent_and_fork(&mut self, order: &Order<'_>, ports: &mut Ports<'_>) -> Result<(), AgentRefusal> {
        self.disk.known.insert(order.id, Known::new(order.epoch, None));
        ports.trace.note(ports.now, format_args!("m{} crashes before it forks {}", self.index, order.id));
        self.crash(ports.now + ports.random.millis(200, 5_000));
        Ok(())
    }

    fn may_start(&self, order: &Order<'_>, whole: bool, ports: &Ports<'_>) -> Result<(), AgentRefusal> {
        if ports.flaw == Some(Flaw::NoAuthority) {
            return Ok(());
        }
        if order.epoch != self.disk.epoch {
            return Err(AgentRefusal::OldEpoch);
        }
        let closed = self.life.as_ref().is_some_and(|life| life.closed);
        if self.disk.draining || closed || self.disk.fenced != self.disk.epoch {
            return Err(AgentRefusal::Draining);
        }
        if order.order.resources.iter().any(|resource| self.disk.protected.contains(resource)) {
            return Err(AgentRefusal::Protected);
        }
        if !whole && order.placed_on < self.disk.machine_generation {
            return Err(AgentRefusal::Stale);
        }
        Ok(())
    }

    pub(super) fn known_to_wire(&self, flaw: Option<Flaw>) -> Vec<v1::KnownProcess> {
        let known = self.disk.known.iter().map(|(id, known)| v1::KnownProcess {
            id: Some((*id).into()),
            state: v1::ProcessState::from(known.state).into(),
            verdict: v1::Verdict::from(known.verdict).into(),
            exit_status: i32::from(known.state == ProcessState::Dead),
            exited: known.ended,
            reason: String::new(),
            pid: 1,
            // Without an epoch the word counts for nothing, as that of an agent that knows no ends.
            epoch: if flaw == Some(Flaw::NoSpoolNoEnds) { 0 } else { known.epoch },
        });
        known.collect()
    }
}

fn taken(generation: Position) -> v1::AgentReply {
    v1::AgentReply { generation: Some(generation.into()), ..Default::default() }
}

fn refused(refusal: AgentRefusal, generation: Position) -> v1::AgentReply {
    v1::AgentReply { refusal: refusal.into(), ..taken(generation) }
}
