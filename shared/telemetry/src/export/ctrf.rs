//! The Common Test Report Format. It has one word for what went wrong: `failed`; `rawStatus` tells a failure of the product from trouble.

use serde_json::{Map, Value, json};

use super::Results;
use super::case::{Attempt, Case, Outcome};

/// The version of the format.
const SPECIFICATION: &str = "0.0.0";

pub(super) fn render(results: &Results) -> String {
    let cases = &results.cases;
    let count = |status: &str| cases.iter().filter(|case| self::status(case.last()) == status).count();
    let start = cases.iter().filter_map(|case| case.last().started).min().unwrap_or(0);
    let stop = cases.iter().filter_map(|case| case.last().ended).max().unwrap_or(start);
    let suites: std::collections::BTreeSet<&Vec<String>> = cases.iter().map(|case| &case.suite).collect();
    let summary = json!({
        "tests": cases.len(),
        "passed": count("passed"),
        "failed": count("failed"),
        "skipped": count("skipped"),
        "pending": count("pending"),
        "other": 0,
        "flaky": cases.iter().filter(|case| case.is_flaky()).count(),
        "suites": suites.len(),
        "start": start,
        "stop": stop,
    });
    let whole = json!({
        "reportFormat": "CTRF",
        "specVersion": SPECIFICATION,
        "generatedBy": "muster",
        "results": {
            "tool": {"name": "muster", "version": env!("CARGO_PKG_VERSION")},
            "summary": summary,
            "tests": cases.iter().map(test).collect::<Vec<_>>(),
            "environment": {"reportName": results.name},
        },
    });
    format!("{whole:#}\n")
}

fn test(case: &Case) -> Value {
    let last = case.last();
    let mut test = attempt(last);
    test.insert("name".into(), json!(case.name));
    test.insert("suite".into(), json!(case.suite));
    test.insert("rawStatus".into(), json!(last.raw));
    let extra: Map<String, Value> =
        last.properties.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    test.insert("extra".into(), Value::Object(extra));
    if !case.earlier().is_empty() {
        let earlier = case.earlier().iter().map(|one| {
            let mut object = attempt(one);
            object.insert("attempt".into(), json!(one.number));
            Value::Object(object)
        });
        test.insert("retryAttempts".into(), json!(earlier.collect::<Vec<_>>()));
        test.insert("retries".into(), json!(case.earlier().len()));
        test.insert("flaky".into(), json!(case.is_flaky()));
    }
    Value::Object(test)
}

/// What a test and an earlier attempt have in common.
fn attempt(attempt: &Attempt) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("status".into(), json!(status(attempt)));
    object.insert("duration".into(), json!(attempt.duration()));
    for (name, moment) in [("start", attempt.started), ("stop", attempt.ended)] {
        if let Some(moment) = moment {
            object.insert(name.into(), json!(moment));
        }
    }
    for (name, text) in [("message", &attempt.message), ("trace", &attempt.text)] {
        if !text.is_empty() {
            object.insert(name.into(), json!(text));
        }
    }
    object
}

fn status(attempt: &Attempt) -> &'static str {
    match attempt.outcome {
        Outcome::Pass => "passed",
        Outcome::Fail | Outcome::Error => "failed",
        Outcome::Skip => "skipped",
        Outcome::Unfinished => "pending",
    }
}
