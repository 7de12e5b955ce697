//! Firings of triggers: who fired, what each armed machine did and how soon, and what came of it in files.

use std::collections::BTreeMap;

use muster_model::text::hex;
use muster_proto::v1::{Column, FiringQuery, ReportReply, Row};
use muster_store::{Error, Result, Store};

use super::cells::{integer, maybe_integer, number, number_column, text, text_column};
use super::run::Run;
use super::{ROWS_MAX, cut_note};

/// The outcome whose latencies count.
const ACTED: &str = "acted";

/// Histories of processes name their firing, files of crashes have it beside them.
const SELECT: &str = "\
WITH files AS ( \
    SELECT machine, coalesce(firing, substring(name FROM '/history-[0-9]+-([0-9a-f]{32})\\.csv$')) AS firing, count(DISTINCT name) AS n \
    FROM artifact WHERE bucket = 'artifacts' AND (firing IS NOT NULL OR name LIKE '%/history-%') GROUP BY 1, 2), \
told AS ( \
    SELECT coalesce(f.firing, a.firing) AS firing, coalesce(f.fired_at, a.fired_at) AS fired_at, coalesce(f.number, a.number) AS number, \
           f.run, f.job, f.process, f.attempt, f.machine AS fired_on, coalesce(f.actor, '') AS actor, coalesce(f.note, '') AS note, \
           a.machine, coalesce(trim(a.action || ' ' || a.argument), '') AS action, coalesce(a.outcome, '') AS outcome, \
           a.latency_seconds, coalesce(a.detail, '') AS detail \
    FROM trigger_fired AS f FULL JOIN trigger_acted AS a USING (firing)) \
SELECT muster_text(t.fired_at), t.number, \
       CASE WHEN t.job IS NOT NULL THEN t.run || '/' || muster_dpid(t.job, t.process) || ' on ' || t.fired_on ELSE t.actor END, \
       coalesce(p.module, ''), coalesce(t.machine, ''), t.action, t.outcome, t.latency_seconds, files.n, t.detail, t.note, t.firing \
FROM told AS t \
LEFT JOIN process AS p ON (p.run, p.job, p.process, p.attempt) = (t.run, t.job, t.process, t.attempt) \
LEFT JOIN files ON (files.firing, files.machine) = (t.firing, t.machine) \
WHERE ($1::text = '' OR t.firing = $1) \
  AND ($1 <> '' OR t.fired_at >= coalesce((SELECT started_at FROM run WHERE run.run = $2::bigint), '-infinity') \
      AND t.fired_at < coalesce((SELECT min(started_at) FROM run WHERE run.run > $2), 'infinity')) \
  AND (cardinality($3::bigint[]) = 0 OR t.number = ANY($3)) \
  AND ($4::bigint = 0 OR t.job = $4) AND ($5::text = '' OR p.module = $5) AND ($6::text = '' OR t.machine = $6) \
  AND t.fired_at >= coalesce(muster_time($7), '-infinity') AND t.fired_at < coalesce(muster_time($8), 'infinity') \
ORDER BY t.fired_at DESC, t.firing, t.machine LIMIT $9";

/// One row for each firing and machine that was armed for it, the newest first.
///
/// # Errors
/// As the store.
pub async fn firings(store: &Store, run: Option<&Run>, query: &FiringQuery) -> Result<ReportReply> {
    let client = store.client().await?;
    let filter = query.filter.clone().unwrap_or_default();
    let (firing, run, job) = (hex(&query.firing), run.map_or(0, |run| i64::from(run.id.0)), i64::from(filter.job));
    let triggers: Vec<i64> = query.triggers.iter().map(|trigger| i64::from(*trigger)).collect();
    let limit = i64::try_from(ROWS_MAX + 1).unwrap_or(i64::MAX);
    let parameters: [&(dyn postgres_types::ToSql + Sync); 9] =
        [&firing, &run, &triggers, &job, &filter.module, &filter.machine, &filter.from_ns, &filter.to_ns, &limit];
    let mut rows = client.query(SELECT, &parameters).await.map_err(Error::doing("list the firings"))?;
    let cut = rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    let mut notes: Vec<String> = cut.then(cut_note).into_iter().collect();
    notes.extend(sums(&rows));
    let files: i64 = rows.iter().filter_map(|row| row.get::<_, Option<i64>>(8)).sum();
    notes.extend((files > 0).then(|| format!("files: {files}, `muster artifact get --firing FIRING`")));
    let rows = rows.iter().map(row).collect();
    Ok(ReportReply { title: "firings of triggers".into(), columns: columns(), rows, notes })
}

fn columns() -> Vec<Column> {
    let mut columns = vec![text_column("fired_time"), number_column("trigger")];
    columns.extend(["by", "module", "machine", "action", "outcome"].map(text_column));
    columns.extend(["latency_seconds", "files"].map(number_column));
    columns.extend(["detail", "note", "firing"].map(text_column));
    columns
}

fn row(row: &tokio_postgres::Row) -> Row {
    let mut cells = vec![text(row.get::<_, String>(0)), integer(row.get::<_, i32>(1).into())];
    cells.extend((2..7).map(|column| text(row.get::<_, String>(column))));
    cells.extend([number(row.get(7)), maybe_integer(row.get(8))]);
    cells.extend((9..12).map(|column| text(row.get::<_, String>(column))));
    Row { cells }
}

/// What all firings of each trigger came to.
#[derive(Debug, Default)]
struct Sum {
    firings: Vec<String>,
    machines: usize,
    latencies: Vec<f64>,
}

fn sums(rows: &[tokio_postgres::Row]) -> Vec<String> {
    let mut all = BTreeMap::<i32, Sum>::new();
    for row in rows {
        let sum = all.entry(row.get(1)).or_default();
        let firing: String = row.get(11);
        if sum.firings.last() != Some(&firing) {
            sum.firings.push(firing);
        }
        let (machine, outcome): (String, String) = (row.get(4), row.get(6));
        sum.machines += usize::from(!machine.is_empty());
        sum.latencies.extend(row.get::<_, Option<f64>>(7).filter(|_| outcome == ACTED));
    }
    all.into_iter().map(|(number, sum)| sum.told(number)).collect()
}

impl Sum {
    fn told(mut self, number: i32) -> String {
        let (firings, machines, acted) = (self.firings.len(), self.machines, self.latencies.len());
        let head = format!("trigger {number}: fired {firings} times, {acted} of {machines} armed machines acted");
        self.latencies.sort_by(f64::total_cmp);
        let Some(most) = self.latencies.last() else { return head };
        let at = |part: usize| self.latencies[(acted - 1) * part / 100] * 1e3;
        format!("{head}; from fire to action p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms", at(50), at(99), most * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_summed_up_by_the_latencies_of_who_acted() {
        let firings = vec!["a".to_owned(), "b".to_owned()];
        let sum = Sum { firings: firings.clone(), machines: 4, latencies: vec![0.003, 0.001, 0.002] };
        let told = "trigger 7: fired 2 times, 3 of 4 armed machines acted; from fire to action p50 2.00 ms, p99 2.00 ms, max 3.00 ms";
        assert_eq!(sum.told(7), told);
        let none = Sum { firings, machines: 1, latencies: Vec::new() };
        assert_eq!(none.told(7), "trigger 7: fired 2 times, 0 of 1 armed machines acted");
    }
}
