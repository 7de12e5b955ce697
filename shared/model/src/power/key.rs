//! The drivers and their keys: one table for reading, for messages and for docs/drivers.md.

use std::fmt;

/// A key of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether the driver does nothing without it.
    pub is_required: bool,
    /// What its value says.
    pub says: &'static str,
}

const fn need(name: &'static str, says: &'static str) -> Key {
    Key { name, is_required: true, says }
}

const fn may(name: &'static str, says: &'static str) -> Key {
    Key { name, is_required: false, says }
}

const DOMAIN: Key = may("domain", "the power domain: what this machine's power hangs on with others");
const PASSWORD_FILE: Key =
    may("password-file", "a file whose first line is the password; this or password-env is needed");
const PASSWORD_ENV: Key = may("password-env", "a variable of the service's environment that is the password");
const URI: Key = need("uri", "the hypervisor, as virsh takes it: qemu:///system");
const GUEST: Key = need("guest", "the name of the virtual machine; `domain=` is the power domain");
const SOCKET: Key = need("socket", "the path of QEMU's QMP socket (-qmp unix:PATH,server=on,wait=off)");
const NAME: Key = may("name", "the name of the snapshot; `clean` without it");
const DIRECTORY: Key = may("directory", "the folder with a file for each machine");

const POWER_COMMAND: &[Key] = &[
    may("on", "the program that gives power"),
    may("off", "the program that takes it away"),
    may("cycle", "the program that does both, where off and on are not there"),
    may("reset", "the program that resets"),
    may("dump", "the program that makes the kernel write a dump"),
    may("state", "the program that says the state in a line"),
    may("state-on", "what the line says when power is there; `on` without it"),
    may("state-off", "what the line says when there is none; `off` without it"),
    DOMAIN,
];
const POWER_IPMITOOL: &[Key] = &[
    need("host", "the controller's name or address"),
    need("user", "who logs in"),
    PASSWORD_FILE,
    PASSWORD_ENV,
    may("port", "the controller's UDP port; 623 without it"),
    may("interface", "`lanplus` or `lan`; lanplus without it"),
    may("cipher", "the cipher suite of lanplus, by number"),
    DOMAIN,
];
const POWER_LIBVIRT: &[Key] =
    &[URI, GUEST, may("dump-file", "where the host writes the guest's memory; an NMI is sent without it"), DOMAIN];
const POWER_MANUAL: &[Key] = &[DOMAIN];
const POWER_QEMU: &[Key] = &[
    SOCKET,
    may("start", "the program that starts QEMU; power can not be given without it"),
    may("dump-file", "where QEMU writes the guest's memory; an NMI is sent without it"),
    may("kernel-folder", "where kernels are kept that QEMU is to start from outside; boot=qemu-direct needs it"),
    may("command-line", "what the command line of such a kernel begins with"),
    DOMAIN,
];
const POWER_REDFISH: &[Key] = &[
    need("url", "the system: https://HOST/redfish/v1/Systems/ID"),
    need("user", "who logs in"),
    PASSWORD_FILE,
    PASSWORD_ENV,
    may("ca-file", "the certificates that are trusted; the system's own without it"),
    may("insecure", "`yes` trusts any certificate, and plain http"),
    DOMAIN,
];
const POWER_SIMULATED: &[Key] = &[DIRECTORY, DOMAIN];

const SNAPSHOT_COMMAND: &[Key] = &[
    need("revert", "the program that takes the machine back"),
    may("take", "the program that takes the snapshot"),
    may("exists", "the program that ends with 0 where the snapshot is there, with 1 where it is not"),
];
const SNAPSHOT_LIBVIRT: &[Key] = &[URI, GUEST, NAME];
const SNAPSHOT_MANUAL: &[Key] = &[];
const SNAPSHOT_QEMU: &[Key] = &[SOCKET, NAME];
const SNAPSHOT_QEMU_OVERLAY: &[Key] = &[
    SOCKET,
    need("start", "the program that starts QEMU on the overlay"),
    need("base", "the image that never changes"),
    need("overlay", "the image that is made anew over it"),
    may("base-format", "the format of the base; qcow2 without it"),
];
const SNAPSHOT_SIMULATED: &[Key] = &[DIRECTORY, NAME];

/// How power is given and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PowerDriverKind {
    /// Programs of the operator.
    Command,
    /// A baseboard controller by IPMI.
    Ipmitool,
    /// A virtual machine of libvirt.
    Libvirt,
    /// A person.
    Manual,
    /// A virtual machine that QEMU runs by itself.
    Qemu,
    /// A baseboard controller by Redfish.
    Redfish,
    /// A file of a lab.
    Simulated,
}

impl PowerDriverKind {
    /// All drivers.
    pub const ALL: [Self; 7] =
        [Self::Command, Self::Ipmitool, Self::Libvirt, Self::Manual, Self::Qemu, Self::Redfish, Self::Simulated];

    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Ipmitool => "ipmitool",
            Self::Libvirt => "libvirt",
            Self::Manual => "manual",
            Self::Qemu => "qemu",
            Self::Redfish => "redfish",
            Self::Simulated => "simulated",
        }
    }

    /// The driver of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|driver| driver.as_str() == word)
    }

    /// What its setting may say.
    #[must_use]
    pub fn keys(self) -> &'static [Key] {
        match self {
            Self::Command => POWER_COMMAND,
            Self::Ipmitool => POWER_IPMITOOL,
            Self::Libvirt => POWER_LIBVIRT,
            Self::Manual => POWER_MANUAL,
            Self::Qemu => POWER_QEMU,
            Self::Redfish => POWER_REDFISH,
            Self::Simulated => POWER_SIMULATED,
        }
    }
}

impl fmt::Display for PowerDriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a machine is taken back to a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotDriverKind {
    /// Programs of the operator.
    Command,
    /// A snapshot that libvirt keeps.
    Libvirt,
    /// A person.
    Manual,
    /// A snapshot inside of QEMU's disk image, memory included.
    Qemu,
    /// A fresh overlay over an image that never changes, and a cold boot.
    QemuOverlay,
    /// A file of a lab.
    Simulated,
}

impl SnapshotDriverKind {
    /// All drivers.
    pub const ALL: [Self; 6] =
        [Self::Command, Self::Libvirt, Self::Manual, Self::Qemu, Self::QemuOverlay, Self::Simulated];

    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Libvirt => "libvirt",
            Self::Manual => "manual",
            Self::Qemu => "qemu",
            Self::QemuOverlay => "qemu-overlay",
            Self::Simulated => "simulated",
        }
    }

    /// The driver of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|driver| driver.as_str() == word)
    }

    /// What its setting may say.
    #[must_use]
    pub fn keys(self) -> &'static [Key] {
        match self {
            Self::Command => SNAPSHOT_COMMAND,
            Self::Libvirt => SNAPSHOT_LIBVIRT,
            Self::Manual => SNAPSHOT_MANUAL,
            Self::Qemu => SNAPSHOT_QEMU,
            Self::QemuOverlay => SNAPSHOT_QEMU_OVERLAY,
            Self::Simulated => SNAPSHOT_SIMULATED,
        }
    }
}

impl fmt::Display for SnapshotDriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
