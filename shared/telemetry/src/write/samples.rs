//! Samples: partitions, layouts, hot rows and their totals.

use std::collections::{BTreeMap, BTreeSet};

use muster_model::PoolTime;
use muster_store::{Error, Result, Stamp, Store, Transaction, copy_rows};
use postgres_types::{ToSql, Type};
use serde_json::json;

use super::partitions;
use super::rows::{insert, number, time, with_process};
use crate::records::{Layout, Records, Sample};

/// Layouts and hours that are remembered; more are simply written again.
const KNOWN_MAX: usize = 100_000;

/// What is in the store for certain, so that it is not written again.
#[derive(Debug, Default)]
pub struct KnownLayouts {
    layouts: BTreeSet<i64>,
    hours: BTreeSet<i64>,
}

impl KnownLayouts {
    /// Takes note of what was committed.
    pub(super) fn learn(&mut self, records: &Records) {
        if self.layouts.len() + records.layouts.len() > KNOWN_MAX {
            self.layouts.clear();
        }
        self.layouts.extend(records.layouts.keys());
    }
}

/// Makes the partitions of these hours, in a transaction of their own: it must not wait for rows, nor rows for it.
pub(super) async fn make_partitions(store: &Store, known: &mut KnownLayouts, hours: &BTreeSet<i64>) -> Result<()> {
    let missing: Vec<i64> = hours.difference(&known.hours).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = "make a partition for samples";
    let mut client = store.client().await?;
    let transaction = client.transaction().await.map_err(Error::doing(what))?;
    partitions::lock(&transaction).await?;
    for hour in &missing {
        partitions::make_hour(&transaction, *hour).await?;
    }
    transaction.commit().await.map_err(Error::doing(what))?;
    if known.hours.len() > KNOWN_MAX {
        known.hours.clear();
    }
    known.hours.extend(missing);
    Ok(())
}

/// Writes the layouts that are not known to be there, and their series.
pub(super) async fn write_layouts(
    transaction: &Transaction<'_>,
    known: &KnownLayouts,
    layouts: &BTreeMap<i64, Layout>,
) -> Result<()> {
    let new = || layouts.values().filter(|layout| !known.layouts.contains(&layout.id));
    let series = "INSERT INTO series (id, machine, machine_type, run, job, process, attempt, module, device, device_type, \
        metric, kind, unit) SELECT id, machine, machine_type, run, job, process, attempt, module, device, device_type, \
        metric, kind, unit FROM jsonb_to_recordset($1) AS r(id bigint, machine text, machine_type text, run bigint, \
        job bigint, process bigint, attempt bigint, module text, device text, device_type text, metric text, kind text, \
        unit text) ON CONFLICT (id) DO NOTHING";
    let rows = new().flat_map(|layout| layout.series.iter()).map(|series| {
        let row = json!({"id": series.id, "machine": series.machine, "machine_type": series.machine_type,
            "module": series.module, "device": series.device, "device_type": series.device_type,
            "metric": series.metric, "kind": series.kind.as_str(), "unit": series.unit});
        with_process(row, series.process.unwrap_or_default())
    });
    insert(transaction, "write series", series, rows).await?;
    let statement = "INSERT INTO layout (id, series) SELECT id, series FROM jsonb_to_recordset($1) \
        AS r(id bigint, series bigint[]) ON CONFLICT (id) DO NOTHING";
    let rows = new().map(|layout| {
        let series: Vec<i64> = layout.series.iter().map(|series| series.id).collect();
        json!({"id": layout.id, "series": series})
    });
    insert(transaction, "write layouts", statement, rows).await.map(drop)
}

/// Copies hot rows.
pub(super) async fn write_samples(transaction: &Transaction<'_>, samples: &[Sample]) -> Result<()> {
    if samples.is_empty() {
        return Ok(());
    }
    let types = [Type::TIMESTAMPTZ, Type::TIMESTAMPTZ, Type::INT8, Type::INT8, Type::FLOAT8_ARRAY];
    let columns: Vec<(Stamp, Stamp, i64)> =
        samples.iter().map(|sample| (Stamp(sample.at), Stamp(sample.received), number(sample.sequence))).collect();
    let rows = samples.iter().zip(&columns).map(|(sample, (at, received, sequence))| -> [&(dyn ToSql + Sync); 5] {
        [at, received, sequence, &sample.layout, &sample.values]
    });
    copy_rows(transaction, "sample (ts, recv, stream_seq, layout_id, vals)", &types, rows).await.map(drop)
}

/// What was stored of one layout.
struct Total {
    reports: u64,
    samples: u64,
    first: PoolTime,
    last: PoolTime,
}

/// Adds the samples to the totals of their layouts.
pub(super) async fn write_totals(transaction: &Transaction<'_>, samples: &[Sample]) -> Result<()> {
    let statement = "INSERT INTO layout_total AS total (layout_id, reports, samples, first_ts, last_ts) \
        SELECT layout_id, reports, samples, muster_time(first), muster_time(last) FROM jsonb_to_recordset($1) \
        AS r(layout_id bigint, reports bigint, samples bigint, first bigint, last bigint) \
        ON CONFLICT (layout_id) DO UPDATE SET reports = total.reports + excluded.reports, \
        samples = total.samples + excluded.samples, first_ts = least(total.first_ts, excluded.first_ts), \
        last_ts = greatest(total.last_ts, excluded.last_ts)";
    let rows = totals(samples).into_iter().map(|(layout, total)| {
        json!({"layout_id": layout, "reports": total.reports, "samples": total.samples, "first": time(total.first),
               "last": time(total.last)})
    });
    insert(transaction, "write totals", statement, rows).await.map(drop)
}

fn totals(samples: &[Sample]) -> BTreeMap<i64, Total> {
    let mut totals = BTreeMap::new();
    for sample in samples {
        let new = Total { reports: 0, samples: 0, first: sample.at, last: sample.at };
        let total: &mut Total = totals.entry(sample.layout).or_insert(new);
        total.reports += 1;
        total.samples += sample.values.iter().filter(|value| !value.is_nan()).count() as u64;
        total.first = total.first.min(sample.at);
        total.last = total.last.max(sample.at);
    }
    totals
}
