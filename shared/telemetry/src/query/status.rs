//! How far the store is: what it has taken of each stream, and how large it is.

use std::collections::BTreeMap;

use muster_proto::v1::{ReportReply, Row};
use muster_store::{Client, Error, Result, Store};

use super::cells::{integer, maybe_integer, number_column, text, text_column};

/// Where a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnd {
    /// Creation time of the stream, nanoseconds.
    pub epoch: i64,
    /// Its last sequence.
    pub last: u64,
}

/// One row for each stream and each table. `ends` is what the bus says of the streams; one that is missing there was not reachable.
///
/// # Errors
/// As the store.
pub async fn status(store: &Store, ends: &BTreeMap<String, StreamEnd>) -> Result<ReportReply> {
    let client = store.client().await?;
    let mut rows = streams(&client, ends).await?;
    rows.extend(tables(&client).await?);
    let mut columns: Vec<_> = ["kind", "name"].map(text_column).into();
    columns.extend(["last_seq", "stream_seq", "lag"].map(number_column));
    columns.push(text_column("updated"));
    columns.extend(["rows_estimate", "size_bytes"].map(number_column));
    let mut notes = vec![format!("store at {}", store.place())];
    notes.extend(bounds_note(&client).await?);
    Ok(ReportReply { title: "store status".into(), columns, rows, notes })
}

/// Says so when series were left out.
async fn bounds_note(client: &Client) -> Result<Option<String>> {
    let row = client.query_one("SELECT count(*) FROM series_bound", &[]).await;
    let count: i64 = row.map_err(Error::doing("count bounds of series"))?.get(0);
    let note = format!("{count} bounds of series were reached: `muster admin telemetry status`");
    Ok((count > 0).then_some(note))
}

async fn streams(client: &Client, ends: &BTreeMap<String, StreamEnd>) -> Result<Vec<Row>> {
    let select = "SELECT DISTINCT ON (stream) stream, epoch, last_seq, muster_text(updated_at) FROM stream_offset \
                  WHERE shard = 0 ORDER BY stream, epoch DESC LIMIT 100";
    let rows = client.query(select, &[]).await.map_err(Error::doing("read the positions of the streams"))?;
    let stored: BTreeMap<String, (i64, i64, String)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3)))).collect();
    let names: std::collections::BTreeSet<&String> = stored.keys().chain(ends.keys()).collect();
    Ok(names.into_iter().map(|name| stream_row(name, stored.get(name), ends.get(name))).collect())
}

/// A stream that was made again since the store looked counts from its beginning.
fn stream_row(name: &str, stored: Option<&(i64, i64, String)>, end: Option<&StreamEnd>) -> Row {
    let taken = match (stored, end) {
        (Some((epoch, last, _)), Some(end)) if *epoch == end.epoch => *last,
        (_, Some(_)) | (None, None) => 0,
        (Some((_, last, _)), None) => *last,
    };
    let last = end.map(|end| i64::try_from(end.last).unwrap_or(i64::MAX));
    let updated = stored.map_or("", |stored| stored.2.as_str());
    let lag = maybe_integer(last.map(|last| (last - taken).max(0)));
    let (empty, updated) = (|| maybe_integer(None), text(updated));
    Row { cells: vec![text("stream"), text(name), integer(taken), maybe_integer(last), lag, updated, empty(), empty()] }
}

async fn tables(client: &Client) -> Result<Vec<Row>> {
    let select = "SELECT root.relname::text, \
            (SELECT sum(greatest(part.reltuples, 0))::bigint FROM pg_partition_tree(root.oid) AS tree \
             JOIN pg_class AS part ON part.oid = tree.relid WHERE tree.isleaf), \
            (SELECT sum(pg_total_relation_size(tree.relid))::bigint FROM pg_partition_tree(root.oid) AS tree) \
        FROM pg_class AS root JOIN pg_namespace AS space ON space.oid = root.relnamespace \
        WHERE space.nspname = current_schema() AND root.relkind IN ('r', 'p') AND NOT root.relispartition \
          AND root.relname <> 'refinery_schema_history' ORDER BY root.relname LIMIT 100";
    let rows = client.query(select, &[]).await.map_err(Error::doing("measure the tables"))?;
    let empty = || maybe_integer(None);
    let row = |row: &tokio_postgres::Row| {
        let name = text(row.get::<_, String>(0));
        let (count, size) = (maybe_integer(row.get(1)), maybe_integer(row.get(2)));
        Row { cells: vec![text("table"), name, empty(), empty(), empty(), text(""), count, size] }
    };
    Ok(rows.iter().map(row).collect())
}
