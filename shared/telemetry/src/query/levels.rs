//! Levels of series as rows: what the reports that judge begin with.

use std::collections::BTreeMap;

use muster_store::{Error, Result, Store};

use super::perf::{Asked, Measured, by_series, rate};
use super::scope::Scope;
use crate::chunk::Tally;

/// Series that are judged at most; more are left out, and said to be.
pub(super) const SERIES_MAX: usize = 100_000;

/// What one series measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Level {
    pub(super) module: String,
    pub(super) machine: String,
    pub(super) machine_type: String,
    pub(super) device: String,
    pub(super) device_type: String,
    pub(super) metric: String,
    pub(super) kind: String,
    pub(super) unit: String,
    /// The mean of a gauge, the rate of a counter.
    pub(super) level: f64,
}

/// The unit of a level: that of the metric, for each second where it is a rate.
pub(super) fn unit_of_level(kind: &str, unit: &str) -> String {
    match (kind, unit) {
        ("gauge", unit) => unit.to_owned(),
        (_, "") => "1/s".to_owned(),
        (_, unit) => format!("{unit}/s"),
    }
}

/// Levels of all series that are asked for, of hot rows and chunks alike, and whether some were left out.
pub(super) async fn levels(store: &Store, scope: &Scope, metrics: &[String]) -> Result<(Vec<Level>, bool)> {
    let asked = Asked { run: scope.run(), filter: scope.filter(), metrics, quantiles: false };
    let Measured { groups, rows } = by_series(store, asked, SERIES_MAX + 1).await?;
    let cut = rows.len() > SERIES_MAX;
    let measured: BTreeMap<i64, f64> = rows
        .into_iter()
        .take(SERIES_MAX)
        .filter_map(|((_, group), tally)| Some((groups[group][0].parse().ok()?, level(&tally)?)))
        .collect();
    let ids: Vec<i64> = measured.keys().copied().collect();
    let select = "SELECT module, machine, machine_type, device, device_type, metric, kind, unit, id FROM series WHERE id = ANY($1) \
                  ORDER BY run, job, process, attempt, machine, device, metric";
    let rows = store.client().await?.query(select, &[&ids]).await.map_err(Error::doing("name each series"))?;
    let named = rows.iter().filter_map(|row| {
        Some(Level {
            module: row.get(0),
            machine: row.get(1),
            machine_type: row.get(2),
            device: row.get(3),
            device_type: row.get(4),
            metric: row.get(5),
            kind: row.get(6),
            unit: row.get(7),
            level: *measured.get(&row.get(8))?,
        })
    });
    Ok((named.collect(), cut))
}

/// The rate of a counter or delta, the mean of a gauge.
fn level(tally: &Tally) -> Option<f64> {
    let [_, mean, _] = tally.levels();
    rate(tally, None).or(mean).filter(|level| level.is_finite())
}

/// The note where series were left out.
pub(super) fn left_out() -> String {
    format!("only the first {SERIES_MAX} series are judged: narrow the question")
}
