//! `muster machine`, `muster resource` and `muster load-number`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::boots::{
    MachineBootArguments, MachinePowerArguments, MachineRevertArguments, MachineSetArguments, SET_HELP,
};
use crate::times::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum MachineCommand {
    /// List machines
    List(SelectorArguments),
    /// Show all that is known of machines
    Show(SelectorArguments),
    /// Let machines take part
    Activate(ConfirmedSelector),
    /// Let machines no longer take part
    Deactivate(ConfirmedSelector),
    /// Take machines out for a while
    Maintenance(MachineFlagArguments),
    /// Take machines out for good
    Retire(MachineFlagArguments),
    /// Forget retired machines
    Remove(ConfirmedSelector),
    /// Set how machines are booted
    #[command(after_help = SET_HELP)]
    Set(MachineSetArguments),
    /// Boot machines into a kernel, and prove that it runs: what runs on them is stopped
    Boot(MachineBootArguments),
    /// Switch machines: what runs on them is lost
    Power(MachinePowerArguments),
    /// Take machines back to their snapshot: what runs on them is stopped
    Revert(MachineRevertArguments),
    /// Name machines before they appear, with their protection and their settings: all of the file, or nothing
    #[command(after_help = POOL_HELP)]
    LoadPool {
        /// TOML file with a `[[machine]]` table for each machine
        file: PathBuf,
    },
}

const POOL_HELP: &str = "The file:\n\n  [[machine]]\n  name = \"node-1\"\n  protect = [\"disk-sda\", \"nic-*\"]\n  \
    tags = [\"rack-a\"]\n  active = true\n\n  [machine.set]            # of node-1, as `muster machine set` takes it; what is not said stays\n  \
    boot = \"grub\"\n  attempts = 3\n  boot-within = \"15m\"\n  \
    power = \"ipmitool host=bmc-{machine} user=admin password-file=/etc/muster/bmc\"\n  leave-down = false\n\n  \
    [[machine]]\n  name = \"node-2\"\n  protect_machine = true   # no test touches it";

#[derive(Debug, Args)]
pub(crate) struct SelectorArguments {
    /// Which machines: names, globs, or an expression like `cpus>=4 and not tag=slow`; all without it
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) selector: String,
}

#[derive(Debug, Args)]
pub(crate) struct MachineFlagArguments {
    /// Which machines; `*` means all
    pub(crate) selector: String,
    /// Take the flag back
    #[arg(long, alias = "undo")]
    pub(crate) off: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfirmedSelector {
    /// Which machines; `*` means all
    pub(crate) selector: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ResourceCommand {
    /// List resources of machines
    List(SelectorArguments),
    /// Hide resources from tests, and wait until the agents have it on disk
    #[command(override_usage = "muster resource protect [OPTIONS] <SELECTOR> <RESOURCE>...|--machine")]
    Protect(ProtectionArguments),
    /// Give resources to testing: tests may destroy what is on them
    #[command(override_usage = "muster resource release [OPTIONS] <SELECTOR> <RESOURCE>...|--machine")]
    Release(ProtectionArguments),
    /// Mount the file system of a disk: tests on it work in a directory from then on. What runs on it is stopped
    Mount(MountArguments),
    /// Dismount a disk: it is a device again. What runs on it is stopped
    Dismount(StorageArguments),
    /// Make a new, empty file system on a disk: what is on it is lost, and what runs on it is stopped
    Format(FormatArguments),
}

#[derive(Debug, Args)]
pub(crate) struct StorageArguments {
    /// The machine
    pub(crate) machine: String,
    /// The disk, as `muster resource list` shows it: `disk-sdb`
    pub(crate) resource: String,
    /// Wait until it is done
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = parse_duration)]
    pub(crate) within: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct MountArguments {
    #[command(flatten)]
    pub(crate) storage: StorageArguments,
    /// Only if it is of this type; whichever it is without it
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub(crate) file_system: Option<FileSystemName>,
}

#[derive(Debug, Args)]
pub(crate) struct FormatArguments {
    #[command(flatten)]
    pub(crate) storage: StorageArguments,
    /// Type of the file system
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value = "ext4")]
    pub(crate) file_system: FileSystemName,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileSystemName {
    /// The usual one.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["resources", "machine"]))]
pub(crate) struct ProtectionArguments {
    /// Which machines; `*` means all
    pub(crate) selector: String,
    /// Resource ids or globs: `disk-sda`, `disk-*`
    #[arg(value_name = "RESOURCE")]
    pub(crate) resources: Vec<String>,
    /// The machine as a whole
    #[arg(long)]
    pub(crate) machine: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LoadNumberCommand {
    /// List load numbers
    List,
    /// Set a load number
    Set(LoadNumberSetArguments),
    /// Set load numbers from a file, all or none, and show what changed
    #[command(after_help = LOAD_HELP)]
    Load {
        /// TOML file with a `[[load_number]]` table for each
        file: PathBuf,
    },
}

const LOAD_HELP: &str = "The file:\n\n  [[load_number]]\n  kind = \"disk\"      # cpu, disk, nic, memory or tape\n  type = \"QEMU\"      \
    # as `muster resource list` shows it; the default of the kind without it\n  load = 64          # processes that fit comfortably at \
    once";

#[derive(Debug, Args)]
pub(crate) struct LoadNumberSetArguments {
    /// Kind of resource
    #[arg(value_enum)]
    pub(crate) kind: KindName,
    /// How many processes fit comfortably at once
    pub(crate) load: u32,
    /// Only for this device type, as `muster resource list` shows it; the default of the kind without it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) device_type: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindName {
    /// Logical CPUs.
    Cpu,
    /// Disks.
    Disk,
    /// Network interfaces.
    Nic,
    /// Memory as a whole.
    Memory,
    /// Tape drives.
    Tape,
}
