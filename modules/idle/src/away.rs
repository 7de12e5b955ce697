//! Takes its own machine away, and counts how often in the directory that its later attempts find again.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use muster_sdk::{Absence, Autosync, Ending, ParameterError, Parameters, Session, Synced, Vote};

/// A look at whether the machine is still here.
const LOOK: Duration = Duration::from_millis(100);
/// What the kernel is told to crash by.
const SYSRQ: &str = "/proc/sysrq-trigger";

/// How a process takes its machine away, or meets others, round by round.
pub(crate) struct Trip {
    /// None where it stays.
    absence: Option<Absence>,
    /// Who goes; 0 is every process.
    process: u64,
    rounds: u64,
    within: Duration,
    sync: bool,
    pause: Duration,
}

impl Trip {
    /// None where it neither goes away nor meets others.
    pub(crate) fn read(parameters: Parameters<'_>) -> Result<Option<Self>, ParameterError> {
        let trip = Self {
            absence: Absence::parse(parameters.text("away")?),
            process: parameters.count("away_process")?,
            rounds: parameters.count("rounds")?,
            within: parameters.duration("back_within")?,
            sync: parameters.boolean("sync")?,
            pause: parameters.duration("sync_pause")?,
        };
        Ok((trip.absence.is_some() || trip.sync).then_some(trip))
    }

    /// All rounds that are left.
    pub(crate) fn go(&self, session: &Session) -> Ending {
        match self.rounds(session) {
            Ok(rounds) => Ending::pass().total("rounds_count", rounds as f64),
            Err(_) if session.stopping() => Ending::pass(),
            Err(why) => Ending::error(&why),
        }
    }

    fn rounds(&self, session: &Session) -> Result<u64, String> {
        let path = session.saved().join("rounds");
        let mut done = std::fs::read_to_string(&path).ok().and_then(|count| count.trim().parse().ok()).unwrap_or(0);
        let mut together = self.sync.then(|| session.autosync(self.within).after(done));
        let own = u64::from(session.context().process);
        let pause = self.pause.saturating_mul(session.context().process);
        while done < self.rounds {
            if session.wait(pause) {
                return Err("stopped".into());
            }
            if let Some(together) = &mut together {
                meet(together)?;
            }
            done += 1;
            session.iterate(1);
            if let Some(absence) = self.absence.filter(|_| self.process == 0 || self.process == own) {
                note(&path, done).map_err(|error| format!("write {}: {error}", path.display()))?;
                self.go_away(session, absence, done)?;
            }
        }
        Ok(done)
    }

    /// It does not return where the machine goes.
    fn go_away(&self, session: &Session, absence: Absence, round: u64) -> Result<(), String> {
        session.expect(absence, self.within, &format!("round {round} of {}", self.rounds))?;
        let went = match absence {
            Absence::Reboot => Ok(()),
            Absence::Shutdown => std::process::Command::new("poweroff").status().map(drop),
            Absence::Crash => std::fs::write(SYSRQ, "c"),
        };
        went.map_err(|error| format!("{absence} the machine: {error}"))?;
        while session.expects() {
            if session.wait(LOOK) {
                return Err("stopped".into());
            }
        }
        Err(format!("the {absence} that was announced did not happen"))
    }
}

fn meet(together: &mut Autosync<'_>) -> Result<(), String> {
    match together.iterate(Vote::Yes) {
        Some(synced) if synced.all_agree() => Ok(()),
        Some(Synced { end, by, why, .. }) => Err(format!("the sync point ended: {end:?} {by} {why}")),
        None => Err("stopped".into()),
    }
}

/// Writes the count so that it survives what follows.
fn note(path: &Path, count: u64) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(count.to_string().as_bytes())?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
