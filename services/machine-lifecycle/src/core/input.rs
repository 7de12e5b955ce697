//! Everything that a decision is made from.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use muster_model::{
    Absence, Epoch, Incarnation, KernelName, MachineId, PoolTime, Position, PowerState, ProcessId, ReservationId,
    SnapshotName,
};

use super::power::{Dump, PowerOutcome};
use super::{Announcement, Command, Desired, Inventory, Kernel, StorageReport};

/// An agent's hello.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Who says it.
    pub machine: MachineId,
    /// Agent version.
    pub agent_version: String,
    /// Boot id.
    pub boot_id: String,
    /// The fence on its disk.
    pub fenced_epoch: Epoch,
    /// The last incarnation it had.
    pub last_incarnation: Incarnation,
    /// Number of the newest batch of reports that it has written.
    pub last_batch: u64,
    /// What it found by probing; none when it did not probe.
    pub inventory: Option<Arc<Inventory>>,
    /// Command line of the kernel that runs.
    pub command_line: String,
    /// What was announced of the end of the last boot, and which boot that was.
    pub announced: Option<(Announcement, String)>,
}

/// reservation named the machines of a reservation.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Which reservation.
    pub reservation: ReservationId,
    /// Its user.
    pub user: String,
    /// Its machines.
    pub machines: BTreeSet<MachineId>,
    /// Its deadline.
    pub deadline: PoolTime,
    /// Ssh key that its machines are to have for its time; empty for none.
    pub ssh_key: String,
    /// How long what runs there may take to end.
    pub drain: Duration,
    /// The kernel that its machines are booted into, and the random part of the nonce.
    pub kernel: Option<(KernelName, String)>,
    /// The snapshot that they are taken back to first; none where they are not.
    pub image: Option<SnapshotName>,
}

/// What became of an operation, by its driver.
#[derive(Debug, Clone)]
pub struct PowerActed {
    /// Its position.
    pub position: Position,
    /// What became of it; none when a person was asked.
    pub outcome: Option<PowerOutcome>,
    /// What was seen, or what went wrong.
    pub detail: String,
    /// The machine's memory, where it is kept.
    pub dump: Option<Box<Dump>>,
}

/// What is seen of an operation that an earlier leader began.
#[derive(Debug, Clone)]
pub struct PowerLooked {
    /// Its position.
    pub position: Position,
    /// The state of the machine's power now.
    pub state: PowerState,
}

/// An input.
#[derive(Debug, Clone)]
pub enum Input {
    /// A person's command.
    Command(Command),
    /// An agent's hello: a command too, since it is answered from the log.
    Hello(Hello),
    /// RESERVATIONS: a grant.
    Granted(Grant),
    /// RESERVATIONS: the deadline moved.
    DeadlineMoved {
        /// Which reservation.
        reservation: ReservationId,
        /// The new deadline.
        deadline: PoolTime,
    },
    /// RESERVATIONS: it goes on without one of its machines.
    Dropped {
        /// Which reservation.
        reservation: ReservationId,
        /// The machine.
        machine: MachineId,
    },
    /// RESERVATIONS: over.
    Ended {
        /// Which reservation.
        reservation: ReservationId,
    },
    /// REPORTS: an agent has fenced an epoch.
    FenceDone {
        /// Who.
        machine: MachineId,
        /// Which epoch.
        epoch: Epoch,
    },
    /// REPORTS: probing found something else.
    Probed {
        /// Who.
        machine: MachineId,
        /// In which life.
        incarnation: Incarnation,
        /// Number of the batch that says so.
        batch: u64,
        /// What it found.
        inventory: Arc<Inventory>,
    },
    /// REPORTS: a test announces that its machine goes away, or takes that back.
    Announced {
        /// Who.
        machine: MachineId,
        /// The process.
        process: ProcessId,
        /// Boot that is to end.
        boot_id: String,
        /// How it goes away, and within which time it is back; none takes it back.
        absence: Option<(Absence, Duration)>,
    },
    /// An agent took its desired state: it is on its disk.
    DesiredTaken {
        /// Who.
        machine: MachineId,
        /// In which life.
        incarnation: Incarnation,
        /// The generation that it has.
        generation: Position,
    },
    /// What became of an operation on a machine's power or snapshot.
    PowerActed {
        /// Which machine.
        machine: MachineId,
        /// What.
        acted: PowerActed,
    },
    /// What is seen of an operation that an earlier leader began.
    PowerLooked {
        /// Which machine.
        machine: MachineId,
        /// What.
        looked: PowerLooked,
    },
    /// REPORTS: what became of an order to prepare a disk.
    StorageDone {
        /// Who.
        machine: MachineId,
        /// What.
        report: StorageReport,
    },
    /// Timers, and the repair by the full pass.
    Tick,
}

/// Answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// What a command did.
    Changed {
        /// Machines that changed.
        machines: Vec<MachineId>,
        /// Machines that did not need to.
        unchanged: Vec<MachineId>,
        /// Position after which the change is in the log.
        position: Position,
    },
    /// What a command did to the list of kernels.
    Kernel {
        /// The kernel, as it is or was in the list.
        kernel: Box<Kernel>,
        /// Nothing needed to be done.
        unchanged: bool,
        /// Digests of files that no kernel of the list uses any longer.
        unused: BTreeSet<String>,
    },
    /// Answer to a hello.
    Hello(Desired),
}
