//! A virtual machine of libvirt, through the program `virsh`.

use std::collections::BTreeSet;

use muster_model::power::{LibvirtPower, LibvirtSnapshot};
use muster_model::{MachineId, PowerAction, PowerState, SnapshotAction};

use crate::program::{Program, first_line};
use crate::{Answer, Deadline, Done, DriverError, PowerDriver, SnapshotDriver};

/// One virtual machine of one hypervisor.
struct Guest {
    uri: String,
    name: String,
}

impl Guest {
    /// A command of virsh on this guest.
    fn virsh(&self, word: &str, more: &[&str]) -> Program {
        let words = ["--connect", &self.uri, "--quiet", word, "--domain", &self.name];
        Program::new("virsh", &[&words[..], more].concat())
    }
}

/// Power by libvirt.
pub(crate) struct Power {
    guest: Guest,
    dump_file: Option<String>,
}

impl Power {
    pub(crate) fn new(libvirt: &LibvirtPower, machine: &MachineId) -> Self {
        let guest = Guest { uri: libvirt.uri.fill(machine), name: libvirt.guest.fill(machine) };
        Self { guest, dump_file: libvirt.dump_file.as_ref().map(|file| file.fill(machine)) }
    }
}

impl PowerDriver for Power {
    fn capabilities(&self) -> BTreeSet<PowerAction> {
        PowerAction::ALL.into()
    }

    fn reads_state(&self) -> bool {
        true
    }

    fn state(&self, deadline: Deadline) -> Answer<'_, PowerState> {
        Box::pin(async move {
            let said = self.guest.virsh("domstate", &[]).succeed(deadline).await?;
            Ok(judge(&said))
        })
    }

    fn act(&self, action: PowerAction, deadline: Deadline) -> Answer<'_, Done> {
        let program = match (action, &self.dump_file) {
            (PowerAction::On, _) => self.guest.virsh("start", &[]),
            (PowerAction::Off, _) => self.guest.virsh("destroy", &[]),
            (PowerAction::Reset, _) => self.guest.virsh("reset", &[]),
            (PowerAction::Dump, Some(file)) => self.guest.virsh("dump", &["--file", file, "--memory-only"]),
            (PowerAction::Dump, None) => self.guest.virsh("inject-nmi", &[]),
            (PowerAction::Cycle, _) => {
                let error = DriverError::Unable("libvirt has no cycle of its own; it is off and on".into());
                return Box::pin(async { Err(error) });
            }
        };
        Box::pin(async move { program.succeed(deadline).await.map(|_| Done::Done) })
    }
}

/// A guest that crashed or sleeps still has its virtual machine, which has to be destroyed before it is started.
fn judge(said: &str) -> PowerState {
    match first_line(said) {
        Some("shut off") => PowerState::Off,
        Some("running" | "idle" | "paused" | "in shutdown" | "crashed" | "pmsuspended") => PowerState::On,
        Some(_) | None => PowerState::Unknown,
    }
}

/// Snapshots that libvirt keeps.
pub(crate) struct Snapshot {
    guest: Guest,
    name: String,
}

impl Snapshot {
    pub(crate) fn new(libvirt: &LibvirtSnapshot, machine: &MachineId) -> Self {
        let guest = Guest { uri: libvirt.uri.fill(machine), name: libvirt.guest.fill(machine) };
        Self { guest, name: libvirt.name.to_string() }
    }
}

impl SnapshotDriver for Snapshot {
    fn capabilities(&self) -> BTreeSet<SnapshotAction> {
        SnapshotAction::ALL.into()
    }

    fn exists(&self, deadline: Deadline) -> Answer<'_, Option<bool>> {
        Box::pin(async move {
            let said = self.guest.virsh("snapshot-list", &["--name"]).succeed(deadline).await?;
            Ok(Some(said.lines().any(|line| line.trim() == self.name)))
        })
    }

    fn act(&self, action: SnapshotAction, deadline: Deadline) -> Answer<'_, Done> {
        let program = match action {
            SnapshotAction::Take => self.guest.virsh("snapshot-create-as", &["--name", &self.name]),
            // A machine that was off when it was taken is to run for the next test all the same.
            SnapshotAction::Revert => self.guest.virsh("snapshot-revert", &["--snapshotname", &self.name, "--running"]),
        };
        Box::pin(async move { program.succeed(deadline).await.map(|_| Done::Done) })
    }
}
