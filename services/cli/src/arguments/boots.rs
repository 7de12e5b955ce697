//! `muster machine set` and `muster machine boot`.

use std::time::Duration;

use clap::Args;

use crate::times::parse_duration;

pub(super) const SET_HELP: &str = "Settings, all of them checked before any is set; `NAME=` is the default again:\n\n  \
    boot=grub            # how it is taken into a kernel: simulated, kexec, grub, systemd-boot; without it it is not booted\n  \
    attempts=3           # attempts of one order before the machine is given up\n  \
    install-within=5m    # a kernel is installed within this\n  \
    boot-within=12m      # it is back within this\n  \
    drain=30s            # what runs may take so long to end before a reboot";

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
