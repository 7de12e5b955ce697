//! Rows of chunks and of days, as both writing and asking read them.

use muster_store::{Error, Stamp};
use tokio_postgres::Row;

use crate::chunk::{Damaged, Summary};

/// The summary in a row, whose columns begin with this one: n, min, max, sum, sum_squares, first_ts, last_ts, first, last, increase.
pub(crate) fn summary(row: &Row, from: usize) -> Summary {
    let at = |column: usize| row.get::<_, Stamp>(column).0.0;
    Summary {
        count: row.get::<_, i32>(from).unsigned_abs(),
        min: row.get(from + 1),
        max: row.get(from + 2),
        sum: row.get(from + 3),
        sum_squares: row.get(from + 4),
        first_at: at(from + 5),
        last_at: at(from + 6),
        first: row.get(from + 7),
        last: row.get(from + 8),
        increase: row.get(from + 9),
    }
}

/// What could not be done because a chunk does not read back.
pub(crate) fn damaged(what: String, error: &Damaged) -> Error {
    Error::broken(what, error, "the database is damaged there: take it from a backup, or delete that row of chunk")
}
