//! A test case: a process with all of its attempts, or a task of a plan that never had one.

use std::collections::BTreeMap;

use muster_proto::v1::{Cell, ReportReply, Row, cell::Value};

/// What is told of each attempt beside its outcome, by the names of the columns.
const PROPERTIES: [&str; 11] = [
    "dpid",
    "machine",
    "machine_type",
    "kernel",
    "kernel_build_id",
    "devices",
    "module_version",
    "state",
    "exit_status",
    "corruptions",
    "actor",
];

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Well.
    Pass,
    /// The product failed.
    Fail,
    /// Nobody knows whether the product or the test failed, or the infrastructure did.
    Error,
    /// It was not tried.
    Skip,
    /// It has not ended.
    Unfinished,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempt {
    pub(super) number: i64,
    pub(super) outcome: Outcome,
    /// In one line.
    pub(super) message: String,
    /// What the process itself said.
    pub(super) text: String,
    /// Milliseconds since 1970; none where it never ran, or has not ended.
    pub(super) started: Option<i64>,
    pub(super) ended: Option<i64>,
    /// State and verdict in Muster's words.
    pub(super) raw: String,
    pub(super) properties: Vec<(&'static str, String)>,
}

impl Attempt {
    /// How long it ran, milliseconds.
    pub(super) fn duration(&self) -> i64 {
        self.started.zip(self.ended).map_or(0, |(started, ended)| (ended - started).max(0))
    }
}

/// A test case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    /// Where it belongs: step and task of a plan, else the module.
    pub(super) suite: Vec<String>,
    pub(super) name: String,
    /// At least one, in order.
    attempts: Vec<Attempt>,
}

impl Case {
    /// The attempt that counts.
    pub(super) fn last(&self) -> &Attempt {
        &self.attempts[self.attempts.len() - 1]
    }

    /// What was tried before.
    pub(super) fn earlier(&self) -> &[Attempt] {
        &self.attempts[..self.attempts.len() - 1]
    }

    /// It passed, but not at once.
    pub(super) fn is_flaky(&self) -> bool {
        self.last().outcome == Outcome::Pass && !self.earlier().is_empty()
    }
}

/// Cases of all pages; rows of one process follow each other.
pub(super) fn cases(pages: &[ReportReply]) -> Vec<Case> {
    let mut cases: Vec<(i64, Case)> = Vec::new();
    let mut untried = Vec::new();
    for page in pages {
        let names: BTreeMap<&str, usize> =
            page.columns.iter().enumerate().map(|(place, column)| (column.name.as_str(), place)).collect();
        for row in &page.rows {
            let read = Read { names: &names, row };
            match (read.integer("process"), cases.last_mut()) {
                (Some(process), Some((before, case))) if *before == process => case.attempts.push(read.attempt()),
                (Some(process), _) => cases.push((process, read.case())),
                (None, _) => untried.push(read.case()),
            }
        }
    }
    cases.into_iter().map(|(_, case)| case).chain(untried).collect()
}

/// One row, by the names of its columns.
struct Read<'a> {
    names: &'a BTreeMap<&'a str, usize>,
    row: &'a Row,
}

impl Read<'_> {
    fn cell(&self, name: &str) -> Option<&Cell> {
        self.row.cells.get(*self.names.get(name)?)
    }

    fn integer(&self, name: &str) -> Option<i64> {
        match self.cell(name)?.value {
            Some(Value::Integer(integer)) => Some(integer),
            Some(Value::Text(_) | Value::Number(_)) | None => None,
        }
    }

    fn text(&self, name: &str) -> String {
        match self.cell(name).and_then(|cell| cell.value.as_ref()) {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Integer(integer)) => integer.to_string(),
            Some(Value::Number(number)) => number.to_string(),
            None => String::new(),
        }
    }

    fn case(&self) -> Case {
        let [step, task, module, process] = ["step", "task", "module", "process"].map(|name| self.text(name));
        let suite = if step.is_empty() { vec![module.clone()] } else { vec![step, task.clone()] };
        // The same in every run, so that whoever reads many runs finds its history: the DPID and the machine are properties.
        let name = if process.is_empty() { task } else { format!("{module} {process}") };
        Case { suite, name, attempts: vec![self.attempt()] }
    }

    fn attempt(&self) -> Attempt {
        let [state, verdict, reason] = ["state", "verdict", "reason"].map(|name| self.text(name));
        let outcome = outcome(&state, &verdict);
        let message = match (reason.is_empty(), outcome) {
            (false, _) => reason,
            (true, Outcome::Pass) => String::new(),
            (true, _) => {
                [state.as_str(), &verdict].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
            }
        };
        let told = PROPERTIES.iter().map(|name| (*name, self.text(name)));
        Attempt {
            number: self.integer("attempt").unwrap_or(1),
            outcome,
            message,
            text: self.text("messages"),
            started: self.integer("running_ms").or_else(|| self.integer("placed_ms")),
            ended: self.integer("ended_ms"),
            raw: format!("{state}/{verdict}"),
            properties: told.filter(|(_, value)| !value.is_empty()).collect(),
        }
    }
}

/// Trouble of the infrastructure is never a failure of the product.
fn outcome(state: &str, verdict: &str) -> Outcome {
    match (state, verdict) {
        (_, "fail") => Outcome::Fail,
        (_, "error") | ("dead" | "lost" | "replaced" | "failed", _) => Outcome::Error,
        (_, "skip") | ("skipped", _) => Outcome::Skip,
        ("finished" | "completed", _) => Outcome::Pass,
        (_, _) => Outcome::Unfinished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_verdicts_are_outcomes() {
        for (state, verdict, wanted) in [
            ("finished", "pass", Outcome::Pass),
            ("finished", "none", Outcome::Pass),
            ("finished", "fail", Outcome::Fail),
            ("dead", "fail", Outcome::Fail),
            ("dead", "error", Outcome::Error),
            ("lost", "none", Outcome::Error),
            ("replaced", "none", Outcome::Error),
            ("finished", "skip", Outcome::Skip),
            ("skipped", "", Outcome::Skip),
            ("failed", "", Outcome::Error),
            ("running", "none", Outcome::Unfinished),
        ] {
            assert_eq!(outcome(state, verdict), wanted, "{state} {verdict}");
        }
    }
}
