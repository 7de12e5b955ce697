//! One action on the snapshot of a machine, with a look at what is there afterwards.
//!
//! That a machine went back is proven by its agent, which says hello as another incarnation; here only that the snapshot is there.

use std::time::Duration;

use muster_model::SnapshotAction;
use tokio::time::Instant;

use crate::act::bounded;
use crate::{Deadline, Done, DriverError, Outcome, SnapshotDriver};

/// The longest look at whether a snapshot is there.
const LOOK_MAX: Duration = Duration::from_secs(20);

/// What was asked, what it came to, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What was asked.
    pub asked: SnapshotAction,
    /// What it came to: confirmed where the snapshot was seen afterwards.
    pub outcome: Outcome,
    /// What went wrong, if anything.
    pub complaint: Option<DriverError>,
    /// From the beginning to the look.
    pub took: Duration,
}

/// Takes a snapshot, or takes the machine back to it, within so long; then looks whether the snapshot is there. Nothing is taken back to a
/// snapshot that is not there.
pub async fn restore_and_read_back(driver: &dyn SnapshotDriver, action: SnapshotAction, within: Duration) -> Restored {
    let begun = Instant::now();
    let (outcome, complaint) = match restore(driver, action, within).await {
        Ok(outcome) => (outcome, None),
        Err(error) => (Outcome::Failed, Some(error)),
    };
    Restored { asked: action, outcome, complaint, took: begun.elapsed() }
}

async fn restore(
    driver: &dyn SnapshotDriver,
    action: SnapshotAction,
    within: Duration,
) -> Result<Outcome, DriverError> {
    if !driver.capabilities().contains(&action) {
        return Err(DriverError::Unable(format!("this driver can not do `{action}`")));
    }
    if action == SnapshotAction::Revert && look(driver).await? == Some(false) {
        return Err(DriverError::Unable("the machine's snapshot is not there; take it first".into()));
    }
    let deadline = Deadline::within(within);
    if bounded(driver.act(action, deadline), deadline).await? == Done::Asked {
        return Ok(Outcome::Asked);
    }
    Ok(match look(driver).await? {
        Some(true) => Outcome::Confirmed,
        Some(false) => Outcome::Differs,
        None => Outcome::Unseen,
    })
}

async fn look(driver: &dyn SnapshotDriver) -> Result<Option<bool>, DriverError> {
    let deadline = Deadline::within(LOOK_MAX);
    bounded(driver.exists(deadline), deadline).await
}
