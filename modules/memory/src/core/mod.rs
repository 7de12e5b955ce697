//! Pure decisions: what sizes, and which move comes next.

mod plan;
mod sizes;

pub(crate) use plan::{Move, Plan, SLACK_BYTES, Shape};
pub(crate) use sizes::{AREA_BYTES_MIN, mixed_sizes};
