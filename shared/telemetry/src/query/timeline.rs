//! What happened in each stretch of time: processes, errors, pulses, firings, reboots and a metric beside each other.

use std::collections::BTreeMap;

use muster_proto::v1::{Cell, Column, ReportReply, Row};
use muster_store::{Client, Error, Result, Store};

use super::cells::{integer, number, number_column, text, text_column};
use super::perf::{Asked, by_bucket, rate};
use super::scope::{ASKED, NAMES_PROCESSES, PICKED, Scope, machine_wanted, report_wanted};
use super::{ROWS_MAX, cut_note};

/// Stretches that a timeline has where nobody says how wide they are.
const STRETCHES: i64 = 60;
/// Widths that are chosen from, seconds.
const WIDTHS: [i64; 14] = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400, 604_800];

/// Kinds of things that are counted, in their order.
const KINDS: [&str; 11] =
    ["placed", "running", "mia", "finished", "dead", "lost", "errors", "corruptions", "pulses", "firings", "reboots"];

fn things() -> String {
    let (errors, corruptions) = (report_wanted("e"), report_wanted("c"));
    let machine = machine_wanted("l.subject");
    format!(
        "things AS ( \
            SELECT placed_at AS at, 'placed' AS kind FROM picked WHERE placed_at IS NOT NULL \
            UNION ALL \
            SELECT s.at, s.to_state FROM process_state AS s JOIN picked AS p USING (run, job, process, attempt) \
            UNION ALL \
            SELECT e.at, 'errors' FROM asked CROSS JOIN error_report AS e WHERE {errors} \
            UNION ALL \
            SELECT c.at, 'corruptions' FROM asked CROSS JOIN corruption_report AS c WHERE {corruptions} \
            UNION ALL \
            SELECT l.at, CASE WHEN l.kind = 'trigger_fired' THEN 'firings' ELSE 'pulses' END FROM asked CROSS JOIN log_event AS l \
            WHERE l.log = 'JOBS' AND l.kind IN ('trigger_fired', 'pulse_set', 'pulse_cleared') AND l.at >= asked.born AND l.at < asked.next \
            UNION ALL \
            SELECT l.at, 'reboots' FROM asked CROSS JOIN log_event AS l \
            WHERE l.log = 'MACHINES' AND l.kind IN ('boot_observed', 'boot_judged') AND l.at >= asked.born AND l.at < asked.next \
              AND (NOT {NAMES_PROCESSES} OR l.subject IN (SELECT machine FROM picked)) AND {machine}), \
        bounded AS (SELECT (floor(extract(epoch FROM things.at) * 1000000))::bigint AS us, things.kind FROM asked CROSS JOIN things \
            WHERE things.at >= asked.since AND things.at < asked.until) "
    )
}

/// A timeline as it is asked for.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// Width of a stretch, nanoseconds; 0 chooses one.
    pub bucket_ns: i64,
    /// The metric that is shown beside; empty for none.
    pub metric: String,
}

/// One row for each stretch of time, from the first thing that happened to the last.
///
/// # Errors
/// As the store.
pub async fn timeline(store: &Store, scope: &Scope, asked: &Timeline) -> Result<ReportReply> {
    let client = store.client().await?;
    let title = format!("timeline of {}", scope.words());
    let Some((first, last)) = bounds(&client, scope).await? else {
        let notes = vec!["nothing happened then".to_owned()];
        return Ok(ReportReply { title, columns: columns(&asked.metric), notes, ..Default::default() });
    };
    let width = if asked.bucket_ns > 0 { (asked.bucket_ns / 1_000).max(1) } else { width(last - first) };
    let counts = counts(&client, scope, width).await?;
    let (levels, is_rate) = match asked.metric.as_str() {
        "" => (BTreeMap::new(), false),
        metric => levels(store, scope, width, metric).await?,
    };
    let columns = if is_rate { columns(&format!("{}_per_second", asked.metric)) } else { columns(&asked.metric) };
    let begin = first.div_euclid(width);
    let stretches = last.div_euclid(width) - begin + 1;
    let limit = i64::try_from(ROWS_MAX).unwrap_or(i64::MAX);
    let rows = (begin..begin + stretches.min(limit)).map(|stretch| {
        let mut cells: Vec<Cell> = vec![text(time(stretch * width))];
        cells.extend(KINDS.map(|kind| integer(counts.get(&(stretch, kind.to_owned())).copied().unwrap_or(0))));
        cells.extend((!asked.metric.is_empty()).then(|| number(levels.get(&stretch).copied())));
        Row { cells }
    });
    let rows = rows.collect();
    let mut notes = vec![format!("each row is {} s", width as f64 / 1e6)];
    notes.extend((stretches > limit).then(cut_note));
    Ok(ReportReply { title, columns, rows, notes })
}

fn columns(metric: &str) -> Vec<Column> {
    let mut columns = vec![text_column("time")];
    columns.extend(KINDS.map(number_column));
    columns.extend((!metric.is_empty()).then(|| number_column(metric)));
    columns
}

/// The width of stretches of a span, microseconds: the least of the usual ones that gives no more than [`STRETCHES`].
fn width(span_us: i64) -> i64 {
    let seconds = span_us / 1_000_000;
    let fits = |width: &&i64| seconds / **width < STRETCHES;
    WIDTHS.iter().find(fits).unwrap_or(&WIDTHS[WIDTHS.len() - 1]) * 1_000_000
}

/// First and last moment at which anything happened, microseconds.
async fn bounds(client: &Client, scope: &Scope) -> Result<Option<(i64, i64)>> {
    let statement = format!("{ASKED}, {PICKED}, {} SELECT min(us), max(us) FROM bounded", things());
    let row = client.query_one(&statement, &scope.parameters(&[])).await;
    let row = row.map_err(Error::doing("find the bounds of the timeline"))?;
    Ok(row.get::<_, Option<i64>>(0).zip(row.get(1)))
}

async fn counts(client: &Client, scope: &Scope, width: i64) -> Result<BTreeMap<(i64, String), i64>> {
    let statement = format!(
        "{ASKED}, {PICKED}, {} SELECT us / $11::bigint, kind, count(*) FROM bounded GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $12",
        things()
    );
    let limit = i64::try_from(ROWS_MAX * KINDS.len()).unwrap_or(i64::MAX);
    let rows = client.query(&statement, &scope.parameters(&[&width, &limit])).await;
    let rows = rows.map_err(Error::doing("count what happened"))?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect())
}

/// The metric in each stretch, and whether it is a rate: the mean of a gauge, the rate of a counter.
async fn levels(store: &Store, scope: &Scope, width: i64, metric: &str) -> Result<(BTreeMap<i64, f64>, bool)> {
    let (metrics, width_ns) = ([metric.to_owned()], width * 1_000);
    let asked = Asked { run: scope.run(), filter: scope.filter(), metrics: &metrics, quantiles: false };
    let measured = by_bucket(store, asked, width_ns).await?;
    let mut levels = BTreeMap::new();
    let mut is_rate = false;
    for ((start, _), tally) in &measured.rows {
        let [_, mean, _] = tally.levels();
        is_rate |= tally.increase.is_some();
        if let Some(level) = rate(tally, Some(width_ns)).or(mean) {
            levels.insert(start.div_euclid(width_ns), level);
        }
    }
    Ok((levels, is_rate))
}

fn time(us: i64) -> String {
    crate::time::text(us.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_has_at_most_sixty_stretches_of_a_usual_width() {
        let of_seconds = |seconds: i64| width(seconds * 1_000_000) / 1_000_000;
        assert_eq!([0, 59, 60, 3_600, 86_400].map(of_seconds), [1, 1, 2, 120, 1_800]);
        assert_eq!(of_seconds(10 * 365 * 86_400), 604_800);
    }
}
