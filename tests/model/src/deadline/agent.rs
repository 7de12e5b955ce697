//! The agent: its fence, one process, and when it was answered last.

use std::time::Duration;

use muster_machine_lifecycle::core::{Desired, Heartbeat, Hello, Inventory};
use muster_machine_lifecycle::wire;
use muster_model::PoolTime;
use muster_node_agent::core::fence::{CUT_OFF_AFTER, Fence, Told};
use muster_proto::v1;

use super::Mistake;
use super::services::machine;

/// How far a clock that is ahead is ahead.
const AHEAD: Duration = Duration::from_secs(120);

/// How what ran was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum End {
    Fenced,
    Alone,
}

/// The agent, and its machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Agent {
    fence: Fence,
    /// The epoch of the process, while it is alive.
    process: Option<u64>,
    end: Option<End>,
    is_connected: bool,
    /// Its connection is new, and it has not said hello on it.
    must_greet: bool,
    answered: PoolTime,
}

impl Agent {
    pub(super) fn begin(now: PoolTime) -> Self {
        Self { fence: Fence::default(), process: None, end: None, is_connected: true, must_greet: true, answered: now }
    }

    pub(super) fn fork(&mut self) {
        self.process = Some(self.fence.epoch().0);
    }

    pub(super) fn is_alive(&self) -> bool {
        self.process.is_some()
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    pub(super) fn deadline(&self) -> PoolTime {
        self.fence.deadline()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.is_connected
    }

    pub(super) fn must_greet(&self) -> bool {
        self.must_greet
    }

    pub(super) fn cut(&mut self) {
        self.is_connected = false;
    }

    pub(super) fn join(&mut self) {
        (self.is_connected, self.must_greet) = (true, true);
    }

    pub(super) fn hello(&self) -> Hello {
        Hello {
            machine: machine(),
            agent_version: "1".into(),
            boot_id: "boot-1".into(),
            fenced_epoch: self.fence.fenced_epoch(),
            last_incarnation: self.fence.incarnation(),
            last_batch: 0,
            inventory: Some(Inventory::default().into()),
            command_line: String::new(),
            announced: None,
        }
    }

    pub(super) fn beat(&self) -> Heartbeat {
        Heartbeat {
            machine: machine(),
            incarnation: self.fence.incarnation(),
            boot_id: "boot-1".into(),
            generation: self.fence.machine_generation(),
            fenced_epoch: self.fence.fenced_epoch(),
            processes_live: u32::from(self.process.is_some()),
            processes_digest: 0,
            draining: self.fence.draining,
            stored: 0,
            boot: None,
            storage: None,
            ssh_key: String::new(),
        }
    }

    pub(super) fn greeted(&mut self, desired: &Desired, now: PoolTime) {
        (self.must_greet, self.answered) = (false, now);
        self.fence.take(&wire::desired_to_wire(desired), Told::Hello);
        self.close();
    }

    /// Takes what machine-lifecycle wants.
    pub(super) fn told(&mut self, desired: &Desired) {
        let desired = wire::desired_to_wire(desired);
        if !self.fence.knows_newer(&desired) {
            self.fence.take(&desired, Told::Command);
            self.close();
        }
    }

    /// What is older than the newest epoch is ended at once.
    fn close(&mut self) {
        let epoch = self.fence.epoch().0;
        if self.process.take_if(|process| *process < epoch).is_some() {
            self.end = Some(End::Fenced);
        }
        self.fence.close();
    }

    pub(super) fn answered(&mut self, answer: &v1::HeartbeatAnswer, now: PoolTime) {
        self.answered = now;
        if answer.hello_again {
            self.must_greet = true;
            return;
        }
        let generation = answer.generation.unwrap_or_default().into();
        self.fence.hear_deadline(generation, PoolTime(answer.holder_deadline_ns));
    }

    /// Ends what its holder left running, if nobody else does.
    pub(super) fn enforce(&mut self, now: PoolTime, mistake: Option<Mistake>) {
        let unanswered = now.since(self.answered);
        let by_its_clock = if mistake == Some(Mistake::ClockAhead) { now + AHEAD } else { now };
        let waits = mistake == Some(Mistake::OnlyWhenCutOff) && unanswered <= CUT_OFF_AFTER;
        if waits || mistake == Some(Mistake::NoDeadlineAtAgent) || !self.fence.ends_alone(unanswered, by_its_clock) {
            return;
        }
        self.fence.acted_alone = true;
        if self.process.take().is_some() {
            self.end = Some(End::Alone);
        }
    }
}
