//! Statistics of reports: pure functions over numbers, each with its source. None of them takes NaN.

mod many;
mod normal;
mod rank;
mod robust;

pub use many::holm;
pub use rank::{Compared, Size, mann_whitney};
pub use robust::{Middle, OUTLIER_SCORE, median};
