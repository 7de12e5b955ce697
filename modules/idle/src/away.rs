//! Takes its own machine away, and counts how often in the directory that its later attempts find again.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use muster_sdk::{Absence, Ending, ParameterError, Parameters, Session};

/// A look at whether the machine is still here.
const LOOK: Duration = Duration::from_millis(100);
/// What the kernel is told to crash by.
const SYSRQ: &str = "/proc/sysrq-trigger";

/// How a process takes its machine away.
pub(crate) struct Trip {
    absence: Absence,
    rounds: u64,
    within: Duration,
}

impl Trip {
    /// None where it stays.
    pub(crate) fn read(parameters: Parameters<'_>) -> Result<Option<Self>, ParameterError> {
        let Some(absence) = Absence::parse(parameters.text("away")?) else { return Ok(None) };
        let (rounds, within) = (parameters.count("rounds")?, parameters.duration("back_within")?);
        Ok(Some(Self { absence, rounds, within }))
    }

    /// One round; the end once there are no more, or the machine stays.
    pub(crate) fn go(&self, session: &Session) -> Ending {
        let rounds = session.saved().join("rounds");
        let gone = std::fs::read_to_string(&rounds).ok().and_then(|count| count.trim().parse().ok()).unwrap_or(0);
        if gone >= self.rounds {
            return Ending::pass().total("rounds_count", gone as f64);
        }
        if let Err(error) = note(&rounds, gone + 1) {
            return Ending::error(&format!("write {}: {error}", rounds.display()));
        }
        let round = format!("round {} of {}", gone + 1, self.rounds);
        if let Err(why) = session.expect(self.absence, self.within, &round) {
            return if session.stopping() { Ending::pass() } else { Ending::error(&why) };
        }
        let went = match self.absence {
            Absence::Reboot => Ok(()),
            Absence::Shutdown => std::process::Command::new("poweroff").status().map(drop),
            Absence::Crash => std::fs::write(SYSRQ, "c"),
        };
        if let Err(error) = went {
            return Ending::error(&format!("{} the machine: {error}", self.absence));
        }
        while session.expects() {
            if session.wait(LOOK) {
                return Ending::pass();
            }
        }
        Ending::error(&format!("the {} that was announced did not happen", self.absence))
    }
}

/// Writes the count so that it survives what follows.
fn note(path: &Path, count: u64) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(count.to_string().as_bytes())?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
