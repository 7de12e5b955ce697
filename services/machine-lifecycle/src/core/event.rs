//! Past-tense facts. Every change of state is one of these.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::{
    BootVerdict, Epoch, Flag, Incarnation, KernelName, MachineId, Phase, PoolTime, Position, ReservationId,
    StorageOutcome,
};

use super::power::{Dump, PowerOutcome, PowerTask};
use super::{Announcement, Claim, Holder, Inventory, Kernel, LoadKey, Preparation, Protection, Settings, StorageWork};

/// One event of MACHINES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Of one machine.
    Machine {
        /// Which.
        id: MachineId,
        /// What.
        fact: Fact,
    },
    /// A load number was set.
    LoadNumberSet {
        /// For what.
        key: LoadKey,
        /// Processes that fit at once.
        load: u32,
    },
    /// A kernel can be booted from here on.
    KernelAdded(Kernel),
    /// A kernel can be booted no longer.
    KernelRemoved(KernelName),
    /// People hold all power operations and reboots, or let them go on.
    HoldSet {
        /// They are held.
        held: bool,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
}

/// One fact of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// It is known from here on, and not active.
    Added {
        /// Globs that protect it before its first start.
        protect: BTreeSet<String>,
        /// Tags.
        tags: BTreeSet<String>,
    },
    /// A person changed a flag.
    FlagChanged {
        /// Which.
        flag: Flag,
        /// To what.
        value: bool,
    },
    /// A person removed it.
    Removed,
    /// Its agent's hello was answered.
    IncarnationGranted {
        /// The new incarnation.
        incarnation: Incarnation,
        /// Boot id that it reported.
        boot_id: String,
        /// Agent version.
        agent_version: String,
        /// The fence that it has on disk.
        fenced_epoch: Epoch,
        /// Number of the newest batch of reports that it has written.
        last_batch: u64,
        /// It knows less than was heard of it before: a snapshot took its machine back, or its disk is another one.
        went_back: bool,
    },
    /// Probing found something else than before.
    InventoryChanged(Arc<Inventory>),
    /// The whole new protection.
    ProtectionChanged(Protection),
    /// Its agent has the protection on disk.
    ProtectionAcknowledged {
        /// The generation that it has.
        generation: Position,
    },
    /// It is to change hands: starts are refused from here on.
    DrainingStarted {
        /// The holder to come.
        next: Holder,
        /// Pool time at which the epoch rises anyway.
        deadline: PoolTime,
    },
    /// A new epoch; everything older is to be ended.
    EpochRaised {
        /// The new epoch.
        epoch: Epoch,
        /// Its holder.
        holder: Holder,
    },
    /// Nothing of an older epoch is alive.
    FenceReported {
        /// The fenced epoch.
        epoch: Epoch,
    },
    /// What is on it changed.
    PhaseChanged {
        /// From.
        from: Phase,
        /// To.
        to: Phase,
        /// Why.
        reason: String,
    },
    /// Health crossed into or out of down.
    HealthChanged {
        /// It is down.
        down: bool,
    },
    /// The holder's deadline moved.
    DeadlineMoved {
        /// The new one.
        deadline: PoolTime,
    },
    /// The whole new list of tags.
    TagsSet(BTreeSet<String>),
    /// It can not be trusted until a person looks, or a new boot explains it.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// A boot that nobody ordered: everything on it is lost.
    BootObserved {
        /// The new boot id.
        boot_id: String,
    },
    /// Who is next, while it still changes hands; none withdraws the claim.
    Claimed(Option<Claim>),
    /// The whole new settings of how it is booted.
    SettingsChanged(Box<Settings>),
    /// It is to be booted: the first attempt begins.
    BootOrdered {
        /// The kernel; none is the stock kernel.
        kernel: Option<Arc<Kernel>>,
        /// Random part of the nonce.
        nonce: String,
        /// The reservation whose machine or kernel it is.
        reservation: Option<ReservationId>,
    },
    /// Once it is the reservation's, it is booted into a kernel; none takes that back.
    PreparationAsked(Option<Preparation>),
    /// A further attempt begins.
    BootAttempted {
        /// Its number.
        attempt: u32,
        /// What came of the one before.
        reason: String,
        /// A test had announced that the machine goes away: the attempt before it is not counted.
        announced: bool,
    },
    /// A test announced that it goes away; none takes that back.
    BootAnnounced(Option<Announcement>),
    /// A person wants something done to it from outside; it waits for the rails.
    PowerOrdered {
        /// What.
        task: PowerTask,
        /// Who.
        actor: String,
    },
    /// That waited too long.
    PowerOrderDropped {
        /// Why.
        reason: String,
    },
    /// Something is done to it from outside, once.
    PowerBegun {
        /// What.
        task: PowerTask,
        /// Who wants it, or why it must be.
        reason: String,
    },
    /// A person is asked to do it.
    PowerAsked,
    /// What became of it.
    PowerEnded {
        /// What.
        outcome: PowerOutcome,
        /// What was seen, or what went wrong.
        detail: String,
        /// The machine's memory, where it is kept.
        dump: Option<Box<Dump>>,
    },
    /// A disk is to be prepared as a test area, or back: no test uses it from here on.
    StorageOrdered(StorageWork),
    /// What became of that.
    StorageEnded {
        /// What.
        outcome: StorageOutcome,
        /// For people.
        detail: String,
    },
    /// What was proven of a boot.
    BootJudged {
        /// The verdict.
        verdict: BootVerdict,
        /// For people.
        reason: String,
    },
}
