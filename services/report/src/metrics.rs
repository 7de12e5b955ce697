//! The service's own health.

use metrics::{Unit, counter, describe_counter};

/// Questions answered.
const ANSWERS: &str = "muster_report_answers_total";
/// Questions refused.
const REFUSALS: &str = "muster_report_refusals_total";

/// Says what the names mean.
pub(crate) fn describe() {
    describe_counter!(ANSWERS, Unit::Count, "Questions answered");
    describe_counter!(REFUSALS, Unit::Count, "Questions refused");
}

pub(crate) fn answered(answered: bool) {
    counter!(if answered { ANSWERS } else { REFUSALS }).increment(1);
}
