//! The Test Anything Protocol, version 13: one line for each case, and a block of YAML where there is more to say.

use std::fmt::Write as _;

use serde_json::json;

use super::Results;
use super::case::{Attempt, Case, Outcome};

pub(super) fn render(results: &Results) -> String {
    let mut text = format!("TAP version 13\n1..{}", results.cases.len());
    // A plan of nothing says why.
    text.push_str(if results.cases.is_empty() { " # SKIP there are no processes\n" } else { "\n" });
    let _ = writeln!(text, "# {}", plain(&results.name));
    for (place, case) in results.cases.iter().enumerate() {
        let last = case.last();
        let name = plain(&format!("{}: {}", case.suite.join(" / "), case.name));
        let (ok, directive) = match last.outcome {
            Outcome::Pass => ("ok", String::new()),
            Outcome::Fail | Outcome::Error => ("not ok", String::new()),
            Outcome::Skip => ("ok", format!(" # SKIP {}", plain(&last.message))),
            Outcome::Unfinished => ("ok", format!(" # SKIP it has not ended: {}", plain(&last.raw))),
        };
        let _ = writeln!(text, "{ok} {} - {name}{directive}", place + 1);
        write_block(&mut text, case);
    }
    text
}

/// Values are written as JSON has them, which is YAML too.
fn write_block(text: &mut String, case: &Case) {
    let last = case.last();
    let mut lines = vec![("duration_ms", json!(last.duration()))];
    if !last.message.is_empty() {
        lines.push(("message", json!(last.message)));
    }
    if last.outcome == Outcome::Error {
        lines.push(("severity", json!("error")));
    }
    if !last.text.is_empty() {
        lines.push(("diagnostics", json!(last.text)));
    }
    lines.extend(last.properties.iter().map(|(name, value)| (*name, json!(value))));
    if !case.earlier().is_empty() {
        lines.push(("attempts", json!(case.earlier().len() + 1)));
        let told = case.earlier().iter().map(attempt).collect::<Vec<_>>().join("; ");
        lines.push(("earlier", json!(told)));
    }
    text.push_str("  ---\n");
    for (name, value) in lines {
        let _ = writeln!(text, "  {name}: {value}");
    }
    text.push_str("  ...\n");
}

fn attempt(attempt: &Attempt) -> String {
    format!("attempt {}: {} {}", attempt.number, attempt.raw, attempt.message)
}

/// In one line, without what begins a directive.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '#' { ' ' } else { c }).collect()
}
