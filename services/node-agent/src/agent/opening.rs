//! The beginning of an agent: what is on its disk is opened, and what goes on beside its loop is started.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use muster_bus::{Bucket, Clock};
use muster_proto::v1::Inventory;
use tokio::sync::{mpsc, watch};

use super::booting::Booting;
use super::containment::Containing;
use super::keeping::Keeping;
use super::preparing::Preparing;
use super::probing::Probing;
use super::pulses::Pulses;
use super::reports::Reports;
use super::ssh::Logins;
use super::{Agent, Input};
use crate::artifacts::Artifacts;
use crate::config::Settings;
use crate::connection::Connection;
use crate::core::authority::Standing;
use crate::core::triggers::FireRate;
use crate::core::words::Outgoing;
use crate::crash_files;
use crate::disk::fence::FenceFile;
use crate::disk::intents::Intents;
use crate::disk::token::Tokens;
use crate::gate::Gate;
use crate::heartbeat::{self, Said};
use crate::hotplug;
use crate::keeper::KeeperPaths;
use crate::keeper_client::{self, KeeperHandle};
use crate::later::{Later, Rush};
use crate::link::{self, HelloTo};
use crate::logs::Uploads;
use crate::module_sockets::ModuleSockets;
use crate::policy::MachinePolicy;
use crate::probe::Places;
use crate::triggers::{Desk, Opened};
use crate::workplace;

/// Inputs that wait at most; who has more waits.
const INPUTS_MAX: usize = 16_384;
/// Directories that wait to be removed at most. What is beyond is found by the next life of the agent.
const PLACES_MAX: usize = 100_000;
/// Wishes for a hello that wait at most; they are all alike.
const HELLOS_MAX: usize = 16;

/// Opens what is on the disk, and starts all that goes on beside the loop.
pub(super) async fn open(settings: Settings) -> anyhow::Result<(Agent, mpsc::Receiver<Input>)> {
    let (fence_file, fence) = FenceFile::open(&settings.state)?;
    let (intents, read) = Intents::open(&settings.state).context("open the journal of intents")?;
    let containing = Containing::new(&settings);
    let (preparing, inventory) = look(&settings, containing.policy().ok()).await?;
    let ((inputs, waiting), (again, hellos)) = (mpsc::channel(INPUTS_MAX), mpsc::channel(HELLOS_MAX));
    let ((up_sender, up), (said, saying)) = (watch::channel(false), watch::channel(Said::default()));
    let connection = Connection::start(&settings.nats, settings.admission.clone(), &settings.machine, clock(&settings));
    let reports = Reports::start(&settings.state, connection.clone(), &up).context("open the spools")?;
    let (sockets, tokens, keeper) = start_keeper(&settings, &inputs)?;
    let gate = start_link(&settings, &connection, &inputs, (saying, hellos), (up.clone(), up_sender));
    hotplug::start(&settings.disks, inputs.clone());
    let Opened { desk, begun } = open_desk(&settings, &connection, &inputs, &up)?;
    let crash_watch = crash_files::start(&settings, &connection, &inputs, &up, crash_files::crash_of(&begun))?;
    let (rush, places) = start_later()?;
    let now = Instant::now();
    let mut agent = Agent {
        containing,
        standing: Standing::of(&fence),
        pulses: Pulses::open(&settings.state, fence.boot_id == crate::probe::boot_id(), &connection.clock)?,
        booting: Booting::open(&settings, &connection),
        preparing,
        logins: Logins::new(settings.ssh.clone()),
        artifacts: Artifacts::new(settings.state.join("cache"), Bucket::Modules, connection.clone()),
        uploads: Uploads::new(connection.clone(), inputs.clone(), reports.spool(), rush.clone()),
        places,
        rush,
        publisher: connection.publisher(),
        settings,
        connection,
        gate,
        inputs,
        again,
        up,
        said,
        keeper,
        keeping: Keeping::default(),
        held_back: Vec::new(),
        reports,
        intents,
        fence_file,
        fence,
        fencing: None,
        job_generation: read.generation,
        behind: BTreeMap::new(),
        answered: now,
        inventory: Arc::new(inventory),
        processes: BTreeMap::new(),
        tokens,
        sockets,
        changed: true,
        outgoing: Outgoing::default(),
        ended: Vec::new(),
        done: Vec::new(),
        noted: Vec::new(),
        said_unsynced: false,
        syncing: false,
        started: now,
        pings_said: now,
        measured: now,
        probing: Probing::new(now),
        desk,
        crash_watch,
        fire_rate: FireRate::default(),
        clocks: 0,
        trigger_policy: None,
    };
    agent.begin(read.known, begun)?;
    Ok((agent, waiting))
}

/// Heartbeats and hellos, and the gate before what is heard.
fn start_link(
    settings: &Settings,
    connection: &Connection,
    inputs: &mpsc::Sender<Input>,
    (saying, hellos): (watch::Receiver<Said>, mpsc::Receiver<HelloTo>),
    (up, up_sender): (watch::Receiver<bool>, watch::Sender<bool>),
) -> Gate {
    let gate = Gate::new(&settings.machine, settings.signers.clone());
    heartbeat::start((connection.clone(), gate.clone()), saying, up, inputs.clone());
    link::start(connection.clone(), gate.clone(), inputs.clone(), hellos, up_sender);
    gate
}

/// The sockets of processes, what permits others to ask in their name, and then the keeper, which tells them where these are.
fn start_keeper(
    settings: &Settings,
    inputs: &mpsc::Sender<Input>,
) -> anyhow::Result<(ModuleSockets, Tokens, KeeperHandle)> {
    let paths = KeeperPaths { state: settings.state.clone() };
    let sockets = ModuleSockets::listen(&paths.agent_socket())?;
    let tokens = Tokens::open(&settings.state).context("open the secret of tokens")?;
    Ok((sockets, tokens, keeper_client::start(paths, settings.keeper.clone(), inputs.clone())))
}

/// The clock that follows the pool's; labs set it apart from the machine's.
fn clock(settings: &Settings) -> Clock {
    Clock::ahead(i64::from(settings.clock_ahead_ms) * 1_000_000)
}

/// What can wait, and how it is known that it has to.
fn start_later() -> anyhow::Result<(Rush, Later<PathBuf>)> {
    let rush = Rush::default();
    let places = Later::start("places", PLACES_MAX, rush.clone(), workplace::remove).context("start a thread")?;
    Ok((rush, places))
}

/// What the machine has: what was mounted on it by order is mounted again.
async fn look(settings: &Settings, policy: Option<Arc<MachinePolicy>>) -> anyhow::Result<(Preparing, Inventory)> {
    let preparing = Preparing::open(&settings.state).context("open the file of test areas")?;
    let (directories, devices) = (settings.disks.clone(), settings.devices.clone());
    let architecture = settings.architecture.clone();
    let places = Places { directories, architecture, devices, areas: preparing.areas.clone(), policy };
    let probed = tokio::task::spawn_blocking(move || crate::probe::inventory(&places)).await;
    Ok((preparing, probed.context("probe the machine")?))
}

/// What is armed, listening for edges while the agent is up.
fn open_desk(
    settings: &Settings,
    connection: &Connection,
    inputs: &mpsc::Sender<Input>,
    up: &watch::Receiver<bool>,
) -> anyhow::Result<Opened> {
    let opened = Desk::open(&settings.state, &settings.trigger_policy, connection.clone(), inputs.clone())
        .context("open the journal of triggers")?;
    opened.desk.listen(up.clone());
    Ok(opened)
}
