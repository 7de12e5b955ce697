//! What a driver is.

use std::collections::BTreeSet;
use std::pin::Pin;

use muster_model::{PowerAction, PowerState, SnapshotAction};

use crate::{Deadline, DriverError};

/// What a driver will answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DriverError>> + Send + 'a>>;

/// What came of an action, by the driver's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was done.
    Done,
    /// A person has to do it.
    Asked,
}

/// Gives and takes the power of one machine.
pub trait PowerDriver: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> BTreeSet<PowerAction>;

    /// Whether it can look at the state.
    fn reads_state(&self) -> bool;

    /// Looks at the state; it changes nothing.
    fn state(&self, deadline: Deadline) -> Answer<'_, PowerState>;

    /// Does one thing once, and returns when it was taken, not when it has come true. A cycle only where off and on are not there.
    fn act(&self, action: PowerAction, deadline: Deadline) -> Answer<'_, Done>;
}

/// Takes the snapshot of one machine, and takes the machine back to it.
pub trait SnapshotDriver: Send + Sync {
    /// What it can do.
    fn capabilities(&self) -> BTreeSet<SnapshotAction>;

    /// Whether the snapshot is there; none where the driver can not tell.
    fn exists(&self, deadline: Deadline) -> Answer<'_, Option<bool>>;

    /// Does one thing once.
    fn act(&self, action: SnapshotAction, deadline: Deadline) -> Answer<'_, Done>;
}
