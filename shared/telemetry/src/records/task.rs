//! Tasks of plans.

use muster_model::{PoolTime, TaskState, Verdict};

/// A task of a plan, by run, job and place among all of the plan.
pub type TaskId = (u32, u32, u32);

/// What one transaction learned of a task of a plan; what is none stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskChange {
    /// Its step.
    pub step: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Where it stands.
    pub state: Option<TaskState>,
    /// The worst that its processes say, once it ended.
    pub verdict: Option<Verdict>,
    /// Its attempt.
    pub attempt: Option<u32>,
    /// Why it ended, or waits again.
    pub reason: Option<String>,
    /// When it was first placed.
    pub placed: Option<PoolTime>,
    /// When it ended.
    pub ended: Option<PoolTime>,
}
