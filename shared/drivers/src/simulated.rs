//! Power and snapshots of a lab's machines: files in a folder, with faults by script. Nothing on the host is changed.
//!
//! `MACHINE.power` is `on` or `off`; a machine without it is on. `MACHINE.faults` has a line for each action to come, the first one first:
//! `ok`, `fail` (it says no), `hang` (it never answers), `lie` (it says done and does nothing), `slow 3s` (it takes that long); with `ever`
//! before it, the line stays. `MACHINE.done` gets a line for each action that was asked, `MACHINE.effects` one for each that took effect: a
//! simulated machine obeys those. `MACHINE.memory` is what a dump writes. Tests write the faults and read the rest.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use muster_model::power::{SimulatedPower, SimulatedSnapshot, Template};
use muster_model::quantity::parse_duration;
use muster_model::{MachineId, PowerAction, PowerState, SnapshotAction};
use tokio::time::{sleep, sleep_until};

use crate::{Answer, Deadline, Done, DriverError, PowerDriver, SnapshotDriver};

/// The folder where a setting names none, below that of temporary files.
const DIRECTORY: &str = "muster-simulated";

/// The files of one machine.
#[derive(Debug, Clone)]
pub struct Files {
    directory: PathBuf,
    machine: MachineId,
}

impl Files {
    /// The files of a machine in a folder.
    #[must_use]
    pub fn new(directory: &Path, machine: &MachineId) -> Self {
        Self { directory: directory.to_owned(), machine: machine.clone() }
    }

    fn of(directory: Option<&Template>, machine: &MachineId) -> Self {
        let default = || std::env::temp_dir().join(DIRECTORY);
        Self::new(&directory.map_or_else(default, |folder| folder.fill(machine).into()), machine)
    }

    /// One of them, by its ending: `power`, `faults`, `done`, `effects` or `snapshots`.
    #[must_use]
    pub fn path(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.machine))
    }

    fn read(&self, ending: &str) -> io::Result<String> {
        match fs::read_to_string(self.path(ending)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read,
        }
    }

    fn write(&self, ending: &str, text: &str) -> io::Result<()> {
        // A reader sees the old content or the new.
        let fresh = self.path("fresh");
        fs::write(&fresh, text)?;
        fs::rename(fresh, self.path(ending))
    }

    fn append(&self, ending: &str, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(ending))?;
        writeln!(file, "{line}")
    }

    /// Writes an action down and takes the fault that it meets.
    fn begin(&self, action: &str) -> io::Result<Fault> {
        fs::create_dir_all(&self.directory)?;
        let lock = File::create(self.path("lock"))?;
        lock.lock()?;
        self.append("done", action)?;
        let faults = self.read("faults")?;
        let (first, rest) = faults.split_once('\n').unwrap_or((&faults, ""));
        match first.trim().strip_prefix("ever ") {
            Some(lasting) => Fault::parse(lasting),
            None => {
                if !faults.is_empty() {
                    self.write("faults", rest)?;
                }
                Fault::parse(first)
            }
        }
    }

    /// Meets the machine's next fault, and does the thing unless that is in its way.
    async fn act(
        &self,
        action: &str,
        deadline: Deadline,
        take_effect: impl FnOnce(&Self) -> io::Result<()>,
    ) -> Result<Done, DriverError> {
        match self.begin(action).map_err(|error| self.unable(&error))? {
            Fault::None => {}
            Fault::Fail => {
                return Err(DriverError::Refused(format!("{}: the script of faults says `fail`", self.machine)));
            }
            Fault::Lie => return Ok(Done::Done),
            Fault::Hang => {
                sleep_until(deadline.at()).await;
                let given = deadline.given();
                return Err(DriverError::Unclear(format!("{}: no answer within {given:?}", self.machine)));
            }
            Fault::Slow(time) => sleep(time).await,
        }
        take_effect(self).and_then(|()| self.append("effects", action)).map_err(|error| self.unable(&error))?;
        Ok(Done::Done)
    }

    fn unable(&self, error: &io::Error) -> DriverError {
        DriverError::Unable(format!("the simulated machine {} in {}: {error}", self.machine, self.directory.display()))
    }
}

/// What is in the way of an action.
enum Fault {
    None,
    Fail,
    Hang,
    Lie,
    Slow(std::time::Duration),
}

impl Fault {
    fn parse(line: &str) -> io::Result<Self> {
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("" | "ok", "") => Ok(Self::None),
            ("fail", "") => Ok(Self::Fail),
            ("hang", "") => Ok(Self::Hang),
            ("lie", "") => Ok(Self::Lie),
            ("slow", time) => parse_duration(time).map(Self::Slow).map_err(io::Error::other),
            _ => Err(io::Error::other(format!("`{line}` is no fault; write ok, fail, hang, lie or slow TIME"))),
        }
    }
}

/// Power in a file.
pub(crate) struct Power {
    files: Files,
}

impl Power {
    pub(crate) fn new(simulated: &SimulatedPower, machine: &MachineId) -> Self {
        Self { files: Files::of(simulated.directory.as_ref(), machine) }
    }

    /// Where its memory is written for a dump.
    pub(crate) fn memory(&self) -> PathBuf {
        self.files.path("memory")
    }
}

impl PowerDriver for Power {
    fn capabilities(&self) -> BTreeSet<PowerAction> {
        PowerAction::ALL.into()
    }

    fn reads_state(&self) -> bool {
        true
    }

    fn state(&self, _: Deadline) -> Answer<'_, PowerState> {
        Box::pin(async move {
            match self.files.read("power").map_err(|error| self.files.unable(&error))?.trim() {
                "" | "on" => Ok(PowerState::On),
                "off" => Ok(PowerState::Off),
                _ => Ok(PowerState::Unknown),
            }
        })
    }

    fn act(&self, action: PowerAction, deadline: Deadline) -> Answer<'_, Done> {
        let state = action.leads_to().as_str();
        let take_effect = move |files: &Files| {
            if action == PowerAction::Dump {
                fs::write(files.path("memory"), format!("the memory of {}\n", files.machine))?;
            }
            files.write("power", state)
        };
        Box::pin(self.files.act(action.as_str(), deadline, take_effect))
    }
}

/// Snapshots in a file.
pub(crate) struct Snapshot {
    files: Files,
    name: String,
}

impl Snapshot {
    pub(crate) fn new(simulated: &SimulatedSnapshot, machine: &MachineId) -> Self {
        Self { files: Files::of(simulated.directory.as_ref(), machine), name: simulated.name.to_string() }
    }

    fn is_there(&self) -> io::Result<bool> {
        Ok(self.files.read("snapshots")?.lines().any(|line| line == self.name))
    }
}

impl SnapshotDriver for Snapshot {
    fn capabilities(&self) -> BTreeSet<SnapshotAction> {
        SnapshotAction::ALL.into()
    }

    fn exists(&self, _: Deadline) -> Answer<'_, Option<bool>> {
        Box::pin(async move { self.is_there().map(Some).map_err(|error| self.files.unable(&error)) })
    }

    fn act(&self, action: SnapshotAction, deadline: Deadline) -> Answer<'_, Done> {
        Box::pin(self.files.act(action.as_str(), deadline, move |files| match action {
            SnapshotAction::Take if self.is_there()? => Ok(()),
            SnapshotAction::Take => files.append("snapshots", &self.name),
            // A machine that was taken back runs.
            SnapshotAction::Revert => files.write("power", "on"),
        }))
    }
}
