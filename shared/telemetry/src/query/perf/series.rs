//! Which series a question is about, and in which layouts they are.

use std::collections::{BTreeSet, HashMap};

use muster_store::{Error, Result, Stamp, Transaction};

use super::{Asked, Grouping, each_row};
use crate::chunk::Line;
use crate::records::MetricKind;

/// Series of one question at most.
const SERIES_MAX: usize = 2_000_000;

/// What the filter says of a series; the alias is `series`.
const FILTER: &str = "\
(($1::bigint = 0 OR series.run = $1) AND ($2::bigint = 0 OR series.job = $2) AND ($3::text = '' OR series.module = $3) \
                         AND ($8::bigint = 0 OR series.process = $8) \
 OR series.run = 0 AND $2 = 0 AND $3 = '' AND $8 = 0) AND ($4::text = '' OR series.machine = $4) \
 AND ($5::text = '' OR series.machine_type = $5) AND ($6::text = '' OR series.device = $6) AND ($7::text = '' OR series.device_type = $7)";
/// Parameters of [`FILTER`].
const FILTER_PARAMETERS: usize = 8;

const SERIES: &str = "\
SELECT id, KEY, metric, kind, unit, process > 0, running_at \
FROM (SELECT series.*, p.running_at FROM series LEFT JOIN process AS p USING (run, job, process, attempt) \
      WHERE FILTER AND (cardinality($9::text[]) = 0 OR metric = ANY($9))) AS wanted \
WHERE ONLY";

/// All series of a layout are of one origin, so the first one tells whether the filter takes it.
const LAYOUTS: &str = "\
SELECT layout.id, layout.series, total.first_ts, total.last_ts, series.process > 0 \
FROM series JOIN layout ON layout.series[1] = series.id JOIN layout_total AS total ON total.layout_id = layout.id \
WHERE FILTER";

const BORN: &str = "\
SELECT min(started_at), (SELECT min(started_at) FROM run WHERE run > $1 AND $1 > 0) \
FROM (SELECT started_at FROM run WHERE run = $1::bigint UNION ALL SELECT started_at FROM job WHERE run = $1) AS starts";

/// A layout with some series that are wanted.
pub(super) struct WantedLayout {
    pub(super) id: i64,
    /// Positions in it, and the series there by their place in [`Wanted::ids`].
    pub(super) places: Vec<(usize, usize)>,
    /// How many positions it has.
    pub(super) width: usize,
}

/// What a question is about.
pub(super) struct Wanted {
    pub(super) ids: Vec<i64>,
    /// Place of each id.
    pub(super) place_of: HashMap<i64, usize>,
    /// What is known of each.
    pub(super) lines: Vec<Line>,
    /// The group of each.
    pub(super) group_of: Vec<usize>,
    /// Key, metric, kind and unit of each group, ascending.
    pub(super) groups: Vec<[String; 4]>,
    pub(super) layouts: Vec<WantedLayout>,
    /// Quantiles are asked for.
    pub(super) quantiles: bool,
    /// When the run began, nanoseconds.
    pub(super) born: i64,
    /// First and last time of any value of the layouts, as far as it is seen.
    pub(super) reach: Option<(i64, i64)>,
}

impl Wanted {
    pub(super) async fn read(transaction: &Transaction<'_>, asked: Asked<'_>, grouping: &Grouping) -> Result<Self> {
        let Asked { run: run_id, filter, metrics, quantiles } = asked;
        let row = transaction.query_one(BORN, &[&run_id]).await.map_err(Error::doing("find the start of the run"))?;
        let (first, next): (Option<Stamp>, Option<Stamp>) = (row.get(0), row.get(1));
        let seen = (first.map_or(i64::MIN, |at| at.0.0), next.map_or(i64::MAX, |at| at.0.0));
        let (job, process) = (i64::from(filter.job), i64::from(filter.process));
        let statement = SERIES.replace("KEY", grouping.key).replace("ONLY", grouping.only).replace("FILTER", FILTER);
        let mut named: Vec<[String; 4]> = Vec::new();
        let (mut ids, mut lines) = (Vec::new(), Vec::new());
        let parameters: [&(dyn postgres_types::ToSql + Sync); FILTER_PARAMETERS + 1] = [
            &run_id,
            &job,
            &filter.module,
            &filter.machine,
            &filter.machine_type,
            &filter.device,
            &filter.device_type,
            &process,
            &metrics,
        ];
        each_row(transaction, &statement, &parameters, |row| {
            if ids.len() >= SERIES_MAX {
                return Err(Error::TimedOut { what: format!("measure performance of more than {SERIES_MAX} series") });
            }
            ids.push(row.get(0));
            named.push([1, 2, 3, 4].map(|column| row.get(column)));
            lines.push(line(row, seen));
            Ok(())
        })
        .await?;
        let sorted: BTreeSet<&[String; 4]> = named.iter().collect();
        let places: HashMap<&[String; 4], usize> = sorted.iter().copied().zip(0..).collect();
        let group_of = named.iter().map(|names| places[names]).collect();
        let groups = sorted.into_iter().cloned().collect();
        let place_of = ids.iter().copied().zip(0..).collect();
        let (layouts, born, reach) = (Vec::new(), seen.0, None);
        let mut wanted = Self { ids, place_of, lines, group_of, groups, layouts, quantiles, born, reach };
        wanted.read_layouts(transaction, &parameters[..FILTER_PARAMETERS], seen).await?;
        Ok(wanted)
    }

    async fn read_layouts(
        &mut self,
        transaction: &Transaction<'_>,
        parameters: &[&(dyn postgres_types::ToSql + Sync)],
        seen: (i64, i64),
    ) -> Result<()> {
        let statement = LAYOUTS.replace("FILTER", FILTER);
        each_row(transaction, &statement, parameters, |row| {
            let series: Vec<i64> = row.get(1);
            let place = |(position, id): (usize, &i64)| self.place_of.get(id).map(|place| (position, *place));
            let places: Vec<(usize, usize)> = series.iter().enumerate().filter_map(place).collect();
            let (Stamp(first), Stamp(last)) = (row.get(2), row.get(3));
            // A machine's series goes on through all runs; of it only this run is seen.
            let (first, last) = match row.get(4) {
                true => (first.0, last.0),
                false => (first.0.max(seen.0), last.0.min(seen.1)),
            };
            if !places.is_empty() && first <= last {
                let (earliest, latest) = self.reach.unwrap_or((first, last));
                self.reach = Some((earliest.min(first), latest.max(last)));
                self.layouts.push(WantedLayout { id: row.get(0), places, width: series.len() });
            }
            Ok(())
        })
        .await
    }
}

fn line(row: &tokio_postgres::Row, seen: (i64, i64)) -> Line {
    let of_process: bool = row.get(5);
    let running_at: Option<Stamp> = row.get(6);
    Line {
        kind: MetricKind::parse(row.get(3)).unwrap_or(MetricKind::Gauge),
        from_zero: of_process,
        running_at: running_at.map(|at| at.0.0),
        seen: if of_process { (i64::MIN, i64::MAX) } else { seen },
        segments: Vec::new(),
        hot: Vec::new(),
    }
}
