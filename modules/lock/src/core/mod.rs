//! Pure: the lock table, what a grant says of its order, which lock comes next, and which fault is made when. No sockets, no
//! files, no clock.

mod judge;
mod plan;
mod table;

pub(crate) use judge::{Disorder, Wrong, check_grant, judge_record};
pub(crate) use plan::Plan;
pub(crate) use table::{ClientId, Granted, Place, Refused, Table};

use muster_model::{Dpid, JobNumber, ProcessNumber};
use muster_pattern::{Expectation, Owner, name_hash};

/// How a lock is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With others of this mode.
    Shared,
    /// Alone.
    Exclusive,
}

impl Mode {
    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        }
    }
}

/// Who takes locks and writes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Writer {
    /// The process.
    pub(crate) owner: Owner,
    /// Hash of its machine's name.
    pub(crate) machine: u32,
}

/// A grant that came before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Before {
    /// Whose it was.
    pub(crate) writer: Writer,
    /// When it had been asked for; 0 where nothing is promised.
    pub(crate) ticket: u64,
    /// Its token.
    pub(crate) token: u64,
}

/// What the record of a lock holds when the lock is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// Nobody has written it.
    Never,
    /// What this writer wrote under this token.
    Written(Writer, u64),
    /// Nobody knows: its last holder was cut off, or found it wrong.
    Unknown,
}

/// A lock, granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Which lock.
    pub(crate) lock: u32,
    /// How.
    pub(crate) mode: Mode,
    /// Place in the order of asking; 0 where no order is promised.
    pub(crate) ticket: u64,
    /// The fencing token: it rises with every grant of the lock; over fcntl with every exclusive one.
    pub(crate) token: u64,
    /// What its record must hold.
    pub(crate) last: Last,
    /// The grant of the same lock before it, where the server tells it.
    pub(crate) before: Option<Before>,
}

/// What a record must hold: written by a holder of a lock, under its token.
pub(crate) fn record_of(lock: u32, record_bytes: usize, writer: Writer, token: u64) -> Expectation {
    Expectation {
        owner: writer.owner,
        target: name_hash(&target(lock)),
        machine: writer.machine,
        sequence: token,
        offset: u64::from(lock) * record_bytes as u64,
    }
}

/// A lock, as reports name it.
pub(crate) fn target(lock: u32) -> String {
    format!("lock {lock}")
}

/// A process, as people know it.
pub(crate) fn dpid(owner: Owner) -> Dpid {
    Dpid { job: JobNumber(owner.job), process: ProcessNumber(owner.process) }
}
