//! `muster machine set`, `boot`, `power` and `revert`, and `muster hold`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::times::parse_duration;

pub(super) const SET_HELP: &str = "Settings, all of them checked before any is set; `NAME=` is the default again:\n\n  \
    boot=grub            # how it is taken into a kernel: simulated, kexec, grub, systemd-boot, qemu-direct; without it it is not booted\n  \
    attempts=3           # attempts of one order before the machine is given up\n  \
    install-within=5m    # a kernel is installed within this\n  \
    boot-within=12m      # it is back within this\n  \
    drain=30s            # what runs may take so long to end before a reboot\n  \
    power='ipmitool host=bmc-{machine} user=admin password-file=/etc/muster/bmc domain=rack-1'\n  \
    \u{20}                    # how it is switched; without it it is not: command, ipmitool, libvirt, manual, qemu, redfish, simulated\n  \
    snapshot='libvirt uri=qemu:///system domain={machine}'\n  \
    \u{20}                    # how it is taken back: command, libvirt, manual, qemu, qemu-overlay, simulated\n  \
    clean=revert         # what is done when a reservation gives it back: revert (to its snapshot), reboot (into its own kernel)\n  \
    leave-down=yes       # it is not switched by itself when it is down or does not come back";

#[derive(Debug, Args)]
pub(crate) struct MachineSetArguments {
    /// Which machines; `*` means all
    pub(crate) selector: String,
    /// `NAME=VALUE`, as below
    #[arg(value_name = "NAME=VALUE", required = true)]
    pub(crate) settings: Vec<String>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["kernel", "stock"]))]
pub(crate) struct MachineBootArguments {
    /// Which machines; `*` means all
    pub(crate) selector: String,
    /// The kernel, as `muster kernel list` shows it
    #[arg(long, value_name = "KERNEL")]
    pub(crate) kernel: Option<String>,
    /// The machine's own kernel
    #[arg(long)]
    pub(crate) stock: bool,
    /// Wait until every one of them is proven to run it, or given up
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub(crate) within: Duration,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MachinePowerArguments {
    /// Which machines; `*` means all
    pub(crate) selector: String,
    /// What is done to them
    #[arg(value_enum)]
    pub(crate) task: PowerWord,
    /// You were asked to do it by hand, and have done it
    #[arg(long)]
    pub(crate) done: bool,
    #[command(flatten)]
    pub(crate) wait: PowerWait,
}

#[derive(Debug, Args)]
pub(crate) struct MachineRevertArguments {
    /// Which machines; `*` means all
    pub(crate) selector: String,
    /// You were asked to do it by hand, and have done it
    #[arg(long)]
    pub(crate) done: bool,
    #[command(flatten)]
    pub(crate) wait: PowerWait,
}

#[derive(Debug, Args)]
pub(crate) struct PowerWait {
    /// Wait until it is known what became of it
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after this
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    pub(crate) within: Duration,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PowerWord {
    /// Give power.
    On,
    /// Take power away, whatever runs.
    Off,
    /// Off, a pause, and on.
    Cycle,
    /// Let the processors begin anew.
    Reset,
    /// Let the kernel write a dump, or write its memory from outside.
    Dump,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// Nothing is switched or rebooted from here on; what is under way is not stopped
    On {
        /// Why
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Let it go on
    Off,
    /// Show whether it is held, by whom, and why
    Show,
}
