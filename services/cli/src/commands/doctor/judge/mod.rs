//! Judges what was found. Pure: the same findings give the same checks.

mod agents;
mod bus;
mod services;
mod store;
#[cfg(test)]
mod tests;

use super::found::Found;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warn,
    /// Something does not work.
    Fail,
}

impl Outcome {
    /// The word for people and programs alike.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) name: String,
    /// How it came out.
    pub(super) outcome: Outcome,
    /// What was found.
    pub(super) found: String,
    /// Why that is not well; empty where it is.
    pub(super) why: String,
    /// What to do next; empty where nothing is to be done.
    pub(super) next: String,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.into(), outcome: Outcome::Ok, found: found.into(), why: String::new(), next: String::new() }
    }

    fn warn(name: impl Into<String>, found: impl Into<String>, reason: Reason<'_>) -> Self {
        Self::bad(name, Outcome::Warn, found, reason)
    }

    fn fail(name: impl Into<String>, found: impl Into<String>, reason: Reason<'_>) -> Self {
        Self::bad(name, Outcome::Fail, found, reason)
    }

    fn bad(name: impl Into<String>, outcome: Outcome, found: impl Into<String>, reason: Reason<'_>) -> Self {
        let Reason { why, next } = reason;
        Self { name: name.into(), outcome, found: found.into(), why: why.to_owned(), next: next.to_owned() }
    }
}

/// Why something is not well, and what to do.
#[derive(Clone, Copy)]
struct Reason<'a> {
    why: &'a str,
    next: &'a str,
}

/// All checks, in the order in which somebody would look: what everything rests on first.
pub(super) fn judge(found: &Found) -> Vec<Check> {
    let mut checks = bus::judge(found);
    for service in &found.services {
        checks.extend(services::judge(found, service));
    }
    checks.extend(store::judge(found));
    checks.extend(agents::judge(found));
    checks
}

/// The first of some names, and how many more there are.
fn named(names: &[&str]) -> String {
    const NAMED_MAX: usize = 8;
    let shown = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
