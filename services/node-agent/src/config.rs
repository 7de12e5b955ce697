//! Arguments of the agent, and what follows from them.

use std::path::PathBuf;

use anyhow::Context;
use muster_chassis::CommonArguments;
use muster_model::{BootDriver, MachineId};

use crate::admission::Admission;
use crate::boot::{BootArguments, Places};
use crate::private;
use crate::signers::{Signers, Sources};
use crate::ssh::{SshArguments, SshPolicy};

/// A process's log is stopped beyond this.
const LOG_BYTES_MAX: u64 = 64 << 20;
/// The kernel's store that lives through a crash, where systemd brings its content at boot, and where kdump leaves dumps.
const CRASH_DIRECTORIES: [&str; 3] = ["/sys/fs/pstore", "/var/lib/systemd/pstore", "/var/crash"];
/// The object store of artifacts holds eight of these.
const CRASH_FILE_BYTES_MAX: u64 = 2 << 30;

/// Arguments of the agent.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "muster-agent",
    version,
    about = "One per machine: runs test processes and reports what becomes of them"
)]
pub struct Arguments {
    /// What every process has.
    #[command(flatten)]
    pub common: CommonArguments,
    /// Id of this machine; the host name where it is not given
    #[arg(long, env = "MUSTER_MACHINE")]
    pub machine: Option<String>,
    /// File with the token of `muster admin enroll`: on its first start the agent makes a key of its own in its state directory, and
    /// presents it; later starts take no notice of it
    #[arg(long, env = "MUSTER_JOIN", value_name = "FILE")]
    pub join: Option<PathBuf>,
    /// File with the keys by which this machine knows its services (`signers` of `muster admin init --keys`). It is taken once, in place
    /// of what is pinned; without it, the token brings them
    #[arg(long, env = "MUSTER_SIGNERS", value_name = "FILE")]
    pub signers: Option<PathBuf>,
    /// Directory for everything that the agent keeps
    #[arg(long, env = "MUSTER_STATE", default_value = "/var/lib/muster/agent")]
    pub state: PathBuf,
    /// Which artifacts of modules it runs, as `aarch64`: for a machine that runs those of another architecture by binfmt_misc and an
    /// emulator. Without it, what its kernel says
    #[arg(long, env = "MUSTER_ARCHITECTURE", value_name = "NAME")]
    pub architecture: Option<String>,
    /// Directory that stands for a disk, may be repeated; with it, no real disk is looked at
    #[arg(long = "disk", value_name = "DIRECTORY")]
    pub disks: Vec<PathBuf>,
    /// Block device that is a resource beside the disks (a partition, a volume, a loop device), may be repeated
    #[arg(long = "device", value_name = "DEVICE")]
    pub devices: Vec<PathBuf>,
    /// Disks of this machine may be formatted, mounted and dismounted by order. Without it not
    #[arg(long, env = "MUSTER_ALLOW_STORAGE")]
    pub allow_storage: bool,
    /// The keeper's program; looked for beside the agent's own where it is not given
    #[arg(long)]
    pub keeper: Option<PathBuf>,
    /// What may be done on this machine, whoever orders it: TOML, owned by root; see docs/security.md. Without the file nothing runs
    /// as root, and these arguments say the rest
    #[arg(long, env = "MUSTER_POLICY", default_value = "/etc/muster/policy.toml")]
    pub policy: PathBuf,
    /// What triggers may do on this machine beyond what is harmless: TOML, owned by root. Without the file nothing
    #[arg(long, env = "MUSTER_TRIGGER_POLICY", default_value = "/etc/muster/triggers.toml")]
    pub trigger_policy: PathBuf,
    /// Directory in which crashes leave files, may be repeated; what is new there is kept, and attached to the firing that
    /// crashed the machine
    #[arg(
        long = "crash-files",
        env = "MUSTER_CRASH_FILES",
        value_name = "DIRECTORY",
        value_delimiter = ',',
        default_values = CRASH_DIRECTORIES
    )]
    pub crash_files: Vec<PathBuf>,
    /// A file of a crash that is larger stays on the machine, bytes
    #[arg(long, default_value_t = CRASH_FILE_BYTES_MAX)]
    pub crash_file_bytes_max: u64,
    /// How this machine may be booted by order: simulated (a lab), kexec, grub, systemd-boot; may be repeated. Without it not at all
    #[arg(long = "allow-boot", value_name = "DRIVER", env = "MUSTER_ALLOW_BOOT", value_delimiter = ',', value_parser = boot_driver)]
    pub allow_boot: Vec<BootDriver>,
    /// Where its boot loaders have their files.
    #[command(flatten)]
    pub boot: BootArguments,
    /// Who may log in by ssh.
    #[command(flatten)]
    pub ssh: SshArguments,
    /// File that this agent's log goes to, to be read by `muster logs --agent`
    #[arg(long)]
    pub log_file: Option<PathBuf>,
    /// Home of who logs in to a machine that is checked out for a test: scripts are left there
    #[arg(long, env = "MUSTER_HOME", default_value = "/root")]
    pub home: PathBuf,
    /// A process whose log is larger is stopped, bytes
    #[arg(long, default_value_t = LOG_BYTES_MAX)]
    pub log_bytes_max: u64,
    /// Runs on clocks that are ahead by so many milliseconds: a lab sets machines apart that share the clocks of one host
    #[arg(long, env = "MUSTER_CLOCK_AHEAD_MS", default_value_t = 0, hide = true, allow_negative_numbers = true)]
    pub clock_ahead_ms: i32,
}

/// What follows from the arguments.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// This machine.
    pub machine: MachineId,
    /// Everything that is kept is below it.
    pub state: PathBuf,
    /// Directories that stand for disks.
    pub disks: Vec<PathBuf>,
    /// Which artifacts of modules it runs, where that is not what its kernel says.
    pub architecture: Option<String>,
    /// Block devices that are resources beside the disks.
    pub devices: Vec<PathBuf>,
    /// Disks may be formatted, mounted and dismounted by order.
    pub allow_storage: bool,
    /// The keeper's program.
    pub keeper: PathBuf,
    /// What may be done here, whoever orders it.
    pub policy: PathBuf,
    /// What triggers may do here.
    pub trigger_policy: PathBuf,
    /// Directories in which crashes leave files.
    pub crash_files: Vec<PathBuf>,
    /// A file of a crash that is larger stays on the machine.
    pub crash_file_bytes_max: u64,
    /// How this machine may be booted by order.
    pub allow_boot: Vec<BootDriver>,
    /// Where boot drivers have their files.
    pub boot: Places,
    /// Who may log in by ssh.
    pub ssh: SshPolicy,
    /// The agent's own log.
    pub log_file: Option<PathBuf>,
    /// Where a person finds the scripts of a test that is set up for them.
    pub home: PathBuf,
    /// A process whose log is larger is stopped.
    pub log_bytes_max: u64,
    /// How far this machine's clocks are ahead, milliseconds; not 0 in labs only.
    pub clock_ahead_ms: i32,
    /// Where NATS is.
    pub nats: String,
    /// How this agent comes onto the bus.
    pub admission: Admission,
    /// By which keys it knows its services.
    pub signers: Signers,
}

impl Settings {
    /// Checks the arguments, and makes the directories that they name.
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let machine = match &arguments.machine {
            Some(machine) => MachineId::new(machine).context("use --machine")?,
            None => {
                machine_of_host(&host_name()).context("make a machine id of the host name; give one with --machine")?
            }
        };
        let state = &arguments.state;
        for directory in ["", "kernels", "keeper"] {
            let directory = state.join(directory);
            std::fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        }
        for directory in private::PASSED_THROUGH.map(|name| state.join(name)) {
            private::make_passage(&directory).with_context(|| format!("make {}", directory.display()))?;
        }
        let state = std::fs::canonicalize(state).with_context(|| format!("find {}", state.display()))?;
        let admission = Admission::new(&arguments.common, arguments.join.as_deref(), &machine, &state)?;
        let sources = Sources {
            named: arguments.signers.as_deref(),
            token: arguments.join.as_deref(),
            insecure_local: arguments.common.insecure_local,
        };
        let signers = Signers::open(&state, sources)?;
        let disks = arguments.disks.iter().map(|disk| {
            std::fs::canonicalize(disk)
                .with_context(|| format!("find {}, which is to stand for a disk", disk.display()))
        });
        let devices = arguments
            .devices
            .iter()
            .map(|device| std::path::absolute(device).with_context(|| format!("use the device {}", device.display())));
        Ok(Self {
            machine,
            devices: devices.collect::<anyhow::Result<_>>()?,
            allow_storage: arguments.allow_storage,
            boot: Places::new(&arguments.boot, &state),
            state,
            disks: disks.collect::<anyhow::Result<_>>()?,
            architecture: arguments.architecture.clone(),
            keeper: arguments.keeper.clone().map_or_else(keeper_beside, Ok)?,
            policy: arguments.policy.clone(),
            trigger_policy: arguments.trigger_policy.clone(),
            crash_files: arguments.crash_files.clone(),
            crash_file_bytes_max: arguments.crash_file_bytes_max,
            allow_boot: arguments.allow_boot.clone(),
            ssh: SshPolicy::new(&arguments.ssh)?,
            log_file: arguments.log_file.clone(),
            home: arguments.home.clone(),
            log_bytes_max: arguments.log_bytes_max,
            clock_ahead_ms: arguments.clock_ahead_ms,
            nats: arguments.common.nats.clone(),
            admission,
            signers,
        })
    }
}

fn boot_driver(word: &str) -> Result<BootDriver, String> {
    let all = BootDriver::OF_AGENTS.map(BootDriver::as_str).join(", ");
    let driver = BootDriver::parse(word).filter(|driver| BootDriver::OF_AGENTS.contains(driver));
    driver.ok_or_else(|| format!("there are {all}"))
}

fn keeper_beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find the agent's own program")?;
    let keeper = own.with_file_name("muster-keeper");
    anyhow::ensure!(keeper.is_file(), "find {}; name the keeper's program with --keeper", keeper.display());
    Ok(keeper)
}

/// Host name of this machine.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A machine id as close to a host name as its rule allows.
fn machine_of_host(host: &str) -> Result<MachineId, muster_model::IdError> {
    let short = host.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let cleaned: String = short
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' })
        .take(32)
        .collect();
    MachineId::new(cleaned.trim_matches(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_becomes_a_machine_id() {
        assert_eq!(machine_of_host("Node-01.example.org").unwrap().as_str(), "node-01");
        assert!(machine_of_host("").is_err());
    }
}
