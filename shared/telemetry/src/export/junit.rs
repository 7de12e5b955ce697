//! JUnit XML. What was tried again is told as Maven Surefire does, which most readers know: `flakyFailure` and `rerunFailure`.

use std::fmt::Write as _;

use super::Results;
use super::case::{Attempt, Case, Outcome};
use crate::render::xml::escaped;

pub(super) fn render(results: &Results) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all: Vec<&Case> = results.cases.iter().collect();
    open(&mut text, "<testsuites", &results.name, &all, "");
    for suite in suites(&all) {
        let started = suite.iter().filter_map(|case| case.last().started).min();
        let timestamp = started.map_or_else(String::new, |ms| format!(" timestamp=\"{}\"", moment(ms)));
        open(&mut text, "  <testsuite", &suite[0].suite.join("."), &suite, &timestamp);
        suite.iter().for_each(|case| write_case(&mut text, case));
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// Cases by their suite, in the order of the first of each.
fn suites<'a>(cases: &[&'a Case]) -> Vec<Vec<&'a Case>> {
    let mut suites: Vec<Vec<&Case>> = Vec::new();
    for case in cases {
        match suites.iter_mut().find(|suite| suite[0].suite == case.suite) {
            Some(suite) => suite.push(case),
            None => suites.push(vec![case]),
        }
    }
    suites
}

fn open(text: &mut String, element: &str, name: &str, cases: &[&Case], more: &str) {
    let count = |outcome: Outcome| cases.iter().filter(|case| case.last().outcome == outcome).count();
    let skipped = count(Outcome::Skip) + count(Outcome::Unfinished);
    let seconds = seconds(cases.iter().map(|case| case.last().duration()).sum());
    let _ = writeln!(
        text,
        "{element} name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{skipped}\" time=\"{seconds}\"{more}>",
        escaped(name),
        cases.len(),
        count(Outcome::Fail),
        count(Outcome::Error)
    );
}

fn write_case(text: &mut String, case: &Case) {
    let last = case.last();
    let _ = writeln!(
        text,
        "    <testcase name=\"{}\" classname=\"{}\" time=\"{}\">",
        escaped(&case.name),
        escaped(&case.suite.join(".")),
        seconds(last.duration())
    );
    if !last.properties.is_empty() {
        text.push_str("      <properties>\n");
        for (name, value) in &last.properties {
            let _ = writeln!(text, "        <property name=\"{name}\" value=\"{}\"/>", escaped(value));
        }
        text.push_str("      </properties>\n");
    }
    match last.outcome {
        Outcome::Pass => {}
        Outcome::Fail => trouble(text, "failure", last),
        Outcome::Error => trouble(text, "error", last),
        Outcome::Skip => skipped(text, &last.message),
        Outcome::Unfinished => skipped(text, &format!("it has not ended: {}", last.raw)),
    }
    for attempt in case.earlier() {
        let element = match (last.outcome, attempt.outcome) {
            (Outcome::Pass, Outcome::Fail) => "flakyFailure",
            (Outcome::Pass, _) => "flakyError",
            (_, Outcome::Fail) => "rerunFailure",
            (_, _) => "rerunError",
        };
        trouble(text, element, attempt);
    }
    text.push_str("    </testcase>\n");
}

fn trouble(text: &mut String, element: &str, attempt: &Attempt) {
    let (message, kind) = (escaped(&attempt.message), escaped(&attempt.raw));
    let own = if attempt.text.is_empty() { attempt.message.as_str() } else { attempt.text.as_str() };
    let stack = |body: String| {
        if element.starts_with("flaky") || element.starts_with("rerun") {
            format!("<stackTrace>{body}</stackTrace>")
        } else {
            body
        }
    };
    let _ =
        writeln!(text, "      <{element} message=\"{message}\" type=\"{kind}\">{}</{element}>", stack(escaped(own)));
}

fn skipped(text: &mut String, message: &str) {
    let _ = writeln!(text, "      <skipped message=\"{}\"/>", escaped(message));
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Without a zone, as the schema of JUnit has it: UTC.
fn moment(ms: i64) -> String {
    let text = crate::time::text(ms.saturating_mul(1_000_000));
    text.split('.').next().unwrap_or_default().to_owned()
}
