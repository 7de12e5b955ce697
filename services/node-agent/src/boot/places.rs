//! Where this machine's boot loaders have their files: arguments of the agent, with the places of most distributions as defaults.

use std::path::{Path, PathBuf};

/// Where the EFI system partition is mounted by most distributions.
const ESP_PLACES: [&str; 3] = ["/efi", "/boot/efi", "/boot"];

/// Where the boot loaders' files are.
#[derive(Debug, Clone, clap::Args)]
pub struct BootArguments {
    /// Directory in which boot loaders find kernels
    #[arg(long, env = "MUSTER_BOOT_DIRECTORY", value_name = "DIRECTORY", default_value = "/boot")]
    pub boot_directory: PathBuf,
    /// Directory of GRUB's configuration and environment; `grub` or `grub2` below the boot directory where it is not given
    #[arg(long, env = "MUSTER_GRUB_DIRECTORY", value_name = "DIRECTORY")]
    pub grub_directory: Option<PathBuf>,
    /// Mounted EFI system partition with systemd-boot; /efi, /boot/efi or /boot where it is not given
    #[arg(long, env = "MUSTER_ESP", value_name = "DIRECTORY")]
    pub esp: Option<PathBuf>,
    /// Directory of the firmware's variables
    #[arg(long, env = "MUSTER_EFIVARS", value_name = "DIRECTORY", default_value = "/sys/firmware/efi/efivars")]
    pub efivars: PathBuf,
}

/// Where things are that drivers use.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The agent's state directory.
    pub state: PathBuf,
    /// Kernels of GRUB.
    pub boot: PathBuf,
    /// GRUB's configuration and environment.
    pub grub: PathBuf,
    /// The EFI system partition.
    pub esp: PathBuf,
    /// The firmware's variables.
    pub efivars: PathBuf,
}

impl Places {
    /// The places of an agent.
    pub(crate) fn new(arguments: &BootArguments, state: &Path) -> Self {
        let boot = arguments.boot_directory.clone();
        let grub = arguments.grub_directory.clone().unwrap_or_else(|| {
            let newer = boot.join("grub2");
            if newer.is_dir() { newer } else { boot.join("grub") }
        });
        let esp = arguments.esp.clone().unwrap_or_else(|| {
            let mut places = ESP_PLACES.iter().map(PathBuf::from);
            places.find(|place| place.join("loader").is_dir()).unwrap_or_else(|| ESP_PLACES[0].into())
        });
        Self { state: state.to_owned(), boot, grub, esp, efivars: arguments.efivars.clone() }
    }
}
