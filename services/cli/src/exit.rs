//! How a command ends: the documented exit codes, and the one line that says why.

use std::process::ExitCode;

use muster_bus::{BusError, CredentialsError};
use muster_model::{Place, Refusal};

/// Exit codes with their meaning, for docs/cli.md and the help text.
pub(crate) const EXIT_CODES: &[(u8, &str)] = &[
    (0, "done"),
    (1, "failed"),
    (2, "the command line, or what was asked for, is wrong"),
    (3, "refused in the present state, or not confirmed"),
    (4, "what is named does not exist"),
    (5, "timed out waiting"),
    (6, "quorum not reached: a reservation ended before it was ready"),
    (
        7,
        "tests failed: a verdict `fail` or `error`, or a process dead or lost; of a plan, a task that failed or was skipped; of a comparison, a metric that has become worse",
    ),
    (69, "the bus, or the service that is asked, can not be reached"),
];

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for is wrong, and was seen to be before anything was asked.
    Usage(String),
    /// A refusal, by a service or by ourselves.
    Refused(Refusal),
    /// What was waited for did not come in time.
    TimedOut(String),
    /// A reservation ended before it was ready.
    QuorumNotReached(String),
    /// Tests failed.
    TestsFailed(String),
    /// Nobody can be asked.
    Unreachable(String),
    /// Whoever reads our stdout went away: nothing is wrong.
    OutputClosed,
    /// Anything else.
    Other(anyhow::Error),
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Other(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(refusal) => refusal.code.exit_code(),
            Self::TimedOut(_) => 5,
            Self::QuorumNotReached(_) => 6,
            Self::TestsFailed(_) => 7,
            Self::Unreachable(_) => 69,
        }
    }

    /// What is printed on stderr; empty where nothing is to be said.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::OutputClosed => String::new(),
            Self::Refused(refusal) => refusal_text(refusal),
            Self::Other(error) => format!("muster: {}\n", one_line(&format!("{error:#}"))),
            Self::Usage(text)
            | Self::TimedOut(text)
            | Self::QuorumNotReached(text)
            | Self::TestsFailed(text)
            | Self::Unreachable(text) => format!("muster: {}\n", one_line(text)),
        }
    }

    /// Says it on stderr, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        eprint!("{}", self.text());
        ExitCode::from(self.exit_code())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<CredentialsError> for Failure {
    fn from(error: CredentialsError) -> Self {
        Self::Usage(format!("failed to {error}"))
    }
}

impl From<BusError> for Failure {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Unreachable { .. }
            | BusError::TooOld { .. }
            | BusError::NotAdmitted { .. }
            | BusError::Open { .. } => Self::Unreachable(format!("failed to {error}")),
            BusError::Credentials(error) => error.into(),
            BusError::Failed { .. } => Self::Other(anyhow::anyhow!("failed to {error}")),
        }
    }
}

fn refusal_text(refusal: &Refusal) -> String {
    let mut text = format!("muster: {}\n", one_line(&refusal.to_string()));
    if let Some(place) = &refusal.place {
        text.push_str(&marked(place));
    }
    text
}

/// The text that is wrong, with carets under the wrong place.
fn marked(place: &Place) -> String {
    let column = |byte: usize| place.text.char_indices().take_while(|(at, _)| *at < byte).count();
    let (from, to) = (column(place.from), column(place.to));
    let carets = "^".repeat(to.saturating_sub(from).max(1));
    format!("  {}\n  {}{carets}\n", one_line(&place.text), " ".repeat(from))
}

/// The text without characters that would break the line or the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use muster_model::RefusalCode;

    use super::*;

    #[test]
    fn every_failure_has_its_documented_exit_code() {
        let refused = |code| Failure::Refused(Refusal::new(code, "start x", "why", "next"));
        let table = [
            (Failure::OutputClosed, 0),
            (Failure::Other(anyhow::anyhow!("x")), 1),
            (Failure::Usage("x".into()), 2),
            (refused(RefusalCode::Invalid), 2),
            (refused(RefusalCode::Refused), 3),
            (refused(RefusalCode::TooOld), 3),
            (refused(RefusalCode::Limit), 3),
            (refused(RefusalCode::NotFound), 4),
            (Failure::TimedOut("x".into()), 5),
            (Failure::QuorumNotReached("x".into()), 6),
            (Failure::TestsFailed("x".into()), 7),
            (refused(RefusalCode::Unavailable), 69),
            (Failure::Unreachable("x".into()), 69),
        ];
        for (failure, code) in table {
            assert_eq!(failure.exit_code(), code, "{failure:?}");
            assert!(EXIT_CODES.iter().any(|(documented, _)| *documented == code));
        }
    }

    #[test]
    fn a_refusal_is_one_line_and_a_caret_under_the_wrong_place() {
        let place = Place { text: "cpus>= and arch=x".into(), from: 4, to: 6 };
        let refusal =
            Refusal::new(RefusalCode::Invalid, "start high-io", "the selector lacks a number", "write `cpus>=4`");
        let text = Failure::Refused(refusal.at(place)).text();
        insta::assert_snapshot!(text, @r"
        muster: start high-io: the selector lacks a number; write `cpus>=4`
          cpus>= and arch=x
              ^^
        ");
    }

    #[test]
    fn carets_count_characters_and_a_place_at_the_end_gets_one() {
        let end = marked(&Place { text: "ä=".into(), from: 3, to: 3 });
        assert_eq!(end, "  ä=\n    ^\n");
    }
}
