//! Whose data a wrong sector holds: the process that the pattern names, as the store knows it at that time.

use std::collections::BTreeMap;

use muster_model::{Attempt, Dpid, JobNumber, ProcessId, ProcessNumber, RunId};
use muster_pattern::{Owner, SECTOR_BYTES, decode_header};
use muster_store::{Client, Error, Result};

/// Processes that are looked through for one of a tag.
const TAGGED_ROWS_MAX: i64 = 100_000;
/// Processes of a tag that are named.
const TAGGED_NAMED_MAX: usize = 8;

const OF_NAMES: &str = "\
SELECT c.id, o.run, o.job, o.process, o.attempt, coalesce(o.module, ''), coalesce(o.machine, ''), \
       array_to_string(o.resources, ' ') \
FROM unnest($1::bigint[], $2::bigint[]) AS wanted(id, attempt) JOIN corruption_report AS c USING (id) \
CROSS JOIN LATERAL (SELECT * FROM process AS p \
    WHERE p.run = c.owner_run AND p.job = c.owner_job AND p.process = c.owner_process \
      AND (p.attempt = wanted.attempt OR wanted.attempt = 0 AND coalesce(p.placed_at, c.at) <= c.at) \
    ORDER BY p.attempt DESC LIMIT 1) AS o";

const OF_TAG: &str = "\
SELECT c.id, p.run, p.job, p.process, p.attempt, coalesce(p.module, ''), coalesce(p.machine, ''), \
       array_to_string(p.resources, ' ') \
FROM corruption_report AS c JOIN process AS p USING (run) \
WHERE c.id = $1::bigint AND coalesce(p.placed_at, c.at) <= c.at \
ORDER BY p.placed_at DESC NULLS LAST, p.job, p.process, p.attempt DESC LIMIT $2";

/// The name of an owner, and the attempt that the sector says where its header is sound.
pub(super) fn named(run: i64, job: i64, process: i64, actual: &[u8]) -> (ProcessId, bool) {
    let mut id = process_id(run, job, process, 0);
    let said = actual.first_chunk::<SECTOR_BYTES>().and_then(decode_header).map(|(_, header)| header.stamp.expectation);
    let owner = said
        .map(|said| said.owner)
        .filter(|owner| (owner.run, owner.job, owner.process) == (id.run.0, id.dpid.job.0, id.dpid.process.0));
    id.attempt = Attempt(owner.map_or(0, |owner| owner.attempt.into()));
    (id, owner.is_some())
}

/// Owners by the number of the corruption: for each its number and the attempt that is known, 0 for none.
pub(super) async fn resolve(client: &Client, wanted: &[(i64, i64)]) -> Result<BTreeMap<i64, String>> {
    let (numbers, attempts): (Vec<i64>, Vec<i64>) = wanted.iter().copied().unzip();
    let rows = client.query(OF_NAMES, &[&numbers, &attempts]).await.map_err(Error::doing("look up the owners"))?;
    Ok(rows.iter().map(|row| (row.get(0), described(row))).collect())
}

/// Processes of the run that carry an owner tag, and were there before the corruption was found: the newest, and how many more.
pub(super) async fn of_tag(client: &Client, number: i64, tag: u16) -> Result<(Vec<String>, usize)> {
    let rows =
        client.query(OF_TAG, &[&number, &TAGGED_ROWS_MAX]).await.map_err(Error::doing("look for the owner's tag"))?;
    let of_row = |row: &tokio_postgres::Row| (owner(id_of(row)).tag() == tag).then(|| described(row));
    let mut found: Vec<String> = rows.iter().filter_map(of_row).collect();
    let more = found.len().saturating_sub(TAGGED_NAMED_MAX);
    found.truncate(TAGGED_NAMED_MAX);
    Ok((found, more))
}

fn id_of(row: &tokio_postgres::Row) -> ProcessId {
    process_id(row.get(1), row.get(2), row.get(3), row.get(4))
}

/// `1/00010064 high-io on node-02: disk-a`
fn described(row: &tokio_postgres::Row) -> String {
    let (module, machine, devices): (String, String, String) = (row.get(5), row.get(6), row.get(7));
    let devices = if devices.is_empty() { devices } else { format!(": {devices}") };
    format!("{} {module} on {machine}{devices}", id_of(row))
}

fn owner(id: ProcessId) -> Owner {
    let attempt = u16::try_from(id.attempt.0).unwrap_or(u16::MAX);
    Owner { run: id.run.0, job: id.dpid.job.0, process: id.dpid.process.0, attempt }
}

/// Of columns, which hold numbers that once were of 32 bits.
pub(crate) fn process_id(run: i64, job: i64, process: i64, attempt: i64) -> ProcessId {
    let number = |value: i64| u32::try_from(value).unwrap_or_default();
    let dpid = Dpid { job: JobNumber(number(job)), process: ProcessNumber(number(process)) };
    ProcessId { run: RunId(number(run)), dpid, attempt: Attempt(number(attempt)) }
}
