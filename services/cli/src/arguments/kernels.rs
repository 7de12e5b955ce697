//! `muster kernel`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// Read what a kernel image says of itself, and keep it for booting machines
    Add(KernelAddArguments),
    /// List kernels
    List,
    /// Show all that is known of a kernel
    Show {
        /// Kernel
        name: String,
    },
    /// Take a kernel out of the list, and delete its files
    Remove {
        /// Kernel
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct KernelAddArguments {
    /// A bzImage (`/boot/vmlinuz-*`), or an ELF vmlinux
    pub(crate) image: PathBuf,
    /// Its initial RAM disk
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// What to add to the command line of machines that boot it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    pub(crate) cmdline: String,
    /// Its name; its release without it
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Take it although it has no GNU build id: then another build of the same release passes for it
    #[arg(long)]
    pub(crate) no_build_id: bool,
}
