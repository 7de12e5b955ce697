//! How many series a process, a machine and a run may have. What goes beyond a bound is left out; everything else is stored as before.
//!
//! The same messages and the same store give the same decisions, whoever takes them.

use std::collections::{BTreeMap, BTreeSet};

use muster_telemetry::records::{Layout, Records, Sample, Scope, Series, SeriesBound};

/// Bounds of series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesBounds {
    /// Of one attempt of a process.
    pub(crate) process: u64,
    /// Of one machine in one run.
    pub(crate) machine: u64,
    /// Of one run.
    pub(crate) run: u64,
}

impl SeriesBounds {
    fn of(&self, scope: &Scope) -> u64 {
        match scope {
            Scope::Process(_) => self.process,
            Scope::Machine(..) => self.machine,
            Scope::Run(_) => self.run,
        }
    }
}

/// What became of a layout that lost some of its series.
#[derive(Debug, Clone)]
struct Cut {
    /// What is left; none where nothing is.
    layout: Option<Layout>,
    /// Positions that are left.
    positions: Vec<usize>,
    bounds: Vec<SeriesBound>,
}

/// Series that are stored, as far as they were met.
#[derive(Debug)]
pub(crate) struct Census {
    bounds: SeriesBounds,
    series: BTreeSet<i64>,
    counts: BTreeMap<Scope, u64>,
    whole: BTreeSet<i64>,
    cut: BTreeMap<i64, Cut>,
}

/// What has to be asked of the store before records can be judged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) series: BTreeSet<i64>,
    pub(crate) scopes: BTreeSet<Scope>,
}

impl Census {
    pub(crate) fn new(bounds: SeriesBounds) -> Self {
        let (series, counts, whole, cut) = Default::default();
        Self { bounds, series, counts, whole, cut }
    }

    /// Forgets everything that can be asked for again.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.bounds);
    }

    /// How much it remembers.
    pub(crate) fn len(&self) -> usize {
        self.series.len() + self.counts.len() + self.whole.len() + self.cut.len()
    }

    /// What it does not know of the layouts of some records.
    pub(crate) fn unknown(&self, records: &Records) -> Unknown {
        let mut unknown = Unknown::default();
        for layout in records.layouts.values().filter(|layout| !self.has_judged(layout.id)) {
            for series in layout.series.iter().filter(|series| !self.series.contains(&series.id)) {
                unknown.series.insert(series.id);
                unknown.scopes.extend(Scope::of(series).into_iter().filter(|scope| !self.counts.contains_key(scope)));
            }
        }
        unknown
    }

    fn has_judged(&self, layout: i64) -> bool {
        self.whole.contains(&layout) || self.cut.contains_key(&layout)
    }

    /// Learns what the store says: which of the unknown series it has, and how many there are of each scope.
    pub(crate) fn learn(&mut self, series: BTreeSet<i64>, scopes: BTreeSet<Scope>, mut counts: BTreeMap<Scope, u64>) {
        self.series.extend(series);
        for scope in scopes {
            let count = counts.remove(&scope).unwrap_or(0);
            self.counts.insert(scope, count);
        }
    }

    /// Leaves out what goes beyond a bound, and says so.
    pub(crate) fn judge(&mut self, records: &mut Records) {
        let is_settled = self.cut.is_empty() && records.layouts.keys().all(|id| self.has_judged(*id));
        if is_settled {
            return;
        }
        for id in said(records) {
            if !self.has_judged(id) {
                self.judge_layout(&records.layouts[&id]);
            }
            records.bounds.extend(self.cut.get(&id).into_iter().flat_map(|cut| cut.bounds.iter().cloned()));
        }
        for (id, layout) in std::mem::take(&mut records.layouts) {
            match self.cut.get(&id) {
                None => records.layouts.extend([(id, layout)]),
                Some(cut) => records.layouts.extend(cut.layout.iter().map(|layout| (layout.id, layout.clone()))),
            }
        }
        if !self.cut.is_empty() {
            records.samples =
                std::mem::take(&mut records.samples).into_iter().filter_map(|row| self.trim(row)).collect();
        }
    }

    fn judge_layout(&mut self, layout: &Layout) {
        let (mut positions, mut bounds) = (Vec::new(), Vec::new());
        for (position, series) in layout.series.iter().enumerate() {
            match self.admit(series) {
                Ok(()) => positions.push(position),
                Err(bound) => bounds.push(bound),
            }
        }
        if bounds.is_empty() {
            self.whole.insert(layout.id);
            return;
        }
        bounds.dedup_by(|later, earlier| later.scope == earlier.scope);
        let left: Vec<Series> = positions.iter().map(|position| layout.series[*position].clone()).collect();
        let left = (!left.is_empty()).then(|| super::sample::layout_of(left));
        self.cut.insert(layout.id, Cut { layout: left, positions, bounds });
    }

    /// Counts a series, unless that would go beyond a bound.
    fn admit(&mut self, series: &Series) -> Result<(), SeriesBound> {
        if self.series.contains(&series.id) {
            return Ok(());
        }
        let scopes = Scope::of(series);
        for scope in &scopes {
            let bound = self.bounds.of(scope);
            if self.counts.get(scope).copied().unwrap_or(0) >= bound {
                return Err(SeriesBound { scope: scope.clone(), bound, metric: series.metric.clone() });
            }
        }
        for scope in scopes {
            *self.counts.entry(scope).or_default() += 1;
        }
        self.series.insert(series.id);
        Ok(())
    }

    /// A row without the values of series that were left out; none where nothing is left.
    fn trim(&self, row: Sample) -> Option<Sample> {
        let Some(cut) = self.cut.get(&row.layout) else { return Some(row) };
        let layout = cut.layout.as_ref()?.id;
        let values = cut.positions.iter().map(|position| row.values[*position]).collect();
        Some(Sample { layout, values, ..row })
    }
}

/// Layouts in the order in which rows name them, then those without rows: what was said first is taken first.
fn said(records: &Records) -> Vec<i64> {
    let mut left: BTreeSet<i64> = records.layouts.keys().copied().collect();
    let mut said: Vec<i64> = records.samples.iter().map(|sample| sample.layout).filter(|id| left.remove(id)).collect();
    said.extend(left);
    said
}

#[cfg(test)]
mod tests {
    use muster_model::{Attempt, Dpid, JobNumber, PoolTime, ProcessId, ProcessNumber, RunId};
    use muster_telemetry::records::MetricKind;

    use super::*;

    const BOUNDS: SeriesBounds = SeriesBounds { process: 3, machine: 5, run: 7 };

    fn series(id: i64, process: u32, machine: &str) -> Series {
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(process) };
        Series {
            id,
            machine: machine.into(),
            machine_type: String::new(),
            process: Some(ProcessId { run: RunId(1), dpid, attempt: Attempt(1) }),
            module: String::new(),
            device: String::new(),
            device_type: String::new(),
            metric: format!("metric {id}"),
            kind: MetricKind::Gauge,
            unit: String::new(),
        }
    }

    /// A layout with one row; its values are the ids of its series.
    #[expect(clippy::cast_precision_loss, reason = "small ids")]
    fn records(process: u32, machine: &str, ids: std::ops::Range<i64>) -> Records {
        let values = ids.clone().map(|id| id as f64).collect();
        let layout = super::super::sample::layout_of(ids.map(|id| series(id, process, machine)).collect());
        let at = PoolTime(1);
        let row = Sample { at, received: at, sequence: 1, layout: layout.id, values };
        Records { layouts: BTreeMap::from([(layout.id, layout)]), samples: vec![row], ..Records::default() }
    }

    /// What is left of the values, and whose bounds were reached.
    fn check(census: &mut Census, mut records: Records) -> (Vec<f64>, Vec<Scope>) {
        let unknown = census.unknown(&records);
        census.learn(BTreeSet::new(), unknown.scopes, BTreeMap::new());
        census.judge(&mut records);
        for row in &records.samples {
            assert_eq!(records.layouts[&row.layout].series.len(), row.values.len(), "a row fits its layout");
        }
        let values = records.samples.into_iter().flat_map(|row| row.values).collect();
        (values, records.bounds.into_iter().map(|bound| bound.scope).collect())
    }

    #[test]
    fn the_narrowest_bound_that_is_reached_bites_and_what_was_there_goes_on() {
        let mut census = Census::new(BOUNDS);
        let process = |number| Scope::of(&series(0, number, "m1"))[0].clone();
        assert_eq!(check(&mut census, records(1, "m1", 1..3)), (vec![1.0, 2.0], vec![]));
        assert_eq!(check(&mut census, records(1, "m1", 1..6)), (vec![1.0, 2.0, 3.0], vec![process(1)]));
        let machine = Scope::Machine(RunId(1), "m1".into());
        assert_eq!(check(&mut census, records(2, "m1", 10..13)), (vec![10.0, 11.0], vec![machine]));
        assert_eq!(check(&mut census, records(3, "m2", 20..23)), (vec![20.0, 21.0], vec![Scope::Run(RunId(1))]));
        assert_eq!(check(&mut census, records(4, "m3", 30..33)), (vec![], vec![Scope::Run(RunId(1))]));
        assert_eq!(check(&mut census, records(1, "m1", 1..3)), (vec![1.0, 2.0], vec![]), "as before");
    }

    #[test]
    fn what_the_store_knows_counts_after_a_restart() {
        let mut census = Census::new(BOUNDS);
        let mut judged = records(1, "m1", 1..5);
        let unknown = census.unknown(&judged);
        assert_eq!((unknown.series.len(), unknown.scopes.len()), (4, 3));
        let counts = unknown.scopes.iter().map(|scope| (scope.clone(), 3)).collect();
        census.learn(BTreeSet::from([1, 2, 3]), unknown.scopes, counts);
        census.judge(&mut judged);
        assert_eq!(judged.samples[0].values, [1.0, 2.0, 3.0]);
        assert_eq!(judged.bounds.len(), 1);
        assert_eq!(census.unknown(&records(1, "m1", 1..5)), Unknown::default(), "it is judged already");
    }
}
