//! Machines and devices against their peers: those of the same type, doing the same.

use std::collections::BTreeMap;

use muster_proto::v1::{ReportReply, Row};
use muster_store::{Result, Store};

use super::cells::{integer, number, number_column, text, text_column};
use super::direction::Better;
use super::levels::{Level, left_out, levels, unit_of_level};
use super::scope::Scope;
use super::{ROWS_MAX, cut_note};
use crate::statistics::{Middle, OUTLIER_SCORE, median};

/// Fewer peers than this say nothing about one.
const PEERS_MIN: usize = 3;

/// Who is compared with whom: what it is, its type, module, metric, kind and unit.
type Peers = (&'static str, String, String, String, String, String);

/// One machine or device beside its peers.
#[derive(Debug, Clone, PartialEq)]
struct Judged {
    peers: Peers,
    name: String,
    value: f64,
    middle: Middle,
    count: usize,
    score: f64,
    /// To the worse; none where nothing tells which way that is.
    worse: Option<bool>,
}

impl Judged {
    fn verdict(&self) -> &'static str {
        match (self.score.abs() > OUTLIER_SCORE, self.worse) {
            (true, Some(true)) => "worse",
            (true, Some(false)) => "better",
            (true, None) => "strange",
            (false, _) => "",
        }
    }

    /// What is worst comes first: outliers to the worse, then strange ones, then the others; the best comes last.
    fn rank(&self) -> (u8, f64) {
        let distance = self.score.abs();
        match self.verdict() {
            "worse" => (3, distance),
            "strange" => (2, distance),
            _ if self.worse == Some(false) => (0, -distance),
            _ => (1, distance),
        }
    }
}

/// One row for each machine, and each device, that has peers: the worst first.
///
/// # Errors
/// As the store.
pub async fn worst(store: &Store, scope: &Scope, metrics: &[String]) -> Result<ReportReply> {
    let (levels, left) = levels(store, scope, metrics).await?;
    let judged = judge(&levels);
    let mut columns: Vec<_> = ["what", "name", "type", "module", "metric", "unit"].map(text_column).into();
    columns.extend(["value", "median", "difference_percent", "score", "peers"].map(number_column));
    columns.push(text_column("verdict"));
    let outliers = judged.iter().filter(|judged| judged.verdict() == "worse").count();
    let mut notes = vec![
        format!("{outliers} worse than their peers; peers are of the same type and do the same, {PEERS_MIN} at least"),
        format!(
            "score: modified z-score by median and MAD (Iglewicz and Hoaglin 1993), an outlier beyond {OUTLIER_SCORE}; value: mean of a gauge, rate of a counter"
        ),
    ];
    notes.extend(left.then(left_out));
    notes.extend((judged.len() > ROWS_MAX).then(cut_note));
    let rows = judged.iter().take(ROWS_MAX).map(row).collect();
    Ok(ReportReply { title: format!("worst of {}", scope.words()), columns, rows, notes })
}

fn row(judged: &Judged) -> Row {
    let (what, kind, module, metric, counted, unit) = &judged.peers;
    let unit = unit_of_level(counted, unit);
    let (value, middle) = (judged.value, judged.middle.median);
    let percent = (middle != 0.0).then(|| (value - middle) / middle.abs() * 100.0);
    let mut cells: Vec<_> = [*what, &judged.name, kind, module, metric, &unit].map(text).into();
    cells.extend([Some(value), Some(middle), percent, Some(judged.score)].map(number));
    cells.push(integer(i64::try_from(judged.count).unwrap_or(i64::MAX)));
    cells.push(text(judged.verdict()));
    Row { cells }
}

/// Each with its peers, the worst first. Where all are equal there is nothing to judge.
fn judge(levels: &[Level]) -> Vec<Judged> {
    let mut groups = BTreeMap::<Peers, BTreeMap<String, Vec<f64>>>::new();
    for level in levels {
        let peers = |what, kind: &str| {
            let Level { module, metric, kind: counted, unit, .. } = level;
            (what, kind.to_owned(), module.clone(), metric.clone(), counted.clone(), unit.clone())
        };
        let mut add = |peers, name| groups.entry(peers).or_default().entry(name).or_default().push(level.level);
        add(peers("machine", &level.machine_type), level.machine.clone());
        if !level.device.is_empty() {
            add(peers("device", &level.device_type), format!("{}/{}", level.machine, level.device));
        }
    }
    let mut judged: Vec<Judged> = groups.into_iter().flat_map(|(peers, values)| judge_peers(&peers, &values)).collect();
    judged.sort_by(|a, b| b.rank().partial_cmp(&a.rank()).unwrap_or(std::cmp::Ordering::Equal));
    judged
}

fn judge_peers(peers: &Peers, values: &BTreeMap<String, Vec<f64>>) -> Vec<Judged> {
    let medians: Vec<(String, f64)> =
        values.iter().filter_map(|(name, values)| Some((name.clone(), median(values)?))).collect();
    let all: Vec<f64> = medians.iter().map(|(_, value)| *value).collect();
    let Some(middle) = Middle::of(&all).filter(|_| all.len() >= PEERS_MIN) else { return Vec::new() };
    let better = Better::of(&peers.3, &peers.4, &peers.5, &peers.2);
    let one = |(name, value): (String, f64)| {
        let score = middle.score(value)?;
        let worse = better.is_worse(value - middle.median);
        Some(Judged { peers: peers.clone(), name, value, middle, count: all.len(), score, worse })
    };
    medians.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(machine: &str, device: &str, level: f64) -> Level {
        Level {
            module: "high-io".into(),
            machine: machine.into(),
            machine_type: "x".into(),
            device: device.into(),
            device_type: "SSD".into(),
            metric: "written_bytes".into(),
            kind: "counter".into(),
            unit: "bytes".into(),
            level,
        }
    }

    #[test]
    fn the_slow_machine_comes_first_and_the_fast_one_last() {
        let levels: Vec<Level> = [("m1", 100.0), ("m2", 101.0), ("m3", 99.0), ("m4", 10.0), ("m5", 200.0)]
            .map(|(machine, value)| level(machine, "", value))
            .into();
        let judged = judge(&levels);
        let told: Vec<(&str, &str)> = judged.iter().map(|one| (one.name.as_str(), one.verdict())).collect();
        assert_eq!((told.len(), told[0], told[4]), (5, ("m4", "worse"), ("m5", "better")));
    }

    #[test]
    fn devices_are_compared_with_devices_of_their_type_and_two_are_too_few() {
        let levels = [level("m1", "disk-a", 1.0), level("m1", "disk-b", 2.0), level("m2", "disk-a", 3.0)];
        let judged = judge(&levels);
        assert!(judged.iter().all(|one| one.peers.0 == "device" && one.count == 3), "{judged:?}");
        assert_eq!(judge(&levels[..2]), []);
    }
}
