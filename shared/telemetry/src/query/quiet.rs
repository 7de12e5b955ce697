//! What has stopped to report: live processes, and machines, whose newest sample is old, or that never sent one.

use muster_proto::v1::{ReportReply, Row};
use muster_store::{Result, Store};

use super::cells::{integer, number, number_column, text, text_column};
use super::fetch::fetch;
use super::scope::{ASKED, NAMES_PROCESSES, PICKED, Scope, machine_wanted};

/// Quiet is what has said nothing for so long, where nobody says how long.
const LONGER_THAN_NS: i64 = 60_000_000_000;

/// Quiet counts to the newest sample of all, so that a store that is behind calls nothing quiet.
fn statement() -> String {
    let machine = machine_wanted("known.machine");
    format!(
        "{ASKED}, {PICKED}, \
        heard AS (SELECT origin.machine, origin.run, origin.job, origin.process, origin.attempt, max(total.last_ts) AS last \
            FROM layout_total AS total JOIN layout ON layout.id = total.layout_id JOIN series AS origin ON origin.id = layout.series[1] \
            GROUP BY 1, 2, 3, 4, 5), \
        newest AS (SELECT max(last) AS at FROM heard), \
        known AS ( \
            SELECT 'process' AS what, p.run, p.dpid AS name, p.module, p.machine, p.state, heard.last, coalesce(heard.last, p.running_at) AS since \
            FROM picked AS p LEFT JOIN heard USING (run, job, process, attempt) \
            WHERE p.state IN ('running', 'mia', 'fip') AND p.running_at IS NOT NULL \
            UNION ALL \
            SELECT 'machine', 0, k.machine, '', k.machine, \
                   coalesce((SELECT CASE WHEN l.detail ->> 'health' = 'HEALTH_DOWN' THEN 'down' ELSE '' END FROM log_event AS l \
                             WHERE l.log = 'MACHINES' AND l.subject = k.machine AND l.kind = 'health_changed' \
                             ORDER BY l.at DESC LIMIT 1), ''), \
                   (SELECT max(last) FROM heard WHERE heard.machine = k.machine), \
                   coalesce((SELECT max(last) FROM heard WHERE heard.machine = k.machine), k.since) \
            FROM asked CROSS JOIN machine_kind AS k WHERE NOT {NAMES_PROCESSES}) \
        SELECT known.what, known.name, known.run, known.module, known.machine, known.state, coalesce(muster_text(known.last), ''), \
               extract(epoch FROM newest.at - known.since)::float8 AS quiet \
        FROM asked CROSS JOIN newest CROSS JOIN known \
        WHERE newest.at - known.since > $11::bigint * interval '1 microsecond' AND {machine} \
        ORDER BY quiet DESC, known.what, known.run, known.name"
    )
}

/// One row for each process and machine that is quiet, the longest first.
///
/// # Errors
/// As the store.
pub async fn quiet(store: &Store, scope: &Scope, longer_than_ns: i64) -> Result<ReportReply> {
    let client = store.client().await?;
    let longer_than = if longer_than_ns > 0 { longer_than_ns } else { LONGER_THAN_NS } / 1_000;
    let fetched = fetch(&client, "find what is quiet", &statement(), &scope.parameters(&[&longer_than])).await?;
    let mut columns = vec![text_column("what"), text_column("name"), number_column("run")];
    columns.extend(["module", "machine", "state", "last_sample"].map(text_column));
    columns.push(number_column("quiet_seconds"));
    let mut reply = fetched.answer(format!("quiet in {}", scope.words()), columns, |row| {
        let text_of = |column: usize| text(row.get::<_, String>(column));
        let mut cells = vec![text_of(0), text_of(1), integer(row.get(2))];
        cells.extend((3..7).map(text_of));
        cells.push(number(row.get(7)));
        Row { cells }
    });
    let seconds = longer_than as f64 / 1e6;
    reply.notes.push(format!(
        "live processes and machines without a sample for more than {seconds} s before the newest of all"
    ));
    Ok(reply)
}
