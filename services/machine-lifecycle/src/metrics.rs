//! Names and help of machine-lifecycle's own metrics.

use crate::core::health::Health;
use crate::core::power::{PowerOutcome, PowerTask};

/// Heartbeats heard while leading.
const HEARTBEATS: &str = "muster_machine_lifecycle_heartbeats_total";
/// Heartbeats that wanted an answer while too many others did.
const UNANSWERED_HEARTBEATS: &str = "muster_machine_lifecycle_unanswered_heartbeats_total";
/// Hellos by result: answered or refused.
const HELLOS: &str = "muster_machine_lifecycle_hellos_total";
/// Commands and queries by result: answered or refused.
const COMMANDS: &str = "muster_machine_lifecycle_commands_total";
/// Desired states sent to agents by result: taken, refused or unanswered.
const DESIRED: &str = "muster_machine_lifecycle_desired_sent_total";
/// Orders to install a kernel or to reboot, sent to agents, by result: taken, refused or unanswered.
const BOOT_TASKS: &str = "muster_machine_lifecycle_boot_tasks_sent_total";
/// Kernels that were to be kept for QEMU, by result: kept or failed.
const KERNELS: &str = "muster_machine_lifecycle_kernels_kept_total";
/// Orders to prepare a disk, sent to agents, by result: taken, refused or unanswered.
const STORAGE_TASKS: &str = "muster_machine_lifecycle_storage_tasks_sent_total";
/// Operations on power and snapshots by task and result: done, failed, unclear, dropped or asked.
const SWITCHED: &str = "muster_machine_lifecycle_switched_total";
/// Messages that could not be decoded.
const INVALID: &str = "muster_machine_lifecycle_invalid_messages_total";
/// Machines by health, as the leader sees them.
const MACHINES: &str = "muster_machine_lifecycle_machines";
/// 1 while too many machines are silent for any down verdict.
const BRAKE: &str = "muster_machine_lifecycle_brake";

/// Says what each metric means.
pub(crate) fn describe() {
    metrics::describe_counter!(HEARTBEATS, "Heartbeats heard while leading.");
    metrics::describe_counter!(UNANSWERED_HEARTBEATS, "Heartbeats that wanted an answer while too many others did.");
    metrics::describe_counter!(HELLOS, "Hellos by result: answered or refused.");
    metrics::describe_counter!(COMMANDS, "Commands and queries by result: answered or refused.");
    metrics::describe_counter!(DESIRED, "Desired states sent to agents by result: taken, refused or unanswered.");
    metrics::describe_counter!(
        BOOT_TASKS,
        "Orders to install a kernel or to reboot, sent to agents, by result: taken, refused or unanswered."
    );
    metrics::describe_counter!(KERNELS, "Kernels that were to be kept for QEMU, by result: kept or failed.");
    metrics::describe_counter!(
        STORAGE_TASKS,
        "Orders to prepare a disk, sent to agents, by result: taken, refused or unanswered."
    );
    metrics::describe_counter!(
        SWITCHED,
        "Operations on power and snapshots by task and result: done, failed, unclear, dropped or asked."
    );
    metrics::describe_counter!(INVALID, "Messages that could not be decoded.");
    metrics::describe_gauge!(MACHINES, "Machines by health, as the leader sees them.");
    metrics::describe_gauge!(BRAKE, "1 while too many machines are silent for any down verdict.");
}

pub(crate) fn heartbeat() {
    metrics::counter!(HEARTBEATS).increment(1);
}

pub(crate) fn unanswered_heartbeat() {
    metrics::counter!(UNANSWERED_HEARTBEATS).increment(1);
}

pub(crate) fn hello(answered: bool) {
    metrics::counter!(HELLOS, "result" => result(answered)).increment(1);
}

pub(crate) fn command(answered: bool) {
    metrics::counter!(COMMANDS, "result" => result(answered)).increment(1);
}

pub(crate) fn desired(result: &'static str) {
    metrics::counter!(DESIRED, "result" => result).increment(1);
}

pub(crate) fn boot_task(result: &'static str) {
    metrics::counter!(BOOT_TASKS, "result" => result).increment(1);
}

pub(crate) fn kernel(result: &'static str) {
    metrics::counter!(KERNELS, "result" => result).increment(1);
}

pub(crate) fn storage_task(result: &'static str) {
    metrics::counter!(STORAGE_TASKS, "result" => result).increment(1);
}

pub(crate) fn switched(task: PowerTask, outcome: Option<PowerOutcome>) {
    let outcome = outcome.map_or("asked", PowerOutcome::as_str);
    metrics::counter!(SWITCHED, "task" => task.to_string(), "result" => outcome).increment(1);
}

pub(crate) fn invalid() {
    metrics::counter!(INVALID).increment(1);
}

pub(crate) fn health(brake: bool, counts: &[(Health, usize)]) {
    metrics::gauge!(BRAKE).set(if brake { 1.0 } else { 0.0 });
    for (health, count) in counts {
        metrics::gauge!(MACHINES, "health" => health.as_str()).set(*count as f64);
    }
}

fn result(answered: bool) -> &'static str {
    if answered { "answered" } else { "refused" }
}
