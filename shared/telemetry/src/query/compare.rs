//! Two runs beside each other: each metric of each module, with a test that is named, and how large the difference is.
//!
//! What is observed is a series: one metric of one process, or of one of its devices, as one number.

use std::collections::BTreeMap;

use muster_proto::v1::{CompareQuery, ReportReply, Row};
use muster_store::{Result, Store};

use super::cells::{integer, number, number_column, text, text_column};
use super::direction::Better;
use super::levels::{Level, left_out, levels, unit_of_level};
use super::scope::Scope;
use super::{ROWS_MAX, cut_note};
use crate::statistics::{Compared, holm, mann_whitney, median};

/// Probability of chance below which a difference counts.
const SIGNIFICANCE: f64 = 0.01;
/// Relative difference from which on it counts.
const CHANGE_MIN: f64 = 0.05;

/// What makes a difference count.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rule {
    significance: f64,
    change_min: f64,
}

impl Rule {
    fn of(query: &CompareQuery) -> Self {
        let part = |ppm: u32, default: f64| if ppm == 0 { default } else { f64::from(ppm) / 1e6 };
        Self {
            significance: part(query.significance_ppm, SIGNIFICANCE),
            change_min: part(query.change_min_ppm, CHANGE_MIN),
        }
    }
}

/// Module, metric, kind and unit.
type Metric = (String, String, String, String);

/// A metric in both runs.
#[derive(Debug, Clone, Default, PartialEq)]
struct Pair {
    before: Vec<f64>,
    after: Vec<f64>,
}

/// A metric, judged.
#[derive(Debug, Clone, PartialEq)]
struct Judged {
    metric: Metric,
    pair: Pair,
    compared: Option<Compared>,
    /// Corrected for how many metrics are compared.
    probability: Option<f64>,
    verdict: &'static str,
}

/// One row for each metric, regressions first.
///
/// # Errors
/// As the store.
pub async fn compare(store: &Store, before: &Scope, after: &Scope, query: &CompareQuery) -> Result<ReportReply> {
    let (first, first_left) = levels(store, before, &query.metrics).await?;
    let (second, second_left) = levels(store, after, &query.metrics).await?;
    let rule = Rule::of(query);
    let judged = judge(&first, &second, rule);
    let mut columns: Vec<_> = ["module", "metric", "unit"].map(text_column).into();
    columns.extend(
        ["n_before", "n_after", "median_before", "median_after", "change_percent", "probability", "delta"]
            .map(number_column),
    );
    columns.extend(["effect", "verdict"].map(text_column));
    let count = |verdict: &str| judged.iter().filter(|judged| judged.verdict == verdict).count();
    let mut notes = vec![
        format!(
            "{} regressions, {} improvements, {} changes, {} metrics",
            count("regression"),
            count("improvement"),
            count("changed"),
            judged.len()
        ),
        format!(
            "Mann-Whitney U test of series, two-sided, corrected by Holm; a difference counts below {} and from {} % of the median on; effect: Cliff's delta",
            rule.significance,
            rule.change_min * 100.0
        ),
    ];
    notes.extend((first_left || second_left).then(left_out));
    notes.extend((judged.len() > ROWS_MAX).then(cut_note));
    let title = format!("{} compared with {}", after.words(), before.words());
    let rows = judged.iter().take(ROWS_MAX).map(row).collect();
    Ok(ReportReply { title, columns, rows, notes })
}

fn row(judged: &Judged) -> Row {
    let (module, metric, counted, unit) = &judged.metric;
    let unit = unit_of_level(counted, unit);
    let count = |values: &[f64]| integer(i64::try_from(values.len()).unwrap_or(i64::MAX));
    let mut cells: Vec<_> = [module.as_str(), metric, &unit].map(text).into();
    cells.extend([count(&judged.pair.before), count(&judged.pair.after)]);
    cells.extend([median(&judged.pair.before), median(&judged.pair.after)].map(number));
    cells.push(number(judged.pair.change().map(|change| change * 100.0)));
    cells.extend([number(judged.probability), number(judged.compared.map(|compared| compared.delta))]);
    cells.push(text(judged.compared.map_or("", |compared| compared.size().as_str())));
    cells.push(text(judged.verdict));
    Row { cells }
}

impl Pair {
    /// Relative change of the median; none where the first is 0 or missing.
    fn change(&self) -> Option<f64> {
        let (before, after) = (median(&self.before)?, median(&self.after)?);
        (before != 0.0).then(|| (after - before) / before.abs())
    }

    /// Whether the difference of the medians is at least a part of the first; from 0 everything is.
    fn moved(&self, change_min: f64) -> bool {
        match (self.change(), median(&self.before), median(&self.after)) {
            (Some(change), _, _) => change.abs() >= change_min,
            (None, Some(before), Some(after)) => before != after,
            (None, _, _) => false,
        }
    }
}

fn judge(first: &[Level], second: &[Level], rule: Rule) -> Vec<Judged> {
    let mut pairs = BTreeMap::<Metric, Pair>::new();
    let key = |level: &Level| (level.module.clone(), level.metric.clone(), level.kind.clone(), level.unit.clone());
    for level in first {
        pairs.entry(key(level)).or_default().before.push(level.level);
    }
    for level in second {
        pairs.entry(key(level)).or_default().after.push(level.level);
    }
    let compared: Vec<(Metric, Pair, Option<Compared>)> = pairs
        .into_iter()
        .map(|(metric, pair)| {
            let compared = mann_whitney(&pair.before, &pair.after);
            (metric, pair, compared)
        })
        .collect();
    let probabilities: Vec<f64> =
        compared.iter().filter_map(|(_, _, compared)| Some(compared.as_ref()?.probability)).collect();
    let mut corrected = holm(&probabilities).into_iter();
    let mut judged: Vec<Judged> = compared
        .into_iter()
        .map(|(metric, pair, compared)| {
            let probability = compared.and_then(|_| corrected.next());
            let verdict = verdict(&metric, &pair, probability, rule);
            Judged { metric, pair, compared, probability, verdict }
        })
        .collect();
    judged.sort_by_key(|judged| VERDICTS.iter().position(|verdict| *verdict == judged.verdict));
    judged
}

/// In the order in which they are shown.
const VERDICTS: [&str; 7] = ["regression", "changed", "improvement", "only before", "only after", "too few", "same"];

fn verdict(metric: &Metric, pair: &Pair, probability: Option<f64>, rule: Rule) -> &'static str {
    let Some(probability) = probability else {
        return if pair.after.is_empty() { "only before" } else { "only after" };
    };
    let (before, after) = (median(&pair.before).unwrap_or_default(), median(&pair.after).unwrap_or_default());
    let (module, name, kind, unit) = metric;
    match (probability < rule.significance, pair.moved(rule.change_min)) {
        (false, true) if least_probability(pair) >= rule.significance => "too few",
        (false, _) | (true, false) => "same",
        (true, true) => match Better::of(name, kind, unit, module).is_worse(after - before) {
            Some(true) => "regression",
            Some(false) => "improvement",
            None => "changed",
        },
    }
}

/// The least probability that so few values can have: two of all ways to mix them.
fn least_probability(pair: &Pair) -> f64 {
    let (m, n) = (pair.before.len(), pair.after.len());
    let ways = (1..=m.min(n)).fold(1.0, |ways, k| ways * (m + n + 1 - k) as f64 / k as f64);
    2.0 / ways
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { significance: SIGNIFICANCE, change_min: CHANGE_MIN };

    fn levels(metric: &str, kind: &str, unit: &str, values: &[f64]) -> Vec<Level> {
        let level = |value: &f64| Level {
            module: "high-io".into(),
            machine: "m1".into(),
            machine_type: "x".into(),
            device: String::new(),
            device_type: String::new(),
            metric: metric.into(),
            kind: kind.into(),
            unit: unit.into(),
            level: *value,
        };
        values.iter().map(level).collect()
    }

    fn around(middle: f64) -> Vec<f64> {
        (0..12).map(|nth| middle + f64::from(nth) / 10.0).collect()
    }

    #[test]
    fn slower_is_a_regression_faster_an_improvement_and_a_little_neither() {
        for (before, after, wanted) in
            [(100.0, 80.0, "regression"), (80.0, 100.0, "improvement"), (100.0, 101.5, "same")]
        {
            let of = |middle| levels("written_bytes", "counter", "bytes", &around(middle));
            assert_eq!(judge(&of(before), &of(after), RULE)[0].verdict, wanted, "{before} to {after}");
        }
        let of = |middle| levels("latency_seconds", "gauge", "seconds", &around(middle));
        assert_eq!(judge(&of(1.0), &of(9.0), RULE)[0].verdict, "regression");
        let of = |middle| levels("depth", "gauge", "", &around(middle));
        assert_eq!(judge(&of(1.0), &of(9.0), RULE)[0].verdict, "changed");
    }

    #[test]
    fn few_processes_are_said_to_be_too_few_and_what_is_missing_is_named() {
        let of = |values: &[f64]| levels("written_bytes", "counter", "bytes", values);
        assert_eq!(judge(&of(&[1.0, 2.0]), &of(&[9.0, 10.0]), RULE)[0].verdict, "too few");
        assert_eq!(judge(&of(&[1.0]), &[], RULE)[0].verdict, "only before");
        assert_eq!(judge(&[], &of(&[1.0]), RULE)[0].verdict, "only after");
    }
}
