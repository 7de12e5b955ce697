//! A virtual machine that QEMU runs by itself, by its QMP socket: power, and two kinds of snapshots.
//!
//! Power is the process: off ends it, on starts it with the setting's own program. It outlives the service that started it, unless the
//! service's manager ends what the service began (systemd does: start it with -daemonize in a scope of its own).

mod machine;
mod process;
mod qmp;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use muster_model::power::{QemuOverlaySnapshot, QemuPower, QemuSnapshot};
use muster_model::{MachineId, PowerAction, PowerSpec, PowerState, SnapshotAction};
use serde_json::json;

use self::machine::Machine;
use self::qmp::{Qmp, QmpError, talk};
use crate::program::Program;
use crate::{Answer, Deadline, DirectBoot, Done, DriverError, PowerDriver, SnapshotDriver};

/// Power by QMP.
pub(crate) struct Power {
    able: BTreeSet<PowerAction>,
    machine: Machine,
    start: Option<Program>,
    dump_file: Option<String>,
}

impl Power {
    pub(crate) fn new(spec: &PowerSpec, qemu: &QemuPower, machine: &MachineId) -> Self {
        Self {
            able: spec.capabilities(),
            machine: Machine { socket: qemu.socket.fill(machine).into() },
            start: qemu.start.as_ref().map(|line| Program::owned(line.fill(machine))),
            dump_file: qemu.dump_file.as_ref().map(|file| file.fill(machine)),
        }
    }

    /// The same power, whose every start takes a kernel from outside.
    pub(crate) fn direct(mut self, boot: &DirectBoot) -> Self {
        if let Some(start) = &mut self.start {
            start.add(boot.arguments());
        }
        self
    }

    /// Talks to a machine that must be there.
    async fn talk(
        &self,
        deadline: Deadline,
        conversation: impl AsyncFnOnce(&mut Qmp) -> Result<(), QmpError>,
    ) -> Result<(), DriverError> {
        talk(&self.machine.socket, deadline, conversation).await?.ok_or_else(|| self.machine.not_there())
    }

    async fn dump(&self, deadline: Deadline) -> Result<(), DriverError> {
        self.talk(deadline, async |qmp| {
            let (command, arguments) = match &self.dump_file {
                Some(file) => ("dump-guest-memory", json!({ "paging": false, "protocol": format!("file:{file}") })),
                None => ("inject-nmi", json!({})),
            };
            qmp.execute(command, arguments).await.map(drop)
        })
        .await
    }
}

/// The processors begin anew; a machine that stood still because its kernel panicked runs again.
async fn reset(qmp: &mut Qmp) -> Result<(), QmpError> {
    qmp.execute("system_reset", json!({})).await?;
    if qmp.status().await? != "running" {
        qmp.execute("cont", json!({})).await?;
    }
    Ok(())
}

impl PowerDriver for Power {
    fn capabilities(&self) -> BTreeSet<PowerAction> {
        self.able.clone()
    }

    fn reads_state(&self) -> bool {
        true
    }

    fn state(&self, deadline: Deadline) -> Answer<'_, PowerState> {
        Box::pin(async move {
            Ok(match talk(&self.machine.socket, deadline, Qmp::status).await?.as_deref() {
                // A guest that switched itself off leaves a QEMU behind that was told to stay (-no-shutdown).
                None | Some("shutdown") => PowerState::Off,
                Some(_) => PowerState::On,
            })
        })
    }

    fn act(&self, action: PowerAction, deadline: Deadline) -> Answer<'_, Done> {
        Box::pin(async move {
            match (action, &self.start) {
                (PowerAction::On, Some(start)) => self.machine.on(start, deadline).await?,
                (PowerAction::Off, _) => self.machine.off(deadline).await?,
                (PowerAction::Reset, _) => self.talk(deadline, reset).await?,
                (PowerAction::Dump, _) => self.dump(deadline).await?,
                (PowerAction::On, None) => {
                    return Err(DriverError::Unable("no program is set that starts QEMU; write start='..'".into()));
                }
                (PowerAction::Cycle, _) => {
                    return Err(DriverError::Unable("QEMU has no cycle of its own; it is off and on".into()));
                }
            }
            Ok(Done::Done)
        })
    }
}

/// Snapshots inside of the disk image, with the memory of the machine.
pub(crate) struct Snapshot {
    machine: Machine,
    name: String,
}

impl Snapshot {
    pub(crate) fn new(qemu: &QemuSnapshot, machine: &MachineId) -> Self {
        Self { machine: Machine { socket: qemu.socket.fill(machine).into() }, name: qemu.name.to_string() }
    }

    async fn monitor(&self, line: &str, deadline: Deadline) -> Result<String, DriverError> {
        let answer = talk(&self.machine.socket, deadline, async |qmp| qmp.monitor(line).await).await?;
        answer.ok_or_else(|| self.machine.not_there())
    }
}

impl SnapshotDriver for Snapshot {
    fn capabilities(&self) -> BTreeSet<SnapshotAction> {
        SnapshotAction::ALL.into()
    }

    fn exists(&self, deadline: Deadline) -> Answer<'_, Option<bool>> {
        Box::pin(async move {
            let list = self.monitor("info snapshots", deadline).await?;
            Ok(Some(list.lines().any(|line| line.split_whitespace().nth(1) == Some(&self.name))))
        })
    }

    fn act(&self, action: SnapshotAction, deadline: Deadline) -> Answer<'_, Done> {
        let line = match action {
            SnapshotAction::Take => format!("savevm {}", self.name),
            SnapshotAction::Revert => format!("loadvm {}", self.name),
        };
        Box::pin(async move {
            match self.monitor(&line, deadline).await?.trim() {
                "" => Ok(Done::Done),
                said => Err(DriverError::Refused(format!("QEMU at {}: {said}", self.machine.socket.display()))),
            }
        })
    }
}

/// A fresh overlay over an image that never changes, and a cold boot.
pub(crate) struct Overlay {
    machine: Machine,
    start: Program,
    base: String,
    base_format: String,
    overlay: PathBuf,
}

impl Overlay {
    pub(crate) fn new(overlay: &QemuOverlaySnapshot, machine: &MachineId) -> Self {
        Self {
            machine: Machine { socket: overlay.socket.fill(machine).into() },
            start: Program::owned(overlay.start.fill(machine)),
            base: overlay.base.fill(machine),
            base_format: overlay.base_format.clone(),
            overlay: overlay.overlay.fill(machine).into(),
        }
    }

    /// Makes the overlay anew: whole, or the old one stays.
    async fn make_overlay(&self, deadline: Deadline) -> Result<(), DriverError> {
        let mut fresh = self.overlay.clone().into_os_string();
        fresh.push(".fresh");
        let fresh = fresh.to_string_lossy();
        let create = ["create", "-q", "-f", "qcow2", "-b", &self.base, "-F", &self.base_format, &fresh];
        Program::new("qemu-img", &create).succeed(deadline).await?;
        std::fs::rename(&*fresh, &self.overlay)
            .map_err(|error| DriverError::Refused(format!("replace {}: {error}", self.overlay.display())))
    }
}

impl SnapshotDriver for Overlay {
    fn capabilities(&self) -> BTreeSet<SnapshotAction> {
        [SnapshotAction::Revert].into()
    }

    fn exists(&self, _: Deadline) -> Answer<'_, Option<bool>> {
        Box::pin(async move { Ok(Some(Path::new(&self.base).is_file())) })
    }

    fn act(&self, action: SnapshotAction, deadline: Deadline) -> Answer<'_, Done> {
        Box::pin(async move {
            if action == SnapshotAction::Take {
                return Err(DriverError::Unable(
                    "the base of an overlay is made by people, with the machine off".into(),
                ));
            }
            self.machine.off(deadline).await?;
            self.make_overlay(deadline).await?;
            self.machine.on(&self.start, deadline).await?;
            Ok(Done::Done)
        })
    }
}
