//! The agent itself: one loop that owns everything about this machine's processes. What happens comes in as [`Input`]; what was
//! decided about it leaves to disk first, then to the keeper, the modules and the bus.

mod adopt;
mod away;
mod booting;
mod changes;
mod clients;
mod commands;
mod containment;
mod effects;
mod errands;
mod fencing;
mod hello;
mod keeping;
mod modules;
mod opening;
mod peers;
mod preparing;
mod probing;
mod pulses;
mod reports;
mod ssh;
mod starting;
mod syncs;
mod test_events;
mod ticking;
mod triggers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_bus::Bucket;
use muster_model::{BootOperation, Position, ProcessId, ProcessState, Term, TriggerActed};
use muster_module_protocol::AgentMessage;
use muster_proto::v1::{ArtifactStored, HeartbeatAnswer, Inventory, SyncAnswer, TriggerPolicy, report};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::artifacts::Artifacts;
use crate::boot::Entry;
use crate::config::Settings;
use crate::connection::{Connection, Identity, Publisher};
use crate::core::authority::{Owner, Standing};
use crate::core::errands::Errands;
use crate::core::fence::Fence;
use crate::core::gang::Gang;
use crate::core::life::Life;
use crate::core::orders::Expected;
use crate::core::outcome::End;
use crate::core::triggers::FireRate;
use crate::core::words::{Fate, Outgoing, Pair, Waiting};
use crate::crash_files::CrashWatch;
use crate::disk::fence::FenceFile;
use crate::disk::intents::{Final, Intent, Intents, Known};
use crate::disk::token::Tokens;
use crate::gate::{Gate, Heard};
use crate::heartbeat::Said;
use crate::keeper::protocol::{FromKeeper, Spawn};
use crate::keeper_client::KeeperHandle;
use crate::later::{Later, Rush};
use crate::link::{HelloTo, LinkInput};
use crate::logs::Uploads;
use crate::metrics;
use crate::module_sockets::ModuleSockets;
use crate::triggers::{Desk, Task};
use away::Announced;
use booting::Booting;
use containment::Containing;
use keeping::Keeping;
use preparing::{Acted, Preparing};
use probing::Probing;
use pulses::Pulses;
use reports::Reports;
use ssh::Logins;
use starting::Made;

/// Inputs of one turn at most: their reports make one batch, with one fsync.
const TURN_MAX: usize = 2_000;
/// Looks at the sockets of processes in one turn at most.
const LOOKS_MAX: usize = 8;
/// Time-outs are looked at this often.
const TICK: Duration = Duration::from_millis(250);

/// What happens to the agent.
#[derive(Debug)]
pub(crate) enum Input {
    /// A command came.
    Command(Box<Heard>),
    /// A leader answered a heartbeat.
    Answer {
        /// Which service.
        owner: Owner,
        /// Its term.
        term: Term,
        /// What it said.
        answer: HeartbeatAnswer,
    },
    /// The link needs something.
    Link(LinkInput),
    /// The keeper said something.
    Keeper(FromKeeper),
    /// The connection to the keeper is gone.
    KeeperGone,
    /// Places of processes are ready, or could not be made.
    Prepared(Made),
    /// A file was put into an object store, or could not be.
    Uploaded {
        /// Whose.
        id: ProcessId,
        /// Where.
        bucket: Bucket,
        /// What, or why not.
        stored: Result<ArtifactStored, String>,
    },
    /// The journal of intents was brought to the disk, or could not be.
    Synced {
        /// Names of those whose ends were written down before.
        names: Vec<String>,
        /// Whether it is there.
        result: std::io::Result<()>,
    },
    /// What became of words to another member of a gang.
    Carried {
        /// From whom to whom.
        pair: Pair,
        /// What became of them.
        fate: Fate,
    },
    /// reservation has answered what was asked in the name of a process.
    ClientAnswer {
        /// On which connection.
        connection: u64,
        /// What.
        message: Box<AgentMessage>,
    },
    /// The clock of another machine was read for a process, or could not be.
    ClockRead {
        /// For which process.
        id: ProcessId,
        /// What it is told.
        answer: Box<AgentMessage>,
    },
    /// Something is armed, and only the loop can act on it.
    TriggerTask(Box<Task>),
    /// What came of a firing.
    TriggerActed(Box<TriggerActed>),
    /// There is something to say of a file that a crash left; answered when it is on the disk.
    CrashFile {
        /// What.
        kind: report::Kind,
        /// Answered then.
        written: oneshot::Sender<()>,
    },
    /// The pulses of a process that waits for them may be free now.
    Edge(ProcessId),
    /// Devices came or went.
    Hotplug,
    /// The machine was probed again.
    Probed(Inventory),
    /// A kernel was installed, or could not be.
    KernelInstalled {
        /// For which order.
        operation: BootOperation,
        /// What, or why not.
        result: Result<Entry, String>,
    },
    /// A disk was prepared by order, or could not be.
    StorageActed(Box<Acted>),
    /// Processes have written more into their directories than the policy lets them.
    WorkOverLimit(Vec<ProcessId>),
}

/// One process.
#[derive(Debug)]
struct Process {
    intent: Intent,
    life: Life,
    r#final: Final,
    /// How it ended, once it has.
    end: Option<End>,
    pid: u32,
    connection: Option<u64>,
    /// Its connection had no room for what it has from here on: it is told when it answers.
    set_waits: bool,
    pinged: Instant,
    round_trip_us: u32,
    log_kept: bool,
    /// The scheduler does not want to hear of it any more.
    forget: bool,
    /// Said by the newest order; not kept on the disk.
    gang: Option<Gang>,
    /// Words of its gang, until it is connected.
    waiting: Waiting,
    /// It announced that this machine goes away, and waits; or it may, or did.
    announced: Option<Announced>,
    /// What was decided of its newest announcement, by its order.
    expected: Option<Expected>,
    /// The sync point and round at which it waits.
    waits_at: Option<(String, u64)>,
    /// What came of its newest arrival, by its order.
    synced: Option<SyncAnswer>,
    /// Who started it, by its order.
    user: Option<String>,
    /// Processes that it has started on other machines.
    errands: Errands,
}

/// A fence that waits for processes of older epochs to be gone.
#[derive(Debug)]
struct Fencing {
    since: Instant,
    warned: bool,
    taken: Option<oneshot::Sender<bool>>,
}

/// The agent.
#[derive(Debug)]
pub(crate) struct Agent {
    settings: Settings,
    connection: Connection,
    gate: Gate,
    publisher: Publisher,
    inputs: mpsc::Sender<Input>,
    again: mpsc::Sender<HelloTo>,
    up: watch::Receiver<bool>,
    said: watch::Sender<Said>,
    keeper: KeeperHandle,
    keeping: Keeping,
    /// Places that were ready while the keeper was not.
    held_back: Vec<(ProcessId, Spawn)>,
    artifacts: Artifacts,
    containing: Containing,
    uploads: Uploads,
    /// Starts and ends, which go before what nobody waits for.
    rush: Rush,
    /// Directories of processes that are forgotten.
    places: Later<PathBuf>,
    reports: Reports,
    intents: Intents,
    fence_file: FenceFile,
    fence: Fence,
    standing: Standing,
    fencing: Option<Fencing>,
    job_generation: Position,
    /// Generations that the services say they have, above ours: hello again if it stays so.
    behind: BTreeMap<Owner, Position>,
    answered: Instant,
    inventory: Arc<Inventory>,
    processes: BTreeMap<ProcessId, Process>,
    sockets: ModuleSockets,
    tokens: Tokens,
    /// What heartbeats say is not what is true any more.
    changed: bool,
    /// Words between processes, on their way to other agents.
    outgoing: Outgoing,
    /// Concluded in this turn: their reports are not on the disk yet.
    ended: Vec<(ProcessId, ProcessState)>,
    /// Said how they ended: they are told when that is written.
    done: Vec<ProcessId>,
    /// Names of those whose ends are written down: the keeper is to be told.
    noted: Vec<String>,
    /// Something was said that may not be on the disk yet.
    said_unsynced: bool,
    /// A thread waits for the disk; [`Input::Synced`] follows.
    syncing: bool,
    started: Instant,
    pings_said: Instant,
    measured: Instant,
    probing: Probing,
    booting: Booting,
    preparing: Preparing,
    logins: Logins,
    /// What is armed here.
    desk: Desk,
    crash_watch: CrashWatch,
    fire_rate: FireRate,
    /// Clocks of other machines that are being read.
    clocks: usize,
    /// What the policy file permits; none for nothing.
    trigger_policy: Option<TriggerPolicy>,
    pulses: Pulses,
}

/// Runs the agent until `stop`. What runs goes on without it.
pub(crate) async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let (mut agent, mut inputs) = opening::open(settings).await?;
    agent.turn(&mut inputs, stop).await;
    agent.close(&mut inputs).await;
    Ok(())
}

impl Agent {
    /// Takes over what an earlier life left: its processes, and firings that it began to act on and did not report.
    fn begin(&mut self, known: BTreeMap<ProcessId, Known>, begun: Vec<TriggerActed>) -> anyhow::Result<()> {
        self.say_ground();
        self.look_at_policy();
        self.adopt(known)?;
        self.end_on_vanished();
        self.remove_unknown_places();
        self.remove_unknown_kept();
        begun.into_iter().for_each(|acted| self.trigger_acted(acted));
        Ok(())
    }

    async fn turn(&mut self, inputs: &mut mpsc::Receiver<Input>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => self.tick(),
                () = tokio::time::sleep(self.reports_due_in()) => {}
                () = self.sockets.ready() => {}
                input = inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
            }
            self.take_waiting(inputs);
            self.settle();
        }
    }

    /// Everything that waits, up to a bound: what comes of it is one batch.
    fn take_waiting(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        for _ in 0..TURN_MAX {
            match inputs.try_recv() {
                Ok(input) => self.take(input),
                Err(_) => break,
            }
        }
        self.sockets.write();
        for _ in 0..LOOKS_MAX {
            let mut said = Vec::new();
            if !self.sockets.take(&mut said) {
                break;
            }
            said.into_iter().for_each(|input| self.module(input));
            self.sockets.write();
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.command(*command),
            Input::Answer { owner, term, answer } => self.heartbeat_answer(owner, term, &answer),
            Input::Link(input) => self.link(input),
            Input::Keeper(message) => self.keeper(message),
            Input::KeeperGone => self.keeper_gone(),
            Input::Prepared(made) => self.prepared(made),
            Input::Uploaded { id, bucket, stored } => self.uploaded(id, bucket, stored),
            Input::Synced { names, result } => self.synced(names, result),
            Input::ClientAnswer { connection, message } => self.client_answered(connection, &message),
            Input::Carried { pair, fate } => self.carried(pair, fate),
            Input::ClockRead { id, answer } => self.clock_read(id, &answer),
            Input::TriggerTask(task) => self.trigger_task(*task),
            Input::TriggerActed(acted) => self.trigger_acted(*acted),
            Input::CrashFile { kind, written } => self.crash_file(kind, written),
            Input::Edge(id) => self.open_if_free(id),
            Input::Hotplug => self.probe(),
            Input::Probed(inventory) => self.probed(inventory),
            Input::KernelInstalled { operation, result } => self.kernel_installed(operation, result),
            Input::StorageActed(acted) => self.storage_acted(*acted),
            Input::WorkOverLimit(over) => self.work_over_limit(over),
        }
    }

    /// After each turn: what was decided is on the disk, and what is said of this machine is what is now true.
    fn settle(&mut self) {
        self.advance_fence();
        self.say_ground();
        self.carry();
        self.keep_done();
        self.sockets.write();
        if self.reports_due_in().is_zero() && self.reports.flush(self.identity()) {
            self.note_ended();
        }
        self.write_notes();
        // The digest is over every live process: not for every pong.
        if std::mem::take(&mut self.changed) {
            self.say_heartbeat();
        }
    }

    /// Reports of ends wait a little for the ends of others that were told to stop with them.
    fn reports_due_in(&self) -> Duration {
        self.reports
            .due_in(|| self.processes.values().any(|process| process.life.is_live() && process.life.is_ending()))
    }

    fn identity(&self) -> Identity {
        Identity { epoch: self.fence.epoch(), incarnation: self.fence.incarnation() }
    }

    /// Processes that live.
    fn live(&self) -> Vec<ProcessId> {
        self.processes.iter().filter(|(_, process)| process.life.is_live()).map(|(id, _)| *id).collect()
    }

    /// Time since this agent began; what lives are measured in.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn say_heartbeat(&self) {
        let live = || self.processes.iter().filter(|(_, process)| process.life.is_live());
        let heartbeat = muster_proto::v1::Heartbeat {
            machine: self.settings.machine.to_string(),
            boot_id: self.inventory.boot_id.clone(),
            machine_generation: Some(self.fence.machine_generation().into()),
            job_generation: Some(self.job_generation.into()),
            processes_digest: live().fold(0, |digest, (id, _)| digest ^ muster_proto::process_digest(id)),
            processes_live: u32::try_from(live().count()).unwrap_or(u32::MAX),
            fenced_epoch: self.fence.fenced_epoch().0,
            draining: self.fence.draining,
            reports_acknowledged: self.reports.acknowledged(),
            trigger_policy: self.trigger_policy.clone(),
            boot: self.booting.progress(),
            storage: self.preparing.progress(),
            ssh_key: self.logins.told(),
            containment: self.containing.told.clone(),
            ..muster_proto::v1::Heartbeat::default()
        };
        ::metrics::gauge!(metrics::LIVE).set(f64::from(heartbeat.processes_live));
        self.said.send_replace(Said { heartbeat, identity: self.identity() });
    }

    fn sync_last(&mut self) {
        let synced = self.intents.syncing().and_then(|syncing| syncing.wait());
        let names = std::mem::take(&mut self.noted);
        self.synced(names, synced);
    }

    /// The clean end. The keeper is not needed when nothing lives.
    async fn close(&mut self, inputs: &mut mpsc::Receiver<Input>) {
        self.reports.flush_samples(self.identity(), true);
        if self.reports.flush(self.identity()) {
            self.note_ended();
        }
        self.keep_done();
        self.sockets.write();
        self.sync_last();
        if self.processes.values().any(|process| process.life.is_live()) {
            tracing::info!("test processes go on without the agent");
            return;
        }
        self.keeper.close(inputs).await;
    }
}
