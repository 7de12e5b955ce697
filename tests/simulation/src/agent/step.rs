//! What an agent does by itself, at each of its steps.

use std::time::Duration;

use muster_model::{PoolTime, ProcessId, ProcessState, Verdict};
use muster_proto::v1::{self, envelope::Body, report::Kind};

use super::process::Exit;
use super::{Agent, Owner, Ports, Said, Stage};
use crate::clock::SKEW_MAX;
use crate::options::Flaw;

/// An answer is waited for so long, to a hello as to a batch of reports.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between heartbeats.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Without an answer for so long, the holder's deadline is the agent's to enforce,
const ALONE_AFTER: Duration = Duration::from_secs(15);
/// so long after it.
pub(super) const DEADLINE_GRACE: Duration = Duration::from_secs(20);

impl Agent {
    /// One step. Gives what it says through `ports`.
    pub(crate) fn step(&mut self, ports: &mut Ports<'_>) {
        if ports.now < self.down_until {
            self.children_end(ports);
            return;
        }
        if self.life.is_none() {
            if ports.flaw == Some(Flaw::NoIntents) {
                self.disk.known.clear();
            }
            self.born(ports);
        }
        self.children_end(ports);
        self.enforce_deadline(ports);
        self.end_older(ports);
        self.look_at_processes(ports);
        self.fence(ports);
        self.speak(ports);
    }

    /// The keeper records the exits of what ended by itself, whether the agent lives or not.
    fn children_end(&mut self, ports: &mut Ports<'_>) {
        let ended: Vec<_> = self
            .children
            .iter()
            .filter_map(|(id, child)| child.ends.filter(|(at, _)| *at <= ports.now).map(|(_, exit)| (*id, exit)))
            .collect();
        for (id, exit) in ended {
            self.children.remove(&id);
            self.exits.insert(id, exit);
            ports.truth.ended(id);
        }
    }

    fn kill(&mut self, id: ProcessId, ports: &mut Ports<'_>) {
        if self.children.remove(&id).is_some() {
            self.exits.insert(id, Exit::Killed);
            ports.trace.note(ports.now, format_args!("m{} kills {id}", self.index));
            ports.truth.killed(id);
        }
    }

    /// Cut off from everybody, the agent takes its machine back alone.
    fn enforce_deadline(&mut self, ports: &mut Ports<'_>) {
        let Some(life) = &mut self.life else { return };
        let pool_time = life.clock.read(ports.now);
        let over = self.disk.deadline.is_due(pool_time) && (self.disk.deadline + DEADLINE_GRACE).is_due(pool_time);
        if !over || life.closed || ports.now.since(life.contact) < ALONE_AFTER {
            return;
        }
        life.closed = true;
        let is_time = (self.disk.deadline + DEADLINE_GRACE).is_due(ports.now + SKEW_MAX);
        for id in self.children.keys().copied().collect::<Vec<_>>() {
            if is_time {
                ports.truth.excuse(id);
            }
            self.kill(id, ports);
        }
    }

    /// Everything of an older epoch is ended, some of it only at the second try.
    fn end_older(&mut self, ports: &mut Ports<'_>) {
        if self.disk.fenced == self.disk.epoch || ports.flaw == Some(Flaw::NoFence) {
            return;
        }
        for id in self.older() {
            ports.truth.excuse(id);
            if ports.random.happens(700) {
                self.kill(id, ports);
            }
        }
    }

    fn older(&self) -> Vec<ProcessId> {
        let is_older = |id: &ProcessId| self.disk.known.get(id).is_none_or(|known| known.epoch < self.disk.epoch);
        self.children.keys().copied().filter(is_older).collect()
    }

    /// Once nothing older lives, and its ends are in the spool, the fence is on disk and is said.
    fn fence(&mut self, ports: &mut Ports<'_>) {
        if self.disk.fenced == self.disk.epoch {
            return;
        }
        if !self.older().is_empty() && ports.flaw != Some(Flaw::NoFence) {
            return;
        }
        self.disk.fenced = self.disk.epoch;
        let epoch = self.disk.epoch;
        ports.truth.fenced(self.index, muster_model::Epoch(epoch));
        ports.trace.note(ports.now, format_args!("m{} has fenced epoch {epoch}", self.index));
        self.report(Kind::Fence(v1::FenceDone { epoch }), ports.now);
    }

    fn look_at_processes(&mut self, ports: &mut Ports<'_>) {
        let live: Vec<_> = self.disk.known.iter().filter(|(_, known)| !known.ended).map(|(id, _)| *id).collect();
        for id in live {
            if let Some(at) = self.disk.known.get(&id).and_then(|known| known.stop)
                && at <= ports.now
            {
                self.kill(id, ports);
            }
            if let Some((state, verdict)) = self.next_state(id, ports.now) {
                self.report_state(id, state, verdict, ports.now);
            }
        }
    }

    /// What is to be said of a process now.
    fn next_state(&self, id: ProcessId, now: PoolTime) -> Option<(ProcessState, Verdict)> {
        let known = self.disk.known.get(&id)?;
        let Some(child) = self.children.get(&id) else {
            return Some(match (self.exits.get(&id), known.stop) {
                (Some(Exit::Done), _) => (ProcessState::Finished, Verdict::Pass),
                (Some(Exit::Failed), _) => (ProcessState::Dead, Verdict::Fail),
                (Some(Exit::Killed), _) => (ProcessState::Dead, Verdict::Error),
                (None, Some(_)) if known.state == ProcessState::Starting => (ProcessState::Finished, Verdict::None),
                (None, _) => (ProcessState::Dead, Verdict::Error),
            });
        };
        let next = match known.state {
            ProcessState::Starting | ProcessState::Running | ProcessState::Mia if known.stop.is_some() => {
                ProcessState::Fip
            }
            ProcessState::Starting if child.answers_at <= now => ProcessState::Running,
            ProcessState::Running if child.is_mia(now) => ProcessState::Mia,
            ProcessState::Mia if !child.is_mia(now) => ProcessState::Running,
            _ => return None,
        };
        Some((next, Verdict::None))
    }

    fn report_state(&mut self, id: ProcessId, state: ProcessState, verdict: Verdict, now: PoolTime) {
        let Some(known) = self.disk.known.get_mut(&id) else { return };
        (known.state, known.ended, known.verdict) = (state, state.is_final(), verdict);
        let report = v1::ProcessReport {
            id: Some(id.into()),
            epoch: known.epoch,
            state: v1::ProcessState::from(state).into(),
            verdict: v1::Verdict::from(verdict).into(),
            exit_status: i32::from(state == ProcessState::Dead),
            exited: state.is_final(),
            reason: String::new(),
            pid: 1,
        };
        self.report(Kind::Process(report), now);
    }

    /// To the spool, as a batch of its own.
    fn report(&mut self, kind: Kind, now: PoolTime) {
        self.disk.last_batch += 1;
        let reports = vec![v1::Report { time_ns: now.0, kind: Some(kind) }];
        let batch = v1::ReportBatch { machine: self.name(), batch: self.disk.last_batch, reports };
        self.disk.spool.push_back((self.disk.last_batch, batch));
    }

    /// A batch is stored.
    pub(crate) fn acknowledged(&mut self, batch: u64) {
        while self.disk.spool.front().is_some_and(|(number, _)| *number <= batch) {
            self.disk.spool.pop_front();
        }
        if let Some(life) = &mut self.life
            && life.publishing.is_some_and(|(number, _)| number <= batch)
        {
            life.publishing = None;
        }
    }

    /// The spool is too small: what was not acknowledged is dropped. Numbers go on.
    pub(crate) fn lose_reports(&mut self) {
        self.disk.spool.clear();
        if let Some(life) = &mut self.life {
            life.publishing = None;
        }
    }

    fn speak(&mut self, ports: &mut Ports<'_>) {
        let Some(life) = &self.life else { return };
        match life.stage {
            Stage::Greeting(owner) => {
                let never = life.hello.1 == PoolTime::NEVER;
                if never || ports.now.since(life.hello.1) >= ANSWER_TIMEOUT {
                    // Whoever was asked may have lost our incarnation: the way begins at its beginning again.
                    self.say_hello(if never { owner } else { Owner::MachineLifecycle }, ports);
                }
            }
            Stage::Online => {
                self.beat(ports);
                self.publish(ports);
            }
        }
    }

    fn say_hello(&mut self, to: Owner, ports: &mut Ports<'_>) {
        self.hellos += 1;
        let number = self.hellos;
        let Some(life) = &mut self.life else { return };
        (life.stage, life.hello) = (Stage::Greeting(to), (number, ports.now));
        let processes = if to == Owner::Scheduler { self.known_to_wire(ports.flaw) } else { Vec::new() };
        let hello = v1::Hello {
            announced: None,
            machine: self.name(),
            agent_version: "simulated".into(),
            boot_id: self.boot_id(),
            fenced_epoch: self.disk.fenced,
            last_incarnation: self.disk.incarnation,
            inventory: (to == Owner::MachineLifecycle).then(|| self.inventory()),
            processes,
            last_batch: self.disk.last_batch,
            pool_time_ns: 0,
            command_line: String::new(),
        };
        let id = [(self.index as u64).to_be_bytes(), number.to_be_bytes()].concat().into();
        let envelope = v1::Envelope { id, ..self.envelope(Body::Hello(hello), ports.now) };
        ports.said.push(Said::Hello { to, number, envelope });
    }

    fn inventory(&self) -> v1::Inventory {
        let resource =
            |id: String, kind: v1::ResourceKind| v1::Resource { id, kind: kind.into(), ..Default::default() };
        let cpus = (0..4).map(|cpu| resource(format!("cpu{cpu}"), v1::ResourceKind::Cpu));
        let disks = (0..2).map(|disk| resource(format!("disk{disk}"), v1::ResourceKind::Disk));
        v1::Inventory {
            architecture: "x86_64".into(),
            kernel_release: "6.1.0".into(),
            boot_id: self.boot_id(),
            memory_bytes: 1 << 34,
            machine_type: "simulated".into(),
            resources: cpus.chain(disks).collect(),
            host_name: self.name(),
            ..Default::default()
        }
    }

    fn beat(&mut self, ports: &mut Ports<'_>) {
        let is_due = self.life.as_ref().is_some_and(|life| ports.now.since(life.beat_at) >= BEAT_INTERVAL);
        if is_due && let Some(envelope) = self.heartbeat(ports.now) {
            ports.said.push(Said::Heartbeat(envelope));
        }
    }

    /// The next heartbeat; none from an agent that is down.
    pub(super) fn heartbeat(&mut self, now: PoolTime) -> Option<v1::Envelope> {
        let live = self.disk.known.iter().filter(|(_, known)| !known.ended);
        let (digest, processes_live) =
            live.fold((0, 0), |(digest, count), (id, _)| (digest ^ muster_proto::process_digest(id), count + 1));
        let life = self.life.as_mut()?;
        (life.beat, life.beat_at) = (life.beat + 1, now);
        let heartbeat = v1::Heartbeat {
            machine: format!("m{}", self.index),
            number: life.beat,
            boot_id: format!("boot-{}-{}", self.index, self.boot),
            machine_generation: Some(self.disk.machine_generation.into()),
            job_generation: Some(self.disk.generation.into()),
            processes_digest: digest,
            processes_live,
            fenced_epoch: self.disk.fenced,
            draining: self.disk.draining,
            reports_acknowledged: self.disk.spool.front().map_or(self.disk.last_batch, |(next, _)| next - 1),
            pool_time_ns: now.0,
            ..Default::default()
        };
        Some(self.envelope(Body::Heartbeat(heartbeat), now))
    }

    fn publish(&mut self, ports: &mut Ports<'_>) {
        let Some((number, batch)) = self.disk.spool.front().cloned() else { return };
        let Some(life) = &mut self.life else { return };
        let waits = life.publishing.is_some_and(|(sent, at)| sent == number && ports.now.since(at) < ANSWER_TIMEOUT);
        if waits {
            return;
        }
        life.publishing = Some((number, ports.now));
        let envelope = self.envelope(Body::ReportBatch(batch), ports.now);
        ports.said.push(Said::Reports { batch: number, envelope });
        if matches!(ports.flaw, Some(Flaw::NoSpool | Flaw::NoSpoolNoEnds)) {
            self.acknowledged(number);
        }
    }
}
