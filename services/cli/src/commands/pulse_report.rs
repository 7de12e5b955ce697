//! `muster report pulses`: what pulses came to, by process: the real duty, and how late processes woke after edges.
//!
//! The answer is that of `report perf --by process` for four metrics, with one row for each process.

use std::collections::BTreeMap;

use muster_proto::v1::{self, cell::Value};

/// Counters and gauges that the SDK says of a process with pulses.
const METRICS: [&str; 4] = ["blocked_seconds", "gated_seconds", "pulse_late_max_seconds", "pulse_late_p50_seconds"];

/// The question.
pub(super) fn query(job: u32) -> v1::PerfQuery {
    v1::PerfQuery {
        filter: Some(v1::ReportFilter { job, ..Default::default() }),
        by: v1::Dimension::Process.into(),
        metrics: METRICS.map(str::to_owned).into(),
        bucket_ns: 0,
    }
}

/// One row for each process.
pub(super) fn by_process(reply: &v1::ReportReply) -> v1::ReportReply {
    let column = |name: &str| reply.columns.iter().position(|column| column.name == name);
    let mut found = BTreeMap::<String, BTreeMap<String, f64>>::new();
    if let (Some(process), Some(metric), Some(total), Some(avg), Some(max)) =
        (column("process"), column("metric"), column("total"), column("avg"), column("max"))
    {
        for row in &reply.rows {
            let (Some(name), Some(what)) = (text(row, process), text(row, metric)) else { continue };
            let value = match what {
                "pulse_late_max_seconds" => number(row, max),
                "pulse_late_p50_seconds" => number(row, avg),
                _ => number(row, total),
            };
            found.entry(name.to_owned()).or_default().extend(value.map(|value| (what.to_owned(), value)));
        }
    }
    let numeric = |name: &str| v1::Column { name: name.into(), numeric: true };
    let mut columns = vec![v1::Column { name: "process".into(), numeric: false }];
    columns.extend(["gated_seconds", "blocked_seconds", "duty", "late_p50_seconds", "late_max_seconds"].map(numeric));
    let mut notes = reply.notes.clone();
    notes.extend(summed(&found));
    let rows = found.into_iter().map(|(process, values)| row(process, &values)).collect();
    notes
        .push("duty: part of the time with pulses in which it was blocked; late: from an edge until it went on".into());
    v1::ReportReply { title: "pulses by process".into(), columns, rows, notes }
}

/// What all processes came to together: how far apart their duties are, and how far behind an edge the last of them was.
fn summed(found: &BTreeMap<String, BTreeMap<String, f64>>) -> Option<String> {
    let of = |name: &str| found.values().filter_map(|values| values.get(name).copied()).collect::<Vec<_>>();
    let mut duties: Vec<f64> = found.values().filter_map(duty).collect();
    duties.sort_by(f64::total_cmp);
    let (least, most) = (duties.first()?, duties.last()?);
    let head = format!("{} processes: duty {least:.3} to {most:.3}", duties.len());
    let mut typical = of(METRICS[3]);
    typical.sort_by(f64::total_cmp);
    let latest = of(METRICS[2]).into_iter().max_by(f64::total_cmp);
    let (Some(typical), Some(latest)) = (typical.get(typical.len() / 2), latest) else { return Some(head) };
    Some(format!(
        "{head}; skew of edges: half of them went on within {:.1} ms, all within {:.1} ms",
        typical * 1e3,
        latest * 1e3
    ))
}

/// Part of the time with pulses in which a process was blocked. One that was never blocked says nothing of it.
fn duty(values: &BTreeMap<String, f64>) -> Option<f64> {
    let [blocked, gated] = [METRICS[0], METRICS[1]].map(|name| values.get(name).copied());
    gated.filter(|gated| *gated > 0.0).map(|gated| blocked.unwrap_or(0.0) / gated)
}

fn row(process: String, values: &BTreeMap<String, f64>) -> v1::Row {
    let [blocked, gated, max, p50] = METRICS.map(|name| values.get(name).copied());
    let cell = |value: Option<f64>| v1::Cell { value: value.map(Value::Number) };
    let mut cells = vec![v1::Cell { value: Some(Value::Text(process)) }];
    cells.extend([gated, blocked, duty(values), p50, max].map(cell));
    v1::Row { cells }
}

fn text(row: &v1::Row, place: usize) -> Option<&str> {
    match row.cells.get(place)?.value.as_ref()? {
        Value::Text(text) => Some(text),
        Value::Number(_) | Value::Integer(_) => None,
    }
}

fn number(row: &v1::Row, place: usize) -> Option<f64> {
    match row.cells.get(place)?.value.as_ref()? {
        Value::Number(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        Value::Text(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_metrics_become_rows_of_processes() {
        let names = ["process", "metric", "total", "avg", "max"];
        let columns = names.map(|name| v1::Column { name: name.into(), numeric: false }).into();
        let row = |process: &str, metric: &str, value: f64| v1::Row {
            cells: [Value::Text(process.into()), Value::Text(metric.into())]
                .into_iter()
                .chain([value, value, value].map(Value::Number))
                .map(|value| v1::Cell { value: Some(value) })
                .collect(),
        };
        let rows = vec![
            row("00010001", "blocked_seconds", 3.0),
            row("00010001", "gated_seconds", 10.0),
            row("00010001", "pulse_late_max_seconds", 0.002),
            row("00010001", "pulse_late_p50_seconds", 0.001),
            row("00010002", "gated_seconds", 4.0),
        ];
        let told = by_process(&v1::ReportReply { columns, rows, ..Default::default() });
        assert_eq!(told.rows.len(), 2);
        assert_eq!((number(&told.rows[0], 3), number(&told.rows[0], 5)), (Some(0.3), Some(0.002)));
        assert_eq!((number(&told.rows[1], 3), number(&told.rows[1], 5)), (Some(0.0), None));
        let note =
            "2 processes: duty 0.000 to 0.300; skew of edges: half of them went on within 1.0 ms, all within 2.0 ms";
        assert_eq!(told.notes[0], note);
    }
}
