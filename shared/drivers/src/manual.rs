//! A person does it: the driver only says so. What was asked and who said that it is done is kept by machine-lifecycle.

use std::collections::BTreeSet;

use muster_model::{PowerAction, PowerSpec, PowerState, SnapshotAction, SnapshotSpec};

use crate::{Answer, Deadline, Done, PowerDriver, SnapshotDriver};

/// A person's hand on the power.
pub(crate) struct Power {
    able: BTreeSet<PowerAction>,
}

impl Power {
    pub(crate) fn new(spec: &PowerSpec) -> Self {
        Self { able: spec.capabilities() }
    }
}

impl PowerDriver for Power {
    fn capabilities(&self) -> BTreeSet<PowerAction> {
        self.able.clone()
    }

    fn reads_state(&self) -> bool {
        false
    }

    fn state(&self, _: Deadline) -> Answer<'_, PowerState> {
        Box::pin(async { Ok(PowerState::Unknown) })
    }

    fn act(&self, _: PowerAction, _: Deadline) -> Answer<'_, Done> {
        Box::pin(async { Ok(Done::Asked) })
    }
}

/// A person takes the machine back.
pub(crate) struct Snapshot {
    able: BTreeSet<SnapshotAction>,
}

impl Snapshot {
    pub(crate) fn new(spec: &SnapshotSpec) -> Self {
        Self { able: spec.capabilities() }
    }
}

impl SnapshotDriver for Snapshot {
    fn capabilities(&self) -> BTreeSet<SnapshotAction> {
        self.able.clone()
    }

    fn exists(&self, _: Deadline) -> Answer<'_, Option<bool>> {
        Box::pin(async { Ok(None) })
    }

    fn act(&self, _: SnapshotAction, _: Deadline) -> Answer<'_, Done> {
        Box::pin(async { Ok(Done::Asked) })
    }
}
