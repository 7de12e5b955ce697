//! Names and help of the scheduler's own metrics.

/// Commands and queries by result: answered or refused.
const COMMANDS: &str = "muster_scheduler_requests_total";
/// Heartbeats heard while leading.
const HEARTBEATS: &str = "muster_scheduler_heartbeats_total";
/// Hellos by result: answered or refused.
const HELLOS: &str = "muster_scheduler_hellos_total";
/// Updates sent to agents by result: taken, refused or unanswered.
const UPDATES: &str = "muster_scheduler_updates_total";
/// Agents asked for all they know, because their digest differs, by result.
const INVENTORIES: &str = "muster_scheduler_inventories_total";
/// Processes that an agent refused to start.
const REFUSED: &str = "muster_scheduler_refused_processes_total";
/// Pool clocks that were begun cold, by whose time they continue: agents or own.
const CLOCKS: &str = "muster_scheduler_clocks_begun_total";
/// Processes that stalled: running, and their iterations did not change for longer than their module allows.
const STALLED: &str = "muster_scheduler_stalled_processes_total";
/// Messages that could not be decoded.
const INVALID: &str = "muster_scheduler_invalid_messages_total";

/// Says what each metric means.
pub(crate) fn describe() {
    metrics::describe_counter!(COMMANDS, "Commands and queries by result: answered or refused.");
    metrics::describe_counter!(HEARTBEATS, "Heartbeats heard while leading.");
    metrics::describe_counter!(HELLOS, "Hellos by result: answered or refused.");
    metrics::describe_counter!(UPDATES, "Updates sent to agents by result: taken, refused or unanswered.");
    metrics::describe_counter!(INVENTORIES, "Agents asked for all they know, because their digest differs, by result.");
    metrics::describe_counter!(REFUSED, "Processes that an agent refused to start.");
    metrics::describe_counter!(CLOCKS, "Pool clocks that were begun cold, by whose time they continue: agents or own.");
    metrics::describe_counter!(
        STALLED,
        "Processes that stalled: running, with iterations unchanged for longer than their module allows."
    );
    metrics::describe_counter!(INVALID, "Messages that could not be decoded.");
}

pub(crate) fn request(answered: bool) {
    metrics::counter!(COMMANDS, "result" => result(answered)).increment(1);
}

pub(crate) fn heartbeat() {
    metrics::counter!(HEARTBEATS).increment(1);
}

pub(crate) fn hello(answered: bool) {
    metrics::counter!(HELLOS, "result" => result(answered)).increment(1);
}

pub(crate) fn update(result: &'static str) {
    metrics::counter!(UPDATES, "result" => result).increment(1);
}

pub(crate) fn inventory(answered: bool) {
    metrics::counter!(INVENTORIES, "result" => result(answered)).increment(1);
}

pub(crate) fn refused(count: usize) {
    metrics::counter!(REFUSED).increment(count as u64);
}

pub(crate) fn clock_began(by_agents: bool) {
    metrics::counter!(CLOCKS, "time" => if by_agents { "agents" } else { "own" }).increment(1);
}

pub(crate) fn stalled(count: usize) {
    metrics::counter!(STALLED).increment(count as u64);
}

pub(crate) fn invalid() {
    metrics::counter!(INVALID).increment(1);
}

fn result(answered: bool) -> &'static str {
    if answered { "answered" } else { "refused" }
}
