//! Many rows in one statement: as a JSON array that PostgreSQL takes apart. The one place where text is made fit for PostgreSQL.

use muster_model::{PoolTime, ProcessId};
use muster_store::{Error, Result, Transaction};
use serde_json::{Map, Value};
use tokio_postgres::types::Json;

/// Rows at most in one statement.
const ROWS_MAX: usize = 10_000;

/// Runs `statement` with rows as its parameter `$1`, of type jsonb; not at all when there are none.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    what: &str,
    statement: &str,
    rows: impl Iterator<Item = Value>,
) -> Result<u64> {
    let mut rows: Vec<Value> = rows.map(fit).collect();
    let mut written = 0;
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(ROWS_MAX));
        let part = Json(Value::Array(std::mem::replace(&mut rows, rest)));
        let prepared = transaction.prepare_cached(statement).await.map_err(Error::doing(what))?;
        written += transaction.execute(&prepared, &[&part]).await.map_err(Error::doing(what))?;
    }
    Ok(written)
}

/// A number as PostgreSQL's bigint. Ours stay below 2^63; a stranger's that does not is cut to the greatest.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A time as the nanoseconds that `muster_time` takes.
pub(super) fn time(value: PoolTime) -> Value {
    value.0.into()
}

/// Adds the four columns of a process to a row.
pub(super) fn with_process(mut row: Value, id: ProcessId) -> Value {
    if let Value::Object(columns) = &mut row {
        columns.insert("run".into(), id.run.0.into());
        columns.insert("job".into(), id.dpid.job.0.into());
        columns.insert("process".into(), id.dpid.process.0.into());
        columns.insert("attempt".into(), id.attempt.0.into());
    }
    row
}

/// The same value without the character NUL, for which PostgreSQL has no place in text.
pub(super) fn fit(value: Value) -> Value {
    let fit_text = |text: String| if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    match value {
        Value::String(text) => Value::String(fit_text(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(fit).collect()),
        Value::Object(fields) => {
            let fields: Map<String, Value> =
                fields.into_iter().map(|(key, value)| (fit_text(key), fit(value))).collect();
            Value::Object(fields)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_that_postgresql_can_not_hold_is_made_fit() {
        assert_eq!(fit(json!({"a\0": ["b\0c", 1]})), json!({"a\u{fffd}": ["b\u{fffd}c", 1]}));
    }
}
