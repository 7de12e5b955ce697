//! Questions about the past, and their answers as tables. Read-only; each statement has a limit, and the pool a time-out.

mod artifact;
mod cells;
mod corruption;
mod firing;
mod kept;
mod owner;
mod perf;
mod run;
mod setting;
mod status;
mod summary;
mod together;

pub use artifact::artifacts;
pub use corruption::{corruption, corruptions};
pub use firing::firings;
pub use kept::kept;
pub(crate) use owner::process_id;
pub use perf::{Bucket, perf};
pub use run::{Run, find_run};
pub use status::{StreamEnd, status};
pub use summary::summary;
pub use together::{Moment, together, together_with};

/// Rows of an answer at most; the answer says so when there are more.
pub const ROWS_MAX: usize = 1_000;

/// The note under an answer that was cut.
fn cut_note() -> String {
    format!("only the first {ROWS_MAX} rows are shown: narrow the question")
}
