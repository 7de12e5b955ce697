//! Names, units and help of reservation's metrics.

/// Commands that were refused, by code.
const REFUSED: &str = "muster_reservation_refused_total";
/// Commands that were taken.
const TAKEN: &str = "muster_reservation_commands_total";
/// Attempts to tell somebody of a reservation; `outcome` is told or failed.
const NOTICES: &str = "muster_reservation_notices_total";

/// Registers names, units and help.
pub(crate) fn describe() {
    metrics::describe_counter!(TAKEN, "Commands that were decided and answered.");
    metrics::describe_counter!(REFUSED, "Commands and queries that were refused.");
    metrics::describe_counter!(NOTICES, "Attempts to tell somebody of a reservation.");
}

/// A command was taken.
pub(crate) fn taken() {
    metrics::counter!(TAKEN).increment(1);
}

/// A request was refused.
pub(crate) fn refused() {
    metrics::counter!(REFUSED).increment(1);
}

/// Somebody was told, or could not be.
pub(crate) fn noticed(told: bool) {
    metrics::counter!(NOTICES, "outcome" => if told { "told" } else { "failed" }).increment(1);
}
