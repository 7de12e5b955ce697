//! Names and help of the ledger's metrics. The label `log` is JOBS, MACHINES or RESERVATIONS.

/// Turns that appended a message.
pub const TURNS: &str = "muster_ledger_turns_total";
/// Entries that were appended.
pub const ENTRIES: &str = "muster_ledger_entries_total";
/// Bytes that were appended.
pub const APPENDED_BYTES: &str = "muster_ledger_appended_bytes_total";
/// Commands that were refused.
pub const REFUSALS: &str = "muster_ledger_refusals_total";
/// Appends whose outcome was unknown for a while.
pub const UNKNOWN_APPENDS: &str = "muster_ledger_unknown_appends_total";
/// Times that this process became leader.
pub const LEADER_CHANGES: &str = "muster_ledger_leader_changes_total";
/// Inputs that wait for a turn.
pub const QUEUE_DEPTH: &str = "muster_ledger_queue_depth";
/// Observations dropped because the queue was full.
pub const OBSERVATIONS_DROPPED: &str = "muster_ledger_observations_dropped_total";
/// Messages of followed streams that could not be handled.
pub const REJECTED: &str = "muster_ledger_rejected_total";
/// Messages of followed streams that were gone before they were read.
pub const SOURCE_GAPS: &str = "muster_ledger_source_gap_messages_total";
/// Effects dropped because too many waited; the next full pass wants them again.
pub const EFFECTS_DROPPED: &str = "muster_ledger_effects_dropped_total";
/// Whether this process leads: 1 or 0.
pub const LEADING: &str = "muster_ledger_leading";

/// Every counter with its help.
pub const COUNTERS: &[(&str, &str)] = &[
    (TURNS, "Turns that appended a message."),
    (ENTRIES, "Entries that were appended."),
    (APPENDED_BYTES, "Bytes that were appended."),
    (REFUSALS, "Commands that were refused."),
    (UNKNOWN_APPENDS, "Appends whose outcome was unknown for a while."),
    (LEADER_CHANGES, "Times that this process became leader."),
    (OBSERVATIONS_DROPPED, "Observations dropped because the queue was full."),
    (REJECTED, "Messages of followed streams that could not be handled."),
    (SOURCE_GAPS, "Messages of followed streams that were gone before they were read."),
    (EFFECTS_DROPPED, "Effects dropped because too many waited."),
];

/// Every gauge with its help.
pub const GAUGES: &[(&str, &str)] =
    &[(QUEUE_DEPTH, "Inputs that wait for a turn."), (LEADING, "Whether this process leads: 1 or 0.")];

/// Gives every metric its help; called once at the start of a ledger.
pub(crate) fn describe() {
    for (name, help) in COUNTERS {
        metrics::describe_counter!(*name, *help);
    }
    for (name, help) in GAUGES {
        metrics::describe_gauge!(*name, *help);
    }
}
