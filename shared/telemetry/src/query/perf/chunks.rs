//! Chunks of the wanted series: first their summaries, of whole days where those are rolled up, then the values of those that have to be
//! opened.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use muster_model::PoolTime;
use muster_store::{Error, Result, Stamp, Transaction};
use postgres_types::ToSql;

use super::each_row;
use super::series::Wanted;
use super::tallies::Tallies;
use crate::chunk::{Bounds, DAY, Damaged, HOUR, Points, Segment, Sketch, Span, unpack};
use crate::records::MetricKind;
use crate::stored::{damaged, summary};

/// Chunks of one question at most: with 1e9 samples in hourly chunks of 360 there are not more.
const CHUNKS_MAX: usize = 3_000_000;
/// Chunks that are open at once.
const OPEN_MAX: usize = 5_000;

/// What stands for SKETCH where quantiles are asked for, and where they are not.
const SKETCHES: [&str; 2] = ["sketch", "''::bytea"];

const SELECT: &str = "\
SELECT series_id, t0, part, n, min, max, sum, sum_squares, first_ts, last_ts, first, last, increase, SKETCH \
FROM chunk WHERE series_id = ANY($1::bigint[]) AND t0 >= $2 AND t0 < $3";

const ROLLED: &str = "SELECT t0 FROM rolled_day WHERE t0 >= $1 AND t0 <= $2 ORDER BY t0";

const DAYS: &str = "\
SELECT series_id, t0, 0::bigint, n, min, max, sum, sum_squares, first_ts, last_ts, first, last, increase, SKETCH \
FROM chunk_day AS day WHERE t0 = ANY($2::timestamptz[]) AND series_id = ANY($1::bigint[]) \
  AND NOT EXISTS (SELECT FROM unrolled_series AS late WHERE (late.t0, late.series_id) = (day.t0, day.series_id))";

const UNROLLED: &str =
    "SELECT series_id, t0 FROM unrolled_series WHERE t0 = ANY($2::timestamptz[]) AND series_id = ANY($1::bigint[])";

/// The chunks of some series in some day each.
const OF_DAYS: &str = "\
SELECT series_id, t0, part, n, min, max, sum, sum_squares, first_ts, last_ts, first, last, increase, SKETCH \
FROM unnest($1::bigint[], $2::timestamptz[]) AS wanted(series_id, day) \
JOIN chunk USING (series_id) WHERE t0 >= day AND t0 < day + interval '1 day' AND t0 >= $3 AND t0 < $4";

/// The last chunk of each series before an hour: what the first value inside is compared with.
const BEFORE: &str = "\
SELECT before.* FROM unnest($1::bigint[]) AS wanted(id) CROSS JOIN LATERAL ( \
    SELECT series_id, t0, part, n, min, max, sum, sum_squares, first_ts, last_ts, first, last, increase, ''::bytea \
    FROM chunk WHERE series_id = wanted.id AND t0 >= $2 AND t0 < $3 ORDER BY t0 DESC, last_ts DESC LIMIT 1) AS before";

const VALUES: &str = "\
SELECT series_id, t0, part, times, vals \
FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS wanted(series_id, t0, part) \
JOIN chunk USING (series_id, t0, part) WHERE t0 >= $4 AND t0 <= $5";

/// What was read of the chunks of a question, and what is still to be.
#[derive(Debug, Default)]
pub(super) struct Read {
    count: usize,
    /// Series, by their place, and days whose chunks are needed and not read.
    unrolled: BTreeSet<(usize, i64)>,
}

impl Read {
    async fn rows(
        &mut self,
        transaction: &Transaction<'_>,
        wanted: &mut Wanted,
        (span, statement): (Span, &str),
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<()> {
        let [read, left_out] = SKETCHES;
        let statement = statement.replace("SKETCH", if wanted.quantiles { read } else { left_out });
        each_row(transaction, &statement, parameters, |row| self.take(wanted, span, row)).await
    }

    fn take(&mut self, wanted: &mut Wanted, span: Span, row: &tokio_postgres::Row) -> Result<()> {
        self.count += 1;
        if self.count > CHUNKS_MAX {
            return Err(Error::TimedOut { what: format!("measure performance in more than {CHUNKS_MAX} chunks") });
        }
        let (place, segment) = (wanted.place_of[&row.get::<_, i64>(0)], segment(span, row)?);
        wanted.lines[place].segments.push(segment);
        Ok(())
    }
}

/// Reads the summaries of the chunks, or days, that a question touches, and of the last ones before it.
pub(super) async fn read(transaction: &Transaction<'_>, wanted: &mut Wanted, bounds: &Bounds) -> Result<Read> {
    let mut found = Read::default();
    let Some((first, last)) = wanted.reach else { return Ok(found) };
    let hour = |at: i64| at.div_euclid(HOUR) * HOUR;
    let (reach, from, to) = (hour(first), hour(first.max(bounds.from)), hour(last.min(bounds.to)) + HOUR);
    let ids = wanted.ids.clone();
    let days = rolled_days(transaction, (first, last), bounds).await?;
    for (from, to) in between(from, to, &days) {
        let (from, to) = (Stamp(PoolTime(from)), Stamp(PoolTime(to)));
        found.rows(transaction, wanted, (Span::Hour, SELECT), &[&ids, &from, &to]).await?;
    }
    if !days.is_empty() {
        let days: Vec<Stamp> = days.into_iter().map(|day| Stamp(PoolTime(day))).collect();
        found.rows(transaction, wanted, (Span::Day, DAYS), &[&ids, &days]).await?;
        each_row(transaction, UNROLLED, &[&ids, &days], |row| {
            found.unrolled.insert((wanted.place_of[&row.get::<_, i64>(0)], row.get::<_, Stamp>(1).0.0));
            Ok(())
        })
        .await?;
    }
    if reach < from {
        read_before(transaction, wanted, &ids, (Stamp(PoolTime(reach)), Stamp(PoolTime(from)))).await?;
    }
    Ok(found)
}

/// Reads the last chunk before the question of each series that rises.
async fn read_before(
    transaction: &Transaction<'_>,
    wanted: &mut Wanted,
    ids: &[i64],
    (reach, from): (Stamp, Stamp),
) -> Result<()> {
    let rises = |id: &&i64| wanted.lines[wanted.place_of[*id]].kind != MetricKind::Gauge;
    let rising: Vec<i64> = ids.iter().filter(rises).copied().collect();
    each_row(transaction, BEFORE, &[&rising, &reach, &from], |row| {
        let (place, segment) = (wanted.place_of[&row.get::<_, i64>(0)], segment(Span::Hour, row)?);
        wanted.lines[place].segments.push(segment);
        Ok(())
    })
    .await
}

/// Days that are rolled up, that a question which finds values from `first` to `last` does not cut, and that are not narrower than its buckets.
async fn rolled_days(transaction: &Transaction<'_>, (first, last): (i64, i64), bounds: &Bounds) -> Result<Vec<i64>> {
    if bounds.bucket.is_some_and(|width| width % DAY != 0) {
        return Ok(Vec::new());
    }
    let day = |at: i64| at.div_euclid(DAY) * DAY;
    let first = if bounds.from <= first { day(first) } else { bounds.from };
    let last = if bounds.to > last { day(last) } else { bounds.to.saturating_sub(DAY) };
    let (first, last) = (Stamp(PoolTime(first)), Stamp(PoolTime(last)));
    let rows = transaction.query(ROLLED, &[&first, &last]).await.map_err(Error::doing("list rolled days"))?;
    Ok(rows.iter().map(|row| row.get::<_, Stamp>(0).0.0).collect())
}

/// The times from one moment to another that are in none of these days, which ascend.
fn between(from: i64, to: i64, days: &[i64]) -> Vec<(i64, i64)> {
    let starts = std::iter::once(from).chain(days.iter().map(|day| day + DAY));
    let ends = days.iter().copied().chain([to]);
    starts.zip(ends).filter(|(start, end)| start < end).collect()
}

/// Takes the chunks of a day in place of its row, where that would have to be opened. The hot values are known by now.
pub(super) async fn unroll(
    transaction: &Transaction<'_>,
    wanted: &mut Wanted,
    bounds: &Bounds,
    mut found: Read,
) -> Result<()> {
    for (place, line) in wanted.lines.iter_mut().enumerate() {
        let mut to_open = line.to_open(bounds);
        to_open.retain(|segment| line.segments[*segment].span == Span::Day);
        for segment in to_open.into_iter().rev() {
            found.unrolled.insert((place, line.segments.swap_remove(segment).start));
        }
    }
    let unrolled = std::mem::take(&mut found.unrolled);
    let days = || unrolled.iter().map(|(_, day)| *day);
    let (Some(first), Some(last)) = (days().min(), days().max()) else { return Ok(()) };
    let ids: Vec<i64> = unrolled.iter().map(|(place, _)| wanted.ids[*place]).collect();
    let starts: Vec<Stamp> = days().map(|day| Stamp(PoolTime(day))).collect();
    let (first, end) = (Stamp(PoolTime(first)), Stamp(PoolTime(last + DAY)));
    found.rows(transaction, wanted, (Span::Hour, OF_DAYS), &[&ids, &starts, &first, &end]).await
}

fn segment(span: Span, row: &tokio_postgres::Row) -> Result<Segment> {
    let sketch = Sketch::decode(row.get(13)).map_err(|error| unreadable(&error, row))?;
    let start = row.get::<_, Stamp>(1).0.0;
    Ok(Segment { span, start, part: row.get(2), summary: summary(row, 3), sketch })
}

fn unreadable(error: &Damaged, row: &tokio_postgres::Row) -> Error {
    let (series, part): (i64, i64) = (row.get(0), row.get(2));
    damaged(format!("read part {part} of series {series}"), error)
}

/// Counts every series, and opens chunks for that, as many at once as fit.
pub(super) async fn count(
    transaction: &Transaction<'_>,
    wanted: &Wanted,
    bounds: &Bounds,
    tallies: &mut Tallies,
) -> Result<()> {
    let mut waiting: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut open = 0;
    for (place, line) in wanted.lines.iter().enumerate() {
        let to_open = line.to_open(bounds);
        if to_open.is_empty() {
            count_line(wanted, place, &BTreeMap::new(), bounds, tallies);
            continue;
        }
        open += to_open.len();
        waiting.push((place, to_open));
        if open >= OPEN_MAX {
            open = 0;
            count_opened(transaction, wanted, std::mem::take(&mut waiting), bounds, tallies).await?;
        }
    }
    count_opened(transaction, wanted, waiting, bounds, tallies).await
}

fn count_line(wanted: &Wanted, place: usize, opened: &BTreeMap<usize, Points>, bounds: &Bounds, tallies: &mut Tallies) {
    let group = wanted.group_of[place];
    wanted.lines[place].count(opened, bounds, |bucket, add| add(tallies.of((bucket, group))));
}

async fn count_opened(
    transaction: &Transaction<'_>,
    wanted: &Wanted,
    waiting: Vec<(usize, Vec<usize>)>,
    bounds: &Bounds,
    tallies: &mut Tallies,
) -> Result<()> {
    let mut keys: HashMap<(i64, i64, i64), (usize, usize)> = HashMap::new();
    for (place, segments) in &waiting {
        for segment in segments {
            let Segment { start: hour, part, .. } = wanted.lines[*place].segments[*segment];
            keys.insert((wanted.ids[*place], hour, part), (*place, *segment));
        }
    }
    let hours = || keys.keys().map(|(_, hour, _)| *hour);
    let (Some(first), Some(last)) = (hours().min(), hours().max()) else { return Ok(()) };
    let ids: Vec<i64> = keys.keys().map(|key| key.0).collect();
    let starts: Vec<Stamp> = hours().map(|hour| Stamp(PoolTime(hour))).collect();
    let parts: Vec<i64> = keys.keys().map(|key| key.2).collect();
    let mut opened: HashMap<usize, BTreeMap<usize, Points>> = HashMap::new();
    let (first, last) = (Stamp(PoolTime(first)), Stamp(PoolTime(last)));
    each_row(transaction, VALUES, &[&ids, &starts, &parts, &first, &last], |row| {
        let hour = row.get::<_, Stamp>(1).0.0;
        let points = unpack(hour, row.get(3), row.get(4)).map_err(|error| unreadable(&error, row))?;
        let (series, part): (i64, i64) = (row.get(0), row.get(2));
        let (place, segment) = keys[&(series, hour, part)];
        opened.entry(place).or_default().insert(segment, points);
        Ok(())
    })
    .await?;
    for (place, _) in &waiting {
        count_line(wanted, *place, opened.get(place).unwrap_or(&BTreeMap::new()), bounds, tallies);
    }
    Ok(())
}
