//! The Test Anything Protocol, version 14, and its dialect of the Linux kernel.
//!
//! Only the outermost test points count: what a subtest says is in the point that follows it.

use muster_sdk::float;

use super::{Parser, Reasons, Said, Sample, Verdict, ended_by};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Tap,
    Ktap,
}

/// What was said so far.
#[derive(Debug)]
pub(super) struct Tap {
    dialect: Dialect,
    /// How many points were announced.
    plan: Option<u64>,
    /// Why none are to come.
    skip_all: Option<String>,
    bailed_out: Option<String>,
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Known to fail.
    todo: u64,
    /// A point whose number is not the next one.
    disordered: Option<String>,
    failures: Reasons,
    skips: Reasons,
}

/// One test point.
struct Point<'a> {
    ok: bool,
    number: Option<u64>,
    name: &'a str,
    /// In upper case, and what follows it.
    directive: Option<(String, &'a str)>,
}

impl Tap {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            plan: None,
            skip_all: None,
            bailed_out: None,
            passed: 0,
            failed: 0,
            skipped: 0,
            todo: 0,
            disordered: None,
            failures: Reasons::default(),
            skips: Reasons::default(),
        }
    }

    fn points(&self) -> u64 {
        self.passed + self.failed + self.skipped + self.todo
    }

    fn point(&mut self, point: &Point<'_>) {
        let next = self.points() + 1;
        if point.number.is_some_and(|number| number != next) && self.disordered.is_none() {
            self.disordered = Some(format!("test {} came where {next} was next", point.number.unwrap_or(0)));
        }
        let number = point.number.unwrap_or(next);
        let directive = point.directive.as_ref().map(|(name, reason)| (name.as_str(), *reason));
        match (directive, point.ok) {
            (Some(("SKIP", reason)), _) => {
                self.skipped += 1;
                self.skips.add(if reason.is_empty() { point.name } else { reason });
            }
            (Some(("TODO", _)), _) => self.todo += 1,
            (Some(("XFAIL", _)), _) if self.dialect == Dialect::Ktap => self.todo += 1,
            (_, true) => self.passed += 1,
            (directive, false) => {
                self.failed += 1;
                let why = directive.map_or_else(String::new, |(name, reason)| format!(" ({name} {reason})"));
                let name = if point.name.is_empty() { String::new() } else { format!(" {}", point.name) };
                self.failures.add(&format!("test {number}{name}{why} failed"));
            }
        }
    }

    fn said(&self, code: Option<i32>) -> Said {
        if self.failed > 0 {
            return Said::Fail(self.failures.text());
        }
        if let Some(reason) = &self.bailed_out {
            return Said::Error(format!("it bailed out: {reason}"));
        }
        if let Some(reason) = &self.skip_all {
            return Said::Skip(reason.clone());
        }
        let points = self.points();
        match self.plan {
            None if points == 0 => {
                return Said::Error(format!("it printed no test results, and ended by {}", ended_by(code)));
            }
            // In the kernel's dialect a plan may be missing.
            None if self.dialect == Dialect::Tap => {
                return Said::Error("it printed no plan, like 1..4: cut off?".into());
            }
            Some(plan) if plan != points => {
                return Said::Fail(format!("{plan} tests were planned and {points} came"));
            }
            _ => {}
        }
        if let Some(disorder) = &self.disordered {
            return Said::Error(disorder.clone());
        }
        match code {
            Some(0) if self.passed + self.todo == 0 && self.skipped > 0 => Said::Skip(self.skips.text()),
            Some(0) => Said::Pass,
            _ => Said::Fail(format!("no test failed, but it ended by {}", ended_by(code))),
        }
    }
}

impl Parser for Tap {
    fn line(&mut self, line: &str) -> Option<Sample> {
        if line.starts_with([' ', '\t', '#']) {
            return None;
        }
        if let Some(reason) = line.strip_prefix("Bail out!") {
            self.bailed_out.get_or_insert_with(|| reason.trim().to_owned());
        } else if let Some((plan, reason)) = plan(line) {
            self.plan = Some(plan);
            self.skip_all = (plan == 0).then(|| reason.to_owned());
        } else if let Some(point) = point(line) {
            self.point(&point);
            return Some(Sample { counters: self.counts(), gauges: Vec::new() });
        }
        None
    }

    fn finish(&mut self, code: Option<i32>) -> Verdict {
        let (passed, failed, skipped, todo) = (self.passed, self.failed, self.skipped, self.todo);
        let text = format!("{passed} passed, {failed} failed, {skipped} skipped, {todo} known to fail");
        Verdict { said: self.said(code), totals: self.counts(), text }
    }
}

impl Tap {
    fn counts(&self) -> super::Values {
        let counts = [
            ("tests_passed", self.passed),
            ("tests_failed", self.failed),
            ("tests_skipped", self.skipped),
            ("tests_todo", self.todo),
        ];
        counts.into_iter().map(|(name, count)| (name.to_owned(), float(count))).collect()
    }
}

/// `1..4`, `1..0 # SKIP no disk`.
fn plan(line: &str) -> Option<(u64, &str)> {
    let rest = line.strip_prefix("1..")?;
    let (count, comment) = rest.split_once('#').unwrap_or((rest, ""));
    let comment = comment.trim();
    let is_skip = comment.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("skip"));
    let reason = if is_skip { comment[4..].trim_start_matches(char::is_alphabetic).trim() } else { comment };
    Some((count.trim().parse().ok()?, reason))
}

/// `ok 3 - name # SKIP why`.
fn point(line: &str) -> Option<Point<'_>> {
    let (ok, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start();
    let digits = rest.len() - rest.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let number = rest[..digits].parse().ok();
    let (name, directive) = directive(&rest[digits..]);
    let name = name.trim().trim_start_matches("- ").trim();
    Some(Point { ok, number, name, directive })
}

/// The name, and what follows a `#` that is not escaped.
fn directive(text: &str) -> (&str, Option<(String, &str)>) {
    let hashes = text.match_indices('#').map(|(at, _)| at);
    let Some(at) = hashes.into_iter().find(|at| !text[..*at].ends_with('\\')) else { return (text, None) };
    let comment = text[at + 1..].trim();
    let end = comment.find(|character: char| !character.is_alphabetic()).unwrap_or(comment.len());
    let (word, reason) = comment.split_at(end);
    let word = word.to_ascii_uppercase();
    let word = if word.starts_with("SKIP") { "SKIP".to_owned() } else { word };
    (&text[..at], Some((word, reason.trim_start_matches(':').trim())))
}
