//! Values that are not compacted yet.

use std::collections::HashMap;

use muster_model::PoolTime;
use muster_store::{Error, Result, Stamp, Transaction};

use super::each_row;
use super::series::Wanted;
use crate::chunk::{Bounds, Hot};

/// Hot values of one question at most: 24 bytes each.
const VALUES_MAX: usize = 20_000_000;
/// Rows are read whole where more than one of so many values is wanted; else PostgreSQL takes the values out.
const NARROW: usize = 8;
/// Before a run began its agents could already speak of it, by clocks that are behind.
const BEFORE_RUN: i64 = 24 * crate::chunk::HOUR;

const WHOLE: &str = "\
SELECT layout_id, ts, stream_seq, vals FROM sample WHERE layout_id = ANY($1::bigint[]) AND recv >= $2 AND ts < $3";

const TAKEN_OUT: &str = "\
SELECT place, ts, stream_seq, vals[position] \
FROM unnest($1::bigint[], $4::integer[], $5::bigint[]) AS wanted(layout_id, position, place) \
JOIN sample USING (layout_id) WHERE recv >= $2 AND ts < $3";

/// Reads hot values into their lines. Of what is before the question the last value is needed, so only its end bounds them.
pub(super) async fn read(transaction: &Transaction<'_>, wanted: &mut Wanted, bounds: &Bounds) -> Result<()> {
    let from = Stamp(PoolTime(wanted.born.saturating_sub(BEFORE_RUN).max(0)));
    // The year 2200 is after everything, and PostgreSQL knows it.
    let to = Stamp(PoolTime(bounds.to.min(7_258_118_400_000_000_000)));
    let width: usize = wanted.layouts.iter().map(|layout| layout.width).sum();
    let places: usize = wanted.layouts.iter().map(|layout| layout.places.len()).sum();
    if places * NARROW < width {
        return take_out(transaction, wanted, from, to).await;
    }
    let ids: Vec<i64> = wanted.layouts.iter().map(|layout| layout.id).collect();
    let places: HashMap<i64, &[(usize, usize)]> =
        wanted.layouts.iter().map(|layout| (layout.id, layout.places.as_slice())).collect();
    let (lines, mut count) = (&mut wanted.lines, 0);
    each_row(transaction, WHOLE, &[&ids, &from, &to], |row| {
        let (at, sequence, values) = (row.get::<_, Stamp>(1), row.get(2), row.get::<_, Vec<f64>>(3));
        for (position, place) in places[&row.get::<_, i64>(0)] {
            let value = values.get(*position).copied().unwrap_or(f64::NAN);
            push(&mut lines[*place].hot, at, sequence, value, &mut count)?;
        }
        Ok(())
    })
    .await
}

async fn take_out(transaction: &Transaction<'_>, wanted: &mut Wanted, from: Stamp, to: Stamp) -> Result<()> {
    let (mut ids, mut positions, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for layout in &wanted.layouts {
        for (position, place) in &layout.places {
            ids.push(layout.id);
            positions.push(i32::try_from(position + 1).unwrap_or(i32::MAX));
            places.push(i64::try_from(*place).unwrap_or(i64::MAX));
        }
    }
    let (lines, mut count) = (&mut wanted.lines, 0);
    each_row(transaction, TAKEN_OUT, &[&ids, &from, &to, &positions, &places], |row| {
        let place = usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX);
        let value: Option<f64> = row.get(3);
        push(&mut lines[place].hot, row.get(1), row.get(2), value.unwrap_or(f64::NAN), &mut count)
    })
    .await
}

fn push(hot: &mut Vec<Hot>, Stamp(at): Stamp, sequence: i64, value: f64, count: &mut usize) -> Result<()> {
    if value.is_nan() {
        return Ok(());
    }
    *count += 1;
    if *count > VALUES_MAX {
        return Err(Error::TimedOut { what: format!("measure performance of more than {VALUES_MAX} values") });
    }
    hot.push(Hot { at: at.0, sequence: sequence.unsigned_abs(), value });
    Ok(())
}
