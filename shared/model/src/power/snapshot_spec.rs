//! The setting `snapshot=`: the state that a machine is taken back to, and how.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::action::SnapshotAction;
use super::error::SpecError;
use super::fields::{self, Fields};
use super::key::SnapshotDriverKind;
use super::print::Line;
use super::template::{CommandLine, Template};
use crate::{IdError, SnapshotName};

/// Name of the snapshot where the setting has none.
const NAME: &str = "clean";
/// Format of a base image where the setting has none.
const BASE_FORMAT: &str = "qcow2";

/// What the setting `snapshot=` of a machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSpec {
    /// The driver, with what it needs.
    pub means: SnapshotMeans,
}

/// A driver, with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotMeans {
    /// Programs of the operator.
    Command(CommandSnapshot),
    /// A snapshot that libvirt keeps.
    Libvirt(LibvirtSnapshot),
    /// A person is asked.
    Manual,
    /// A snapshot inside of QEMU's disk image, memory included.
    Qemu(QemuSnapshot),
    /// A fresh overlay over an image that never changes, and a cold boot.
    QemuOverlay(QemuOverlaySnapshot),
    /// A file of a lab.
    Simulated(SimulatedSnapshot),
}

/// Programs of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSnapshot {
    /// Takes the machine back.
    pub revert: CommandLine,
    /// Takes the snapshot.
    pub take: Option<CommandLine>,
    /// Ends with 0 where the snapshot is there, with 1 where it is not.
    pub exists: Option<CommandLine>,
}

/// A snapshot that libvirt keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibvirtSnapshot {
    /// The hypervisor.
    pub uri: Template,
    /// The name of the virtual machine.
    pub guest: Template,
    /// The name of the snapshot.
    pub name: SnapshotName,
}

/// A snapshot inside of QEMU's disk image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuSnapshot {
    /// The QMP socket.
    pub socket: Template,
    /// The name of the snapshot.
    pub name: SnapshotName,
}

/// A fresh overlay over an image that never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuOverlaySnapshot {
    /// The QMP socket.
    pub socket: Template,
    /// What starts QEMU on the overlay.
    pub start: CommandLine,
    /// The image that never changes.
    pub base: Template,
    /// Its format.
    pub base_format: String,
    /// The image that is made anew over it.
    pub overlay: Template,
}

/// A file of a lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedSnapshot {
    /// The folder with a file for each machine.
    pub directory: Option<Template>,
    /// The name of the snapshot.
    pub name: SnapshotName,
}

impl SnapshotSpec {
    /// The driver.
    #[must_use]
    pub fn driver(&self) -> SnapshotDriverKind {
        match self.means {
            SnapshotMeans::Command(_) => SnapshotDriverKind::Command,
            SnapshotMeans::Libvirt(_) => SnapshotDriverKind::Libvirt,
            SnapshotMeans::Manual => SnapshotDriverKind::Manual,
            SnapshotMeans::Qemu(_) => SnapshotDriverKind::Qemu,
            SnapshotMeans::QemuOverlay(_) => SnapshotDriverKind::QemuOverlay,
            SnapshotMeans::Simulated(_) => SnapshotDriverKind::Simulated,
        }
    }

    /// The name of the snapshot; none where the driver has no names.
    #[must_use]
    pub fn name(&self) -> Option<&SnapshotName> {
        match &self.means {
            SnapshotMeans::Libvirt(libvirt) => Some(&libvirt.name),
            SnapshotMeans::Qemu(qemu) => Some(&qemu.name),
            SnapshotMeans::Simulated(simulated) => Some(&simulated.name),
            SnapshotMeans::Command(_) | SnapshotMeans::Manual | SnapshotMeans::QemuOverlay(_) => None,
        }
    }

    /// It is the snapshot of this name. The one of a driver without names is called `clean`.
    #[must_use]
    pub fn is_called(&self, name: &SnapshotName) -> bool {
        self.image() == name.as_str()
    }

    /// What requests call the snapshot: its name, or `clean` where the driver has no names.
    #[must_use]
    pub fn image(&self) -> &str {
        self.name().map_or(NAME, SnapshotName::as_str)
    }

    /// What can be done with the snapshot. The base of an overlay is made by people.
    #[must_use]
    pub fn capabilities(&self) -> BTreeSet<SnapshotAction> {
        let takes = match &self.means {
            SnapshotMeans::Command(command) => command.take.is_some(),
            SnapshotMeans::QemuOverlay(_) => false,
            SnapshotMeans::Libvirt(_)
            | SnapshotMeans::Manual
            | SnapshotMeans::Qemu(_)
            | SnapshotMeans::Simulated(_) => true,
        };
        SnapshotAction::ALL.into_iter().filter(|action| takes || *action != SnapshotAction::Take).collect()
    }
}

impl FromStr for SnapshotSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let drivers = SnapshotDriverKind::ALL.map(SnapshotDriverKind::as_str).join(", ");
        let (word, words) = fields::split(text, &drivers)?;
        let kind = SnapshotDriverKind::parse(&word).ok_or(SpecError::UnknownDriver { word, drivers })?;
        let fields = Fields::parse(kind.as_str(), kind.keys(), &words)?;
        let means = match kind {
            SnapshotDriverKind::Command => SnapshotMeans::Command(CommandSnapshot {
                revert: fields.needed_command("revert")?,
                take: fields.command("take")?,
                exists: fields.command("exists")?,
            }),
            SnapshotDriverKind::Libvirt => SnapshotMeans::Libvirt(LibvirtSnapshot {
                uri: fields.needed_address("uri")?,
                guest: fields.needed_template("guest")?,
                name: name(&fields)?,
            }),
            SnapshotDriverKind::Manual => SnapshotMeans::Manual,
            SnapshotDriverKind::Qemu => {
                SnapshotMeans::Qemu(QemuSnapshot { socket: fields.needed_template("socket")?, name: name(&fields)? })
            }
            SnapshotDriverKind::QemuOverlay => SnapshotMeans::QemuOverlay(overlay(&fields)?),
            SnapshotDriverKind::Simulated => SnapshotMeans::Simulated(SimulatedSnapshot {
                directory: fields.template("directory")?,
                name: name(&fields)?,
            }),
        };
        Ok(Self { means })
    }
}

fn name(fields: &Fields) -> Result<SnapshotName, SpecError> {
    let given = fields.parsed("name", |error: IdError| error.rule)?;
    given.map_or_else(|| SnapshotName::new(NAME).map_err(|error| fields.invalid("name", error.rule)), Ok)
}

fn overlay(fields: &Fields) -> Result<QemuOverlaySnapshot, SpecError> {
    let base_format = fields.text("base-format").unwrap_or(BASE_FORMAT).to_owned();
    if !base_format.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Err(fields.invalid("base-format", "write a format of qemu-img, like qcow2 or raw"));
    }
    let (base, overlay) = (fields.needed_template("base")?, fields.needed_template("overlay")?);
    if base == overlay {
        return Err(fields.invalid("overlay", "it would be written over the base"));
    }
    let (socket, start) = (fields.needed_template("socket")?, fields.needed_command("start")?);
    Ok(QemuOverlaySnapshot { socket, start, base, base_format, overlay })
}

impl fmt::Display for SnapshotSpec {
    /// As it is typed, without what a driver would assume.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = Line::new(self.driver().as_str());
        let named =
            |line: Line, name: &SnapshotName| line.maybe("name", Some(name).filter(|name| name.as_str() != NAME));
        let line = match &self.means {
            SnapshotMeans::Command(command) => line
                .key("revert", &command.revert)
                .maybe("take", command.take.as_ref())
                .maybe("exists", command.exists.as_ref()),
            SnapshotMeans::Libvirt(libvirt) => {
                named(line.key("uri", &libvirt.uri).key("guest", &libvirt.guest), &libvirt.name)
            }
            SnapshotMeans::Manual => line,
            SnapshotMeans::Qemu(qemu) => named(line.key("socket", &qemu.socket), &qemu.name),
            SnapshotMeans::QemuOverlay(overlay) => line
                .key("socket", &overlay.socket)
                .key("start", &overlay.start)
                .key("base", &overlay.base)
                .key("overlay", &overlay.overlay)
                .unless("base-format", &overlay.base_format, &BASE_FORMAT.to_owned()),
            SnapshotMeans::Simulated(simulated) => {
                named(line.maybe("directory", simulated.directory.as_ref()), &simulated.name)
            }
        };
        line.write(f)
    }
}
