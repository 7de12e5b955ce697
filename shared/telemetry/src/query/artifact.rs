//! Files that tests and crashes left: what lies in the object store for them, and how to know that one is whole. Logs are not among
//! them: several share an object.

use muster_model::text::hex;
use muster_proto::v1::{ArtifactQuery, ReportReply, Row};
use muster_store::{Client, Error, Result, Store};

use super::cells::{integer, number_column, text, text_column};
use super::run::Run;
use super::{ROWS_MAX, corruption, cut_note};

/// A file that was stored again under its name is there once, as it was stored last.
const SELECT: &str = "\
SELECT * FROM (SELECT DISTINCT ON (a.bucket, a.name) \
       muster_text(a.at), a.run, CASE WHEN a.job = 0 THEN '' ELSE muster_dpid(a.job, a.process) END, a.machine, a.bucket, a.name, a.size_bytes::bigint, a.sha256, a.path \
FROM artifact AS a \
WHERE a.bucket = 'artifacts' AND ($1::bigint = 0 OR a.run = $1) \
  AND ($9::text = '' OR a.firing = $9 OR a.name LIKE '%/history-%-' || $9 || '.csv') AND (NOT $10::boolean OR a.path <> '') AND ($2::bigint = 0 OR a.job = $2) AND ($3::bigint = 0 OR a.process = $3) \
  AND ($4::text = '' OR a.machine = $4) AND ($5::text = '' OR a.name = $5) AND starts_with(a.name, $6::text) \
  AND ($7::text = '' OR EXISTS (SELECT FROM process AS p WHERE p.run = a.run AND p.job = a.job \
                                AND p.process = a.process AND p.module = $7)) \
ORDER BY a.bucket, a.name, a.stream_seq DESC) AS newest ORDER BY name, bucket LIMIT $8";

/// One row for each file: of a run, of a corruption, of a firing, or of a name; none where there is no such corruption.
///
/// # Errors
/// As the store.
pub async fn artifacts(store: &Store, run: Option<&Run>, query: &ArtifactQuery) -> Result<Option<ReportReply>> {
    let client = store.client().await?;
    let prefix = match query.corruption {
        0 => String::new(),
        number => match corruption::files_of(&client, number).await? {
            Some(prefix) => prefix,
            None => return Ok(None),
        },
    };
    let filter = query.filter.clone().unwrap_or_default();
    let (run_id, job, process) =
        (run.map_or(0, |run| i64::from(run.id.0)), i64::from(filter.job), i64::from(query.process));
    let limit = i64::try_from(ROWS_MAX + 1).unwrap_or(i64::MAX);
    let firing = hex(&query.firing);
    let parameters: [&(dyn postgres_types::ToSql + Sync); 10] = [
        &run_id,
        &job,
        &process,
        &filter.machine,
        &query.name,
        &prefix,
        &filter.module,
        &limit,
        &firing,
        &query.crash_files,
    ];
    let mut rows = client.query(SELECT, &parameters).await.map_err(Error::doing("list the artifacts"))?;
    let cut = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    let mut notes: Vec<String> = cut.then(cut_note).into_iter().collect();
    notes.extend(rows.is_empty().then(|| "there are none; logs are not among them: `muster logs`".to_owned()));
    let mut columns = vec![text_column("time"), number_column("run")];
    columns.extend(["dpid", "machine", "bucket", "name"].map(text_column));
    columns.extend([number_column("size_bytes"), text_column("sha256"), text_column("path")]);
    Ok(Some(ReportReply { title: "artifacts".into(), columns, rows: rows.iter().map(row).collect(), notes }))
}

fn row(row: &tokio_postgres::Row) -> Row {
    let mut cells = vec![text(row.get::<_, String>(0)), integer(row.get(1))];
    cells.extend((2..6).map(|column| text(row.get::<_, String>(column))));
    cells.extend([integer(row.get(6)), text(row.get::<_, String>(7)), text(row.get::<_, String>(8))]);
    Row { cells }
}

/// Files whose names begin so.
pub(super) async fn count(client: &Client, prefix: &str) -> Result<i64> {
    let select = "SELECT count(DISTINCT name) FROM artifact WHERE starts_with(name, $1)";
    let row = client.query_one(select, &[&prefix]).await.map_err(Error::doing("count the files"))?;
    Ok(row.get(0))
}
