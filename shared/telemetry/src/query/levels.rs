//! Levels of series as rows: what the reports that judge begin with.

use muster_store::{Client, Error, Result};

use super::scope::{ASKED, Scope};
use super::series::{COUNTED, LEVELS};

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

/// Levels of all series that are asked for, and whether some were left out.
pub(super) async fn levels(client: &Client, scope: &Scope, metrics: &[String]) -> Result<(Vec<Level>, bool)> {
    let statement = format!(
        "{ASKED}, {COUNTED}, {LEVELS} SELECT w.module, w.machine, w.machine_type, w.device, w.device_type, w.metric, w.kind, w.unit, levels.level \
         FROM levels JOIN wanted AS w USING (id) WHERE levels.level IS NOT NULL AND levels.level NOT IN ('NaN', 'Infinity', '-Infinity') \
         ORDER BY w.run, w.job, w.process, w.attempt, w.machine, w.device, w.metric LIMIT $12"
    );
    let metrics = metrics.to_vec();
    let limit = i64::try_from(SERIES_MAX + 1).unwrap_or(i64::MAX);
    let rows = client.query(&statement, &scope.parameters(&[&metrics, &limit])).await;
    let rows = rows.map_err(Error::doing("measure each series"))?;
    let cut = rows.len() > SERIES_MAX;
    let level = |row: &tokio_postgres::Row| Level {
        module: row.get(0),
        machine: row.get(1),
        machine_type: row.get(2),
        device: row.get(3),
        device_type: row.get(4),
        metric: row.get(5),
        kind: row.get(6),
        unit: row.get(7),
        level: row.get(8),
    };
    Ok((rows.iter().take(SERIES_MAX).map(level).collect(), cut))
}

/// The note where series were left out.
pub(super) fn left_out() -> String {
    format!("only the first {SERIES_MAX} series are judged: narrow the question")
}
