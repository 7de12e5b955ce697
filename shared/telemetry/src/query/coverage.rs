//! What was tested on what: hours of modules on types of machines and devices, and of pairs of modules on one machine.

use muster_proto::v1::{ReportReply, Row};
use muster_store::{Result, Store};

use super::cells::{integer, number, number_column, text, text_column};
use super::fetch::fetch;
use super::scope::{ASKED, PICKED, Scope};

/// When each attempt ran, within the time that is asked for; what runs still, ran until $11.
const RAN: &str = "\
ran AS (SELECT p.*, tstzrange(greatest(p.running_at, asked.since), least(coalesce(p.ended_at, muster_time($11::bigint)), asked.until)) AS span \
    FROM asked CROSS JOIN picked AS p \
    WHERE p.state <> 'replaced' AND p.running_at IS NOT NULL AND p.running_at < least(coalesce(p.ended_at, muster_time($11)), asked.until) \
      AND coalesce(p.ended_at, muster_time($11)) > asked.since)";

/// A process with several devices of one type counts once for that type.
const ALONE: &str = "\
SELECT r.module, coalesce(k.machine_type, ''), coalesce(d.device_type, ''), count(DISTINCT r.machine), count(*), \
       sum(extract(epoch FROM upper(r.span) - lower(r.span)))::float8 / 3600 AS hours \
FROM ran AS r LEFT JOIN machine_kind AS k USING (machine) \
LEFT JOIN LATERAL (SELECT DISTINCT own.device_type FROM machine_device AS own \
    WHERE own.machine = r.machine AND own.device = ANY(r.devices)) AS d ON true \
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";

/// The time of a module on a machine is the union of its processes' times.
const PAIRS: &str = "\
spans AS (SELECT module, machine, range_agg(span) AS spans FROM ran GROUP BY 1, 2), \
shared AS (SELECT a.module AS first, b.module AS second, a.machine, a.spans * b.spans AS spans \
    FROM spans AS a JOIN spans AS b ON b.machine = a.machine AND b.module > a.module) \
SELECT shared.first, shared.second, coalesce(k.machine_type, ''), count(DISTINCT shared.machine), \
       sum(extract(epoch FROM upper(span) - lower(span)))::float8 / 3600 AS hours \
FROM shared CROSS JOIN LATERAL unnest(shared.spans) AS span LEFT JOIN machine_kind AS k USING (machine) \
GROUP BY 1, 2, 3 ORDER BY hours DESC, 1, 2, 3";

/// One row for each module, type of machine and type of device.
///
/// # Errors
/// As the store.
pub async fn coverage(store: &Store, scope: &Scope, now_ns: i64) -> Result<ReportReply> {
    let client = store.client().await?;
    let statement = format!("{ASKED}, {PICKED}, {RAN} {ALONE}");
    let fetched = fetch(&client, "measure coverage", &statement, &scope.parameters(&[&now_ns])).await?;
    let mut columns: Vec<_> = ["module", "machine_type", "device_type"].map(text_column).into();
    columns.extend(["machines", "processes", "hours"].map(number_column));
    Ok(fetched.answer(format!("coverage of {}", scope.words()), columns, |row| {
        let mut cells: Vec<_> = (0..3).map(|column| text(row.get::<_, String>(column))).collect();
        cells.extend([integer(row.get(3)), integer(row.get(4)), number(row.get(5))]);
        Row { cells }
    }))
}

/// One row for each pair of modules that ran at the same time on one machine, and type of machine: the longest first.
///
/// # Errors
/// As the store.
pub async fn coverage_pairs(store: &Store, scope: &Scope, now_ns: i64) -> Result<ReportReply> {
    let client = store.client().await?;
    let statement = format!("{ASKED}, {PICKED}, {RAN}, {PAIRS}");
    let fetched = fetch(&client, "measure coverage of pairs", &statement, &scope.parameters(&[&now_ns])).await?;
    let mut columns: Vec<_> = ["module", "with", "machine_type"].map(text_column).into();
    columns.extend(["machines", "hours"].map(number_column));
    Ok(fetched.answer(format!("pairs of modules in {}", scope.words()), columns, |row| {
        let mut cells: Vec<_> = (0..3).map(|column| text(row.get::<_, String>(column))).collect();
        cells.extend([integer(row.get(3)), number(row.get(4))]);
        Row { cells }
    }))
}
