//! Inputs about plans, and what they answer.

use std::time::Duration;

use muster_model::{JobNumber, OnFailure, ReservationId, RunId};

use super::Start;

/// Start a plan.
#[derive(Debug, Clone)]
pub struct PlanStart {
    /// Who.
    pub actor: String,
    /// Its name.
    pub name: String,
    /// Steps, in the order of the file.
    pub steps: Vec<StepStart>,
    /// Reservation; 0 is the pool.
    pub reservation: ReservationId,
    /// Check it, and start nothing.
    pub dry_run: bool,
}

/// A step of it.
#[derive(Debug, Clone)]
pub struct StepStart {
    /// Its name.
    pub name: String,
    /// Names of the steps that must be over before it begins.
    pub after: Vec<String>,
    /// What follows where it fails.
    pub on_failure: OnFailure,
    /// Tasks.
    pub tasks: Vec<TaskStart>,
}

/// A task of it.
#[derive(Debug, Clone)]
pub struct TaskStart {
    /// Its name.
    pub name: String,
    /// Time from its placement until it is stopped; zero for none.
    pub limit: Duration,
    /// How often it is tried where the infrastructure fails; 0 for as often as may be.
    pub attempts: u32,
    /// What it runs.
    pub roles: Vec<RoleStart>,
}

/// What a task runs, or one of its roles.
#[derive(Debug, Clone)]
pub struct RoleStart {
    /// Name of the role; empty for a task without roles.
    pub name: String,
    /// What is to be started.
    pub start: Start,
}

/// What a start of a plan did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanAccepted {
    /// Run.
    pub run: RunId,
    /// Job; 0 where it was only checked.
    pub job: JobNumber,
    /// Its name.
    pub name: String,
    /// Steps.
    pub steps: u32,
    /// Tasks.
    pub tasks: u32,
    /// Processes of tasks whose number is known before they are placed.
    pub processes: u32,
}
