//! Simulated machines: many in one process, over few connections, speaking the real protocol with simulated processes.
//!
//! Responsible for what a lab needs to be large: hello, heartbeats, pings, commands, reports. A simulated process runs as soon as it
//! is ordered and ends as soon as it is stopped, unless a script makes faults happen (README of this folder). Not responsible for the
//! promises that a real agent keeps on its disk: a simulated machine forgets everything when this process ends.

mod boot;
mod inventory;
mod machine;
mod plug;
mod process;
mod script;
mod speak;
mod storage;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use muster_bus::Bus;
use muster_chassis::CommonArguments;
use muster_model::MachineId;
use muster_signing::{Guard, Pins};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Arguments of the program.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "muster-simulated-machines", version, about = "Simulated machines for a lab")]
pub struct Arguments {
    /// What every process of Muster takes.
    #[command(flatten)]
    pub common: CommonArguments,
    /// How many machines
    #[arg(long, default_value_t = 100)]
    pub count: u32,
    /// Machines that share one connection
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub per_connection: u32,
    /// Their names begin with this
    #[arg(long, default_value = "sim")]
    pub prefix: String,
    /// File with the keys by which they know their services, as agents take it; without it they believe everybody
    #[arg(long, env = "MUSTER_SIGNERS", value_name = "FILE")]
    pub signers: Option<PathBuf>,
    /// What is to go wrong: a TOML file with `[[fault]]` tables
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Folder of the power driver `simulated`: what it does to these machines happens to them
    #[arg(long, value_name = "FOLDER")]
    pub power: Option<PathBuf>,
}

/// Runs the machines until `stop`.
///
/// # Errors
/// When the bus can not be reached at first, or the prefix makes no machine id.
pub async fn run(arguments: Arguments, stop: CancellationToken) -> anyhow::Result<()> {
    let script = match &arguments.script {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
            script::Script::parse(&text).with_context(|| file.display().to_string())?
        }
        None => script::Script::default(),
    };
    let pins = arguments.signers.as_deref().map(pinned).transpose()?;
    let begun = Instant::now();
    let mut machines = JoinSet::new();
    let mut bus: Option<Bus> = None;
    for number in 0..arguments.count {
        if number % arguments.per_connection == 0 {
            bus = Some(muster_chassis::connect(&arguments.common, "agent").await?);
        }
        let bus = bus.clone().context("the first machine opens a connection")?;
        let id = MachineId::new(&format!("{}-{}", arguments.prefix, number + 1))?;
        // Spread over a second, so that heartbeats do not come all at once.
        let offset = Duration::from_secs(1) * number / arguments.count.max(1);
        let machine = machine::Machine::new(id.clone(), script.of(&id));
        let plug = arguments.power.as_ref().map(|folder| plug::Plug::new(folder, &id));
        let guard = Guard::new(id.as_str(), pins.clone());
        machines.spawn(speak::run(bus, (machine, plug, guard), speak::Times { begun, offset }, stop.clone()));
    }
    muster_chassis::set_ready(true);
    while let Some(ended) = machines.join_next().await {
        ended.context("a simulated machine panicked")??;
    }
    Ok(())
}

fn pinned(file: &Path) -> anyhow::Result<Pins> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    Pins::parse(&text).with_context(|| format!("pin the keys of {}", file.display()))
}
