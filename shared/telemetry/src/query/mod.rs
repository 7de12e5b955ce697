//! Questions about the past, and their answers as tables. Read-only; each statement has a limit, and the pool a time-out.

mod artifact;
mod cells;
mod compare;
mod corruption;
mod coverage;
mod direction;
mod errors;
mod fetch;
mod firing;
mod history;
mod kept;
mod levels;
mod owner;
mod perf;
mod quiet;
mod results;
mod run;
mod scope;
mod setting;
mod status;
mod summary;
mod timeline;
mod together;
mod usage;
mod worst;

pub use artifact::artifacts;
pub use compare::compare;
pub use corruption::{corruption, corruptions};
pub use coverage::{coverage, coverage_pairs};
pub use errors::errors;
pub use firing::firings;
pub use history::history;
pub use kept::kept;
pub(crate) use owner::process_id;
pub use perf::{Bucket, perf};
pub use quiet::quiet;
pub use results::results;
pub use run::{Run, find_run};
pub use scope::Scope;
pub use status::{StreamEnd, status};
pub use summary::summary;
pub use timeline::{Timeline, timeline};
pub use together::{Moment, together, together_with};
pub use usage::usage;
pub use worst::worst;

/// Rows of an answer at most; the answer says so when there are more.
pub const ROWS_MAX: usize = 1_000;

/// The note under an answer that was cut.
fn cut_note() -> String {
    format!("only the first {ROWS_MAX} rows are shown: narrow the question")
}
