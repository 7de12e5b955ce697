//! What is done to a simulated machine from outside: files in a folder, as the power driver `simulated` writes them.
//!
//! Responsible for reading what has taken effect, each thing once, and for telling what it ended. Not for what the machine does about it.

use std::io::{self, Write};
use std::path::Path;

use muster_drivers::simulated::Files;
use muster_model::MachineId;

/// Something that is done to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    /// It has no power from here on.
    Off,
    /// It boots, where it had no power.
    On,
    /// It boots, where it has power.
    Reset,
    /// It boots.
    Cycle,
    /// Its agent dies and is started again: what runs goes on, and nothing is said for a moment.
    KillAgent,
}

impl Touch {
    /// The word that the driver, or a test, has written; none for what changes nothing here.
    fn parse(word: &str) -> Option<Self> {
        match word {
            "off" => Some(Self::Off),
            "on" => Some(Self::On),
            "reset" => Some(Self::Reset),
            "cycle" | "revert" => Some(Self::Cycle),
            "kill-agent" => Some(Self::KillAgent),
            _ => None,
        }
    }
}

/// The files of one machine.
#[derive(Debug)]
pub(crate) struct Plug {
    files: Files,
    /// Lines of the effects that were taken.
    taken: usize,
}

impl Plug {
    /// The plug of a machine, in a folder of plugs. What took effect before is history.
    pub(crate) fn new(folder: &Path, machine: &MachineId) -> Self {
        let mut plug = Self { files: Files::new(folder, machine), taken: 0 };
        plug.look();
        plug
    }

    /// What has been done since the last look, in order.
    pub(crate) fn look(&mut self) -> Vec<Touch> {
        let Ok(effects) = std::fs::read_to_string(self.files.path("effects")) else { return Vec::new() };
        // A line that is still being written is taken with the next look.
        let whole = effects.rfind('\n').map_or("", |end| &effects[..end]);
        let found: Vec<&str> = whole.lines().collect();
        let fresh = found.get(self.taken..).unwrap_or_default();
        self.taken = found.len();
        fresh.iter().filter_map(|word| Touch::parse(word)).collect()
    }

    /// Writes down that something ended processes that ran.
    ///
    /// # Errors
    /// When the file can not be written.
    pub(crate) fn tell_harm(&self, touch: Touch, processes: usize) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.files.path("harm"))?;
        writeln!(file, "{touch:?} ended {processes} processes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_effect_is_seen_once_and_in_order() {
        let folder = tempfile::tempdir().expect("a folder is made");
        let machine = MachineId::new("sim-1").expect("valid");
        let effects = folder.path().join("sim-1.effects");
        std::fs::write(&effects, "off\n").expect("written");
        let mut plug = Plug::new(folder.path(), &machine);
        assert_eq!(plug.look(), [], "that was before");
        std::fs::write(&effects, "off\non\ndump\nkill-agent\ncyc").expect("written");
        assert_eq!(plug.look(), [Touch::On, Touch::KillAgent]);
        std::fs::write(&effects, "off\non\ndump\nkill-agent\ncycle\n").expect("written");
        assert_eq!(plug.look(), [Touch::Cycle]);
        assert_eq!(plug.look(), []);
    }
}
