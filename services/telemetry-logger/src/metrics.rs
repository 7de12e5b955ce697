//! The service's own health, as counters.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

/// Messages stored, by stream.
const MESSAGES: &str = "muster_telemetry_logger_messages_total";
/// Values of samples stored.
const SAMPLES: &str = "muster_telemetry_logger_samples_total";
/// Messages or parts of them that could not be taken, by stream.
const REJECTS: &str = "muster_telemetry_logger_rejects_total";
/// Transactions that failed and were tried again, by stream.
const RETRIES: &str = "muster_telemetry_logger_retries_total";
/// Messages that wait in the stream, by stream.
const PENDING: &str = "muster_telemetry_logger_pending_messages";
/// Time from when the stream stored the oldest message that is not in PostgreSQL, by stream; 0 when all are.
const LAG: &str = "muster_telemetry_logger_lag_seconds";
/// Values that became chunks.
const COMPACTED: &str = "muster_telemetry_logger_compacted_samples_total";
/// Time that compaction took.
const COMPACTING: &str = "muster_telemetry_logger_compaction_seconds_total";
/// Complete hours that are not compacted yet.
const WAITING: &str = "muster_telemetry_logger_waiting_hours";

/// Says what the names mean.
pub(crate) fn describe() {
    describe_counter!(MESSAGES, Unit::Count, "Messages stored, by stream");
    describe_counter!(SAMPLES, Unit::Count, "Values of samples stored");
    describe_counter!(REJECTS, Unit::Count, "Messages or parts that could not be taken, by stream");
    describe_counter!(RETRIES, Unit::Count, "Transactions that failed and were tried again, by stream");
    describe_gauge!(PENDING, Unit::Count, "Messages that wait in the stream, by stream");
    describe_gauge!(LAG, Unit::Seconds, "Age of the oldest message that is not in PostgreSQL, by stream");
    describe_counter!(COMPACTED, Unit::Count, "Values of samples that were compacted");
    describe_counter!(COMPACTING, Unit::Seconds, "Time that compaction took, whole seconds");
    describe_gauge!(WAITING, Unit::Count, "Complete hours of samples that are not compacted yet");
}

pub(crate) fn stored(stream: &'static str, messages: usize, samples: usize, rejects: usize) {
    counter!(MESSAGES, "stream" => stream).increment(messages as u64);
    counter!(SAMPLES).increment(samples as u64);
    counter!(REJECTS, "stream" => stream).increment(rejects as u64);
}

pub(crate) fn retried(stream: &'static str) {
    counter!(RETRIES, "stream" => stream).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
pub(crate) fn pending(stream: &'static str, messages: u64) {
    gauge!(PENDING, "stream" => stream).set(messages as f64);
}

pub(crate) fn lag(stream: &'static str, lag: Duration) {
    gauge!(LAG, "stream" => stream).set(lag.as_secs_f64());
}

pub(crate) fn compacted(samples: u64, took: Duration) {
    counter!(COMPACTED).increment(samples);
    counter!(COMPACTING).increment(took.as_secs().max(1));
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
pub(crate) fn waiting_hours(hours: usize) {
    gauge!(WAITING).set(hours as f64);
}
