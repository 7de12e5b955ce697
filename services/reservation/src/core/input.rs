//! What reservation decides on.

use std::time::Duration;

use muster_model::{
    GroupMaster, JobNumber, MachineId, NotifyTarget, PoolTime, Position, ReservationId, SnapshotName, SshKey,
};

use super::machine::News;
use super::notice::{Notice, Recipient};
use super::quorum::Rollout;
use super::quota::Quota;

/// One input.
#[derive(Debug, Clone)]
pub enum Input {
    /// Somebody wants something.
    Command {
        /// Who: the actor of the envelope, `user:anna`.
        user: String,
        /// What.
        command: Box<Command>,
    },
    /// MACHINES says something of a machine.
    Machine {
        /// Which.
        machine: MachineId,
        /// What.
        news: News,
    },
    /// A task of a plan failed, and keeps its machines for the owner of the plan.
    CheckoutAsked {
        /// The owner.
        user: String,
        /// The machines, sorted.
        machines: Vec<MachineId>,
        /// The plan.
        job: JobNumber,
        /// Place of the task among all of the plan.
        task: u32,
    },
    /// Processes were started whose module asks for clients.
    ClientsWanted(ClientsWanted),
    /// The scheduler says that a process with clients is over.
    GroupEnded {
        /// Which.
        master: GroupMaster,
        /// Why, for people.
        reason: String,
    },
    /// machine-lifecycle has taken RESERVATIONS up to here, and everything that it decided on it was given before this input.
    Taken(Position),
    /// Somebody was told, or could not be.
    Noticed {
        /// Of which.
        id: ReservationId,
        /// What.
        notice: Notice,
        /// Whom.
        recipient: Recipient,
        /// Attempts before this one.
        attempts: u32,
        /// The deadline that was told; none where there is none.
        deadline: Option<PoolTime>,
        /// Why it failed; none where they were told.
        failed: Option<String>,
    },
    /// JOBS says that a job was started on the machines of a reservation.
    Used(ReservationId),
    /// Due timers, and the full pass.
    Tick,
}

/// Clients that a module asks for, for each of its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientsWanted {
    /// The processes, each with the selector of its clients, not read yet.
    pub masters: Vec<(GroupMaster, String)>,
    /// Who started them.
    pub user: String,
    /// How many machines for each.
    pub count: u32,
}

/// A command. May be refused.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a command is decided at once, and few are held together")]
pub enum Command {
    /// Ask for machines.
    Reserve(Reserve),
    /// Move the deadline.
    Extend {
        /// Which.
        id: ReservationId,
        /// By how much, or until when.
        to: Extension,
    },
    /// Say what somebody may have.
    SetQuota {
        /// Whose: `user:anna`, `group:storage`, `*`.
        name: String,
        /// What they may have; an empty one is none.
        quota: Quota,
    },
    /// In the name of a master: what is reserved becomes its client, and nothing but its clients is changed.
    OnBehalf {
        /// Whose.
        master: GroupMaster,
        /// What.
        command: Box<Command>,
    },
    /// Give one machine back before the end.
    Dismiss {
        /// Which reservation; 0 for the one of the master's clients that has it.
        id: ReservationId,
        /// Which machine.
        machine: MachineId,
    },
    /// Give machines back, or take back the request.
    CheckIn {
        /// Which.
        id: ReservationId,
    },
    /// Take back what somebody else has, as an administrator: whoever gives this to the core has seen to it that they are one.
    Revoke {
        /// Which.
        id: ReservationId,
        /// Why, for its user.
        reason: String,
    },
    /// Its holder is there.
    Accept {
        /// Which.
        id: ReservationId,
    },
}

impl Command {
    /// It gives something back.
    pub(super) fn frees(&self) -> bool {
        match self {
            Self::CheckIn { .. } | Self::Dismiss { .. } | Self::Revoke { .. } => true,
            Self::OnBehalf { command, .. } => command.frees(),
            Self::Reserve(_) | Self::Extend { .. } | Self::SetQuota { .. } | Self::Accept { .. } => false,
        }
    }
}

/// Where a deadline moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// So much further.
    By(Duration),
    /// To this time.
    Until(PoolTime),
    /// Nowhere: it has none from here on.
    Never,
}

/// Ask for machines.
#[derive(Debug, Clone, Default)]
pub struct Reserve {
    /// Selector, not read yet.
    pub selector: String,
    /// How many.
    pub count: u32,
    /// For how long, from when they are ready.
    pub duration: Duration,
    /// How long what runs there may take to end.
    pub drain: Duration,
    /// For people.
    pub comment: String,
    /// Boot them into a kernel, and start at a quorum.
    pub rollout: Option<Rollout>,
    /// A higher one is served before a lower one.
    pub priority: u32,
    /// With so many machines as well, after a while; 0 means all of them.
    pub minimum: u32,
    /// Until when, instead of for how long.
    pub until: Option<PoolTime>,
    /// So many reservations of one machine each.
    pub each: bool,
    /// Whose clients they become.
    pub master: Option<GroupMaster>,
    /// Where its user is told; none is not said.
    pub notify: Option<NotifyTarget>,
    /// Where the administrator is told: never by the wish of who asks.
    pub notify_administrator: NotifyTarget,
    /// So long after its user was told it ends, if nobody shows up; zero is never, none is not said.
    pub no_show: Option<Duration>,
    /// Ssh key that is installed on its machines for its time.
    pub ssh_key: Option<SshKey>,
    /// The snapshot that they are taken back to before they are ready.
    pub image: Option<SnapshotName>,
}
