//! Orders to prepare a disk as a test area, or back: each once, when nothing uses the disk any more, written down before it is done, and
//! reported.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use muster_model::{Position, ProcessId, StorageOutcome, StorageProgress, StorageStep, StorageTask};
use muster_proto::v1::{self, AgentRefusal, AgentReply, Inventory, PrepareResource, StorageDone, report};

use super::commands::refuse;
use super::{Agent, Input};
use crate::disk::storage::{Area, Areas, Kept, Order, StorageFile, Work};
use crate::probe::Places;
use crate::{probe, storage, wire};

/// Processes that use a disk and have not ended after this keep it from being prepared.
const EMPTY_WITHIN: Duration = Duration::from_secs(120);
/// Why a process is stopped whose disk is prepared.
const PREPARED: &str = "prepared";
/// What the path of a device begins with; directories that stand for disks are elsewhere.
const DEVICES: &str = "/dev/";

/// How far the newest order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It waits since then until nothing uses the disk.
    Emptying(Instant),
    /// A thread is at it.
    Acting,
    /// It has ended.
    Ended,
}

/// The newest order, and all areas.
#[derive(Debug)]
pub(super) struct Preparing {
    file: StorageFile,
    /// All areas.
    pub areas: Areas,
    order: Option<(Order, Stage)>,
}

/// What came of an order.
#[derive(Debug)]
pub(crate) struct Acted {
    /// The areas after it.
    areas: Areas,
    /// A sentence for people, or why not.
    result: Result<String, String>,
    /// What there is now.
    inventory: Inventory,
}

impl Preparing {
    /// Goes on where an earlier life of this agent was.
    ///
    /// # Errors
    /// When what it left can not be read.
    pub(super) fn open(state: &Path) -> anyhow::Result<Self> {
        let (file, kept) = StorageFile::open(state)?;
        let stage = |order: &Order| if order.ended { Stage::Ended } else { Stage::Emptying(Instant::now()) };
        let order = kept.order.map(|order| {
            let stage = stage(&order);
            (order, stage)
        });
        Ok(Self { file, areas: kept.areas, order })
    }

    /// For heartbeats and answers.
    pub(super) fn progress(&self) -> Option<v1::StorageProgress> {
        let (order, stage) = self.order.as_ref()?;
        let step = match stage {
            Stage::Emptying(_) => StorageStep::Emptying,
            Stage::Acting => StorageStep::Acting,
            Stage::Ended => StorageStep::Ended,
        };
        Some(StorageProgress { order: order.position(), step }.into())
    }

    /// The disk that is being prepared: nothing is started on it.
    pub(super) fn resource(&self) -> Option<&str> {
        let under_way = self.order.as_ref().filter(|(_, stage)| *stage != Stage::Ended);
        under_way.map(|(order, _)| order.work.resource.as_str())
    }

    fn knows(&self, position: Position) -> bool {
        self.order.as_ref().is_some_and(|(order, _)| order.position() == position)
    }

    fn write(&self) -> std::io::Result<()> {
        let order = self.order.as_ref().map(|(order, _)| order.clone());
        self.file.write(&Kept { order, areas: self.areas.clone() })
    }
}

impl Agent {
    /// Takes an order, once.
    pub(super) fn prepare_resource(&mut self, order: &PrepareResource) -> AgentReply {
        let position: Position = order.order.unwrap_or_default().into();
        if !self.preparing.knows(position) {
            let Some(work) = order.ordered.as_ref().and_then(work_from_wire) else {
                return refuse(AgentRefusal::Invalid, "it orders nothing that this agent knows");
            };
            if self.preparing.resource().is_some() {
                return refuse(AgentRefusal::Draining, "another disk is being prepared");
            }
            tracing::warn!(task = %work.task, resource = work.resource, actor = work.actor, "a disk is prepared by order");
            let order = Order::new(position, work, &self.inventory.boot_id);
            self.preparing.order = Some((order, Stage::Emptying(Instant::now())));
            self.changed = true;
            self.advance_storage();
        }
        AgentReply { storage: self.preparing.progress(), ..AgentReply::default() }
    }

    /// Begins as soon as nothing uses the disk. What still does is stopped, in spite of the scheduler's silence.
    pub(super) fn advance_storage(&mut self) {
        let Some((order, Stage::Emptying(since))) = self.preparing.order.clone() else { return };
        let device = match self.may_prepare(&order.work) {
            Ok(device) => device,
            Err(error) => return self.end_storage(Err(format!("{error:#}"))),
        };
        let users = self.users_of(&order.work.resource);
        for (id, grace) in &users {
            self.stop(*id, *grace, PREPARED);
        }
        if !users.is_empty() && since.elapsed() >= EMPTY_WITHIN {
            let count = users.len();
            return self.end_storage(Err(format!("{count} processes still use it after {EMPTY_WITHIN:?}")));
        }
        // A look that is under way does not know yet what is about to be mounted.
        if users.is_empty() && self.keeping.ready && !self.probing.is_under_way() {
            self.probing.begin();
            self.act_on_storage(order, device);
        }
    }

    /// Live processes that use a resource, and how long they may take to end.
    fn users_of(&self, resource: &str) -> Vec<(ProcessId, Duration)> {
        let live = self.processes.iter().filter(|(_, process)| process.life.is_live());
        let users = live.filter(|(_, process)| process.intent.resources.iter().any(|id| id == resource));
        users.map(|(id, process)| (*id, Duration::from_millis(process.intent.grace_ms))).collect()
    }

    /// The device of a disk that may be touched now.
    fn may_prepare(&self, work: &Work) -> anyhow::Result<PathBuf> {
        anyhow::ensure!(
            self.settings.allow_storage,
            "the agent has no leave to prepare disks of this machine: start it with --allow-storage"
        );
        let policy = self.containing.policy()?;
        let is_protected = self.fence.machine_protected || self.fence.protected.contains(&work.resource);
        anyhow::ensure!(!is_protected, "it is protected");
        if let Some(area) = self.preparing.areas.get(&work.resource) {
            return Ok(area.device.clone());
        }
        let found = self.inventory.resources.iter().find(|resource| resource.id == work.resource);
        anyhow::ensure!(
            found.is_none_or(|found| !policy.is_never_touched(&found.path)),
            "the policy of this machine says that it is never touched (never_touch in {})",
            self.containing.file.path().display()
        );
        let path = found.map(|found| PathBuf::from(&found.path)).context("there is no such disk any more")?;
        anyhow::ensure!(path.starts_with(DEVICES), "it is the directory {}, and no device", path.display());
        Ok(path)
    }

    /// What is not on the disk is not done.
    fn act_on_storage(&mut self, order: Order, device: PathBuf) {
        if order.work.task == StorageTask::Mount {
            let (place, actor) =
                (self.settings.state.join("areas").join(&order.work.resource), order.work.actor.clone());
            let area = Area { device: device.clone(), place, file_system: None, uuid: String::new(), actor };
            // While it is not known what is mounted there, nobody takes it for somebody else's mount.
            self.preparing.areas.entry(order.work.resource.clone()).or_insert(area);
        }
        if let Err(error) = self.preparing.write() {
            self.probing.end();
            return self.end_storage(Err(format!("it can not be written to the disk: {error}")));
        }
        self.preparing.order = Some((order.clone(), Stage::Acting));
        let (places, inputs) = (self.places(), self.inputs.clone());
        let (state, is_same_boot) = (self.settings.state.clone(), order.boot_id == self.inventory.boot_id);
        tokio::task::spawn_blocking(move || {
            let mut areas = places.areas.clone();
            let safe = is_same_boot || order.work.task == StorageTask::Dismount;
            let result = match safe {
                true => storage::carry_out(&order, &device, &state, &mut areas),
                false => storage::judge(&order, &device, &mut areas),
            };
            let inventory = probe::inventory(&Places { areas: areas.clone(), ..places });
            let result = result.map_err(|error| format!("{error:#}"));
            // It fails only when the agent ends.
            let _ = inputs.blocking_send(Input::StorageActed(Box::new(Acted { areas, result, inventory })));
        });
    }

    /// A disk was prepared, or could not be: what there is now is said before the end of the order.
    pub(super) fn storage_acted(&mut self, acted: Acted) {
        self.preparing.areas = acted.areas;
        self.probed(acted.inventory);
        self.end_storage(acted.result);
    }

    fn end_storage(&mut self, result: Result<String, String>) {
        let Some((order, stage)) = &mut self.preparing.order else { return };
        (*stage, order.ended) = (Stage::Ended, true);
        // It was to be mounted, and never was.
        self.preparing.areas.retain(|_, area| !area.uuid.is_empty() || storage::is_mounted(&area.device, &area.place));
        let position = order.position();
        let (outcome, detail) = match result {
            Ok(detail) => (StorageOutcome::Done, detail),
            Err(why) => (StorageOutcome::Failed, why),
        };
        tracing::info!(order = %position, outcome = outcome.as_str(), detail, "the order to prepare a disk has ended");
        let outcome = v1::StorageOutcome::from(Some(outcome)).into();
        let done = StorageDone { order: Some(position.into()), outcome, detail: wire::cut(&detail) };
        self.reports.say(report::Kind::Storage(done));
        self.changed = true;
        if !self.reports.flush(self.identity()) {
            // Another life of this agent looks at it again, and reports it.
            return;
        }
        self.note_ended();
        if let Err(error) = self.preparing.write() {
            tracing::error!(%error, "the end of an order to prepare a disk can not be written");
        }
    }

    /// Where this machine is to be probed.
    pub(super) fn places(&self) -> Places {
        Places {
            directories: self.settings.disks.clone(),
            architecture: self.settings.architecture.clone(),
            devices: self.settings.devices.clone(),
            areas: self.preparing.areas.clone(),
            policy: self.containing.policy().ok(),
        }
    }
}

fn work_from_wire(ordered: &v1::StorageOrdered) -> Option<Work> {
    Some(Work {
        resource: ordered.resource.clone(),
        task: ordered.task().known()?,
        file_system: ordered.file_system().known(),
        actor: ordered.actor.clone(),
    })
}
