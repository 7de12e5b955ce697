//! Chunks of the wanted series: first their summaries, then the values of those that have to be opened.

use std::collections::{BTreeMap, HashMap};

use muster_model::PoolTime;
use muster_store::{Error, Result, Stamp, Transaction};

use super::each_row;
use super::series::Wanted;
use super::tallies::Tallies;
use crate::chunk::{Bounds, Damaged, HOUR, Points, Segment, Sketch, Summary, unpack};
use crate::records::MetricKind;

/// Chunks of one question at most: with 1e9 samples in hourly chunks of 360 there are not more.
const CHUNKS_MAX: usize = 3_000_000;
/// Chunks that are open at once.
const OPEN_MAX: usize = 5_000;

const SELECT: &str = "\
SELECT series_id, t0, part, n, min, max, sum, sum_squares, first_ts, last_ts, first, last, increase, sketch \
FROM chunk WHERE series_id = ANY($1::bigint[]) AND t0 >= $2 AND t0 <= $3";

/// The last chunk of each series before an hour: what the first value inside is compared with.
const BEFORE: &str = "\
SELECT before.* FROM unnest($1::bigint[]) AS wanted(id) CROSS JOIN LATERAL ( \
    SELECT series_id, t0, part, n, min, max, sum, sum_squares, first_ts, last_ts, first, last, increase, ''::bytea \
    FROM chunk WHERE series_id = wanted.id AND t0 >= $2 AND t0 < $3 ORDER BY t0 DESC, last_ts DESC LIMIT 1) AS before";

const VALUES: &str = "\
SELECT series_id, t0, part, times, vals \
FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) AS wanted(series_id, t0, part) \
JOIN chunk USING (series_id, t0, part) WHERE t0 >= $4 AND t0 <= $5";

/// Reads the summaries of the chunks that a question touches, and of the last ones before it.
pub(super) async fn read(transaction: &Transaction<'_>, wanted: &mut Wanted, bounds: &Bounds) -> Result<()> {
    let Some((first, last)) = wanted.reach else { return Ok(()) };
    let hour = |at: i64| PoolTime(at.div_euclid(HOUR) * HOUR);
    let (reach, from, to) = (hour(first), hour(first.max(bounds.from)), hour(last.min(bounds.to)));
    let ids = wanted.ids.clone();
    let mut count = 0;
    let mut take = |row: &tokio_postgres::Row| {
        count += 1;
        if count > CHUNKS_MAX {
            return Err(Error::TimedOut { what: format!("measure performance in more than {CHUNKS_MAX} chunks") });
        }
        let (place, segment) = (wanted.place_of[&row.get::<_, i64>(0)], segment(row)?);
        wanted.lines[place].segments.push(segment);
        Ok(())
    };
    each_row(transaction, SELECT, &[&ids, &Stamp(from), &Stamp(to)], &mut take).await?;
    if from <= reach {
        return Ok(());
    }
    let rises = |id: &&i64| wanted.lines[wanted.place_of[*id]].kind != MetricKind::Gauge;
    let rising: Vec<i64> = ids.iter().filter(rises).copied().collect();
    each_row(transaction, BEFORE, &[&rising, &Stamp(reach), &Stamp(from)], |row| {
        let (place, segment) = (wanted.place_of[&row.get::<_, i64>(0)], segment(row)?);
        wanted.lines[place].segments.push(segment);
        Ok(())
    })
    .await
}

fn segment(row: &tokio_postgres::Row) -> Result<Segment> {
    let at = |column: usize| row.get::<_, Stamp>(column).0.0;
    let summary = Summary {
        count: row.get::<_, i32>(3).unsigned_abs(),
        min: row.get(4),
        max: row.get(5),
        sum: row.get(6),
        sum_squares: row.get(7),
        first_at: at(8),
        last_at: at(9),
        first: row.get(10),
        last: row.get(11),
        increase: row.get(12),
    };
    let sketch = Sketch::decode(row.get(13)).map_err(|error| damaged(&error, row))?;
    Ok(Segment { hour: at(1), part: row.get(2), summary, sketch })
}

fn damaged(error: &Damaged, row: &tokio_postgres::Row) -> Error {
    let (series, part): (i64, i64) = (row.get(0), row.get(2));
    let what = format!("read part {part} of series {series}");
    Error::broken(what, error, "the database is damaged there: take it from a backup, or delete that row of chunk")
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
            let Segment { hour, part, .. } = wanted.lines[*place].segments[*segment];
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
        let points = unpack(hour, row.get(3), row.get(4)).map_err(|error| damaged(&error, row))?;
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
