//! The fence: whose this machine is, as far as this agent was told, what follows from that for what runs, and what this machine does
//! alone when nobody answers any more. What of it is on the disk is `disk`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_model::{Epoch, Incarnation, PoolTime, Position, Term};
use muster_proto::v1::MachineDesired;
use serde::{Deserialize, Serialize};

use super::authority::{Owner, Standing};

/// Without an answer for so long, this machine is cut off.
pub const CUT_OFF_AFTER: Duration = Duration::from_secs(15);
/// A machine that is cut off ends what its holder left running so long after the deadline.
pub const DEADLINE_GRACE: Duration = Duration::from_secs(20);
/// And any machine so long after it: who answered meanwhile may have been gone again before it could end anything (decision 30).
pub const DEADLINE_END: Duration = Duration::from_secs(25);

/// How machine-lifecycle said what it wants of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// In its answer to a hello, which begins a life of this agent.
    Hello,
    /// In a command.
    Command,
}

/// What is on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// Nothing older than this epoch lives.
    fenced_epoch: u64,
    /// Newest epoch heard of.
    epoch: u64,
    /// Starts are refused.
    pub draining: bool,
    /// The holder's deadline passed without a word from anyone, and what ran was ended.
    pub acted_alone: bool,
    /// Protected resource ids.
    pub protected: BTreeSet<String>,
    /// The whole machine is protected.
    pub machine_protected: bool,
    /// Number of the reservation that holds it; 0 for the pool.
    pub reservation: u64,
    /// Pool time of the holder's deadline, nanoseconds; 0 for none.
    deadline_ns: i64,
    /// Generation that the deadline was said of: lineage and sequence.
    #[serde(default)]
    deadline_generation: (u64, u64),
    /// Ssh key of who holds it; empty for none.
    #[serde(default)]
    pub ssh_key: String,
    /// Generation of machine-lifecycle's desired state: lineage and sequence.
    machine_generation: (u64, u64),
    /// Newest incarnation that was granted.
    incarnation: u64,
    /// Highest term per service.
    terms: BTreeMap<String, u64>,
    /// Boot in which this was written.
    pub boot_id: String,
}

impl Fence {
    /// Nothing older than this epoch lives.
    pub fn fenced_epoch(&self) -> Epoch {
        Epoch(self.fenced_epoch)
    }

    /// Newest epoch heard of.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// Deadline of the holder.
    pub fn deadline(&self) -> PoolTime {
        PoolTime(self.deadline_ns)
    }

    /// Generation of machine-lifecycle's desired state.
    pub fn machine_generation(&self) -> Position {
        Position::new(self.machine_generation.0, self.machine_generation.1)
    }

    /// Newest incarnation that was granted.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation)
    }

    /// Highest terms.
    pub fn terms(&self) -> BTreeMap<Owner, Term> {
        let owners = [Owner::MachineLifecycle, Owner::Scheduler];
        owners.into_iter().filter_map(|owner| Some((owner, Term(*self.terms.get(owner.as_str())?)))).collect()
    }

    /// Something newer than what a command wants is known: it changes nothing.
    pub fn knows_newer(&self, desired: &MachineDesired) -> bool {
        Position::from(desired.generation.unwrap_or_default()) < self.machine_generation()
    }

    /// Takes what machine-lifecycle wants. While the machine changes hands, it names the holder to come: what runs here is the present
    /// one's until the epoch rises, and its deadline stays.
    pub fn take(&mut self, desired: &MachineDesired, told: Told) {
        let holder = desired.holder.clone().unwrap_or_default();
        if told == Told::Hello {
            self.set_incarnation(Incarnation(desired.incarnation));
            self.acted_alone = false;
        }
        let is_to_come = desired.draining && desired.epoch == self.epoch && holder.reservation != self.reservation;
        self.raise_epoch(Epoch(desired.epoch));
        self.draining = desired.draining;
        self.protected = desired.protected.iter().cloned().collect();
        self.machine_protected = desired.machine_protected;
        self.ssh_key = holder.ssh_key;
        self.machine_generation = pair(desired.generation.unwrap_or_default().into());
        if is_to_come {
            return;
        }
        self.reservation = holder.reservation;
        if told == Told::Hello || self.machine_generation >= self.deadline_generation {
            (self.deadline_generation, self.deadline_ns) = (self.machine_generation, holder.deadline_ns);
        }
    }

    /// Takes the deadline that an answer to a heartbeat names, as of a generation. An answer may be overtaken by an order that was
    /// given after it, or by the answer of a later leader: what is older than what is known changes nothing. One that names none says
    /// nothing: the holder to come may have none. Gives whether the deadline changed.
    pub fn hear_deadline(&mut self, generation: Position, deadline: PoolTime) -> bool {
        let generation = pair(generation);
        if deadline == PoolTime::NEVER || generation < self.deadline_generation.max(self.machine_generation) {
            return false;
        }
        self.deadline_generation = generation;
        let changed = deadline != self.deadline();
        self.deadline_ns = deadline.0;
        changed
    }

    /// The newest epoch is fenced: nothing older lives.
    pub fn is_closed(&self) -> bool {
        self.fenced_epoch == self.epoch
    }

    /// Starts are refused, whatever their epoch.
    pub fn refuses_starts(&self) -> bool {
        self.draining || self.acted_alone
    }

    /// The deadline is so long over that this machine itself ends what its holder left running. Loss of contact ends nothing else.
    pub fn ends_alone(&self, unanswered: Duration, now: PoolTime) -> bool {
        let deadline = self.deadline();
        let is_over = |grace| deadline != PoolTime::NEVER && (deadline + grace).is_due(now);
        let is_due = is_over(DEADLINE_END) || (unanswered > CUT_OFF_AFTER && is_over(DEADLINE_GRACE));
        is_due && !self.acted_alone
    }

    /// Raises the epoch that was heard of; it never falls.
    pub fn raise_epoch(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(epoch.0);
    }

    /// Nothing older than the newest epoch lives.
    pub fn close(&mut self) {
        self.fenced_epoch = self.epoch;
    }

    /// A granted incarnation; never lower than the last.
    pub fn set_incarnation(&mut self, incarnation: Incarnation) {
        self.incarnation = self.incarnation.max(incarnation.0);
    }

    /// A term that was heard; gives whether it is higher than all before.
    pub fn raise_term(&mut self, owner: Owner, term: Term) -> bool {
        let known = self.terms.entry(owner.as_str().into()).or_default();
        let higher = term.0 > *known;
        *known = term.0.max(*known);
        higher
    }
}

fn pair(position: Position) -> (u64, u64) {
    (position.lineage.0, position.sequence.0)
}

impl Standing {
    /// What an agent knows when it begins: nothing acts before its hello.
    pub fn of(fence: &Fence) -> Self {
        Self { incarnation: None, epoch: fence.epoch(), terms: fence.terms() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_cut_off_acts_after_the_deadline_and_anybody_a_little_later() {
        let holder = muster_proto::v1::Holder { reservation: 1, deadline_ns: 100_000_000_000, ..Default::default() };
        let mut fence = Fence::default();
        fence.take(&MachineDesired { epoch: 1, holder: Some(holder), ..Default::default() }, Told::Hello);
        let after = |seconds| fence.deadline() + Duration::from_secs(seconds);
        let (answered, cut_off) = (Duration::from_secs(3), Duration::from_secs(16));
        assert!(!fence.ends_alone(cut_off, after(19)) && fence.ends_alone(cut_off, after(20)));
        assert!(!fence.ends_alone(answered, after(24)) && fence.ends_alone(answered, after(25)));
        assert!(!Fence { acted_alone: true, ..fence.clone() }.ends_alone(cut_off, after(60)), "once");
        assert!(!Fence::default().ends_alone(cut_off, after(60)), "who has no deadline ends nothing");
    }

    #[test]
    fn the_deadline_of_what_runs_stays_until_the_epoch_rises() {
        let at = |sequence| Some(Position::new(1, sequence).into());
        let holder = Some(muster_proto::v1::Holder { reservation: 1, deadline_ns: 90, ..Default::default() });
        let mut fence = Fence::default();
        let held = MachineDesired { generation: at(5), epoch: 2, holder, ..Default::default() };
        fence.take(&held, Told::Hello);
        let draining = MachineDesired { generation: at(6), epoch: 2, draining: true, ..Default::default() };
        fence.take(&draining, Told::Command);
        assert!(!fence.hear_deadline(Position::new(1, 6), PoolTime::NEVER));
        assert_eq!((fence.deadline(), fence.reservation, fence.draining), (PoolTime(90), 1, true));
        fence.take(&MachineDesired { generation: at(7), epoch: 3, ..Default::default() }, Told::Command);
        assert_eq!((fence.deadline(), fence.reservation), (PoolTime::NEVER, 0));
    }

    #[test]
    fn an_answer_that_was_overtaken_does_not_take_the_deadline_back() {
        let at = |sequence| Some(Position::new(1, sequence).into());
        let holder = |deadline_ns| Some(muster_proto::v1::Holder { reservation: 1, deadline_ns, ..Default::default() });
        let mut fence = Fence::default();
        let extended = MachineDesired { generation: at(9), epoch: 2, holder: holder(90), ..Default::default() };
        fence.take(&extended, Told::Command);
        assert!(!fence.hear_deadline(Position::new(1, 8), PoolTime(50)), "it was said before the extension");
        assert_eq!(fence.deadline(), PoolTime(90));
        assert!(fence.hear_deadline(Position::new(1, 10), PoolTime(120)));
        assert!(!fence.hear_deadline(Position::new(1, 9), PoolTime(90)), "by the answer of a later leader");
        fence.take(&extended, Told::Command);
        assert_eq!(fence.deadline(), PoolTime(120), "and an order that was");
    }
}
