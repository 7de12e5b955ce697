//! What is to be done outside, by state alone: every machine that is heard gets the desired state that it does not have yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_ledger::Scope;
use muster_model::{
    BootDriver, BootOperation, BootStep, Epoch, Incarnation, MachineId, Phase, PoolTime, Position, PowerSpec,
    ResourceId, SnapshotSpec,
};

use super::direct::{self, DirectTask};
use super::health::{Health, brake, health_of, may_judge};
use super::power::PowerTask;
use super::{Holder, Kernel, Machine, Observed, Seen, Stage, State, StorageWork};

/// The desired state of a machine, as its agent gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Its generation.
    pub generation: Position,
    /// The life of the agent that it is for.
    pub incarnation: Incarnation,
    /// Everything older is to be ended and fenced.
    pub epoch: Epoch,
    /// Refuse starts.
    pub draining: bool,
    /// What tests may not touch.
    pub protected: BTreeSet<ResourceId>,
    /// The whole machine is protected.
    pub machine_protected: bool,
    /// Whose it is.
    pub holder: Holder,
}

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Tell an agent its desired state. Idempotent: the agent knows generations.
    SendDesired {
        /// Whom.
        machine: MachineId,
        /// What.
        desired: Box<Desired>,
    },
    /// Do something to a machine's power or snapshot, once.
    Switch {
        /// Which machine.
        machine: MachineId,
        /// What.
        switch: Box<Switch>,
    },
    /// Look at the power of a machine on which an earlier leader began something.
    LookAtPower {
        /// Which machine.
        machine: MachineId,
        /// The operation.
        position: Position,
        /// How.
        power: Option<Box<PowerSpec>>,
    },
    /// Tell an agent to install a kernel, or to reboot. The agent does what it is told under one name once.
    Boot {
        /// Whom.
        machine: MachineId,
        /// What.
        task: Box<BootTask>,
    },
    /// Keep the kernel of an ordered boot where QEMU can be started with it. What is kept already is not fetched again.
    KeepKernel {
        /// For which machine.
        machine: MachineId,
        /// The attempt.
        operation: BootOperation,
        /// The kernel.
        kernel: Arc<Kernel>,
        /// Where to.
        power: Option<Box<PowerSpec>>,
    },
    /// Tell an agent to prepare a disk. The agent does what it is told under one position once.
    Prepare {
        /// Whom.
        machine: MachineId,
        /// What.
        task: Box<PrepareTask>,
    },
}

/// What an agent is told of an order to prepare a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrepareTask {
    /// Position of the order.
    pub position: Position,
    /// The epoch of the machine.
    pub epoch: Epoch,
    /// The life of the agent that it is for.
    pub incarnation: Incarnation,
    /// What.
    pub work: StorageWork,
}

/// An operation as it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Its position: with the machine, its name.
    pub position: Position,
    /// What.
    pub task: PowerTask,
    /// When it began.
    pub begun: PoolTime,
    /// How power is switched.
    pub power: Option<PowerSpec>,
    /// How the snapshot is taken back to.
    pub snapshot: Option<SnapshotSpec>,
    /// What QEMU starts from outside; none where the machine boots by itself.
    pub direct: Option<DirectTask>,
}

/// What an agent is told of an ordered boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootTask {
    /// Its name.
    pub operation: BootOperation,
    /// The epoch of the machine.
    pub epoch: Epoch,
    /// The life of the agent that it is for.
    pub incarnation: Incarnation,
    /// How the machine is booted.
    pub driver: BootDriver,
    /// The kernel; none is the stock kernel.
    pub kernel: Option<Arc<Kernel>>,
    /// The nonce of the boot; none of the stock kernel.
    pub nonce: Option<String>,
    /// Reboot; else install.
    pub reboot: bool,
}

impl Effect {
    /// Its identity: a newer generation need not wait for an older one that is still on its way.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::SendDesired { machine, desired } => format!("desired/{machine}/{}", desired.generation),
            Self::Switch { machine, switch } => format!("switch/{machine}/{}", switch.position),
            Self::LookAtPower { machine, position, .. } => format!("look/{machine}/{position}"),
            Self::Boot { machine, task } => {
                let verb = if task.reboot { "reboot" } else { "install" };
                format!("{verb}/{machine}/{}", task.operation)
            }
            Self::KeepKernel { machine, operation, .. } => format!("kernel/{machine}/{operation}"),
            Self::Prepare { machine, task } => format!("storage/{machine}/{}", task.position),
        }
    }
}

/// The desired state of a machine.
#[must_use]
pub fn desired_of(machine: &Machine) -> Desired {
    Desired {
        generation: machine.generation,
        incarnation: machine.incarnation,
        epoch: machine.epoch,
        draining: machine.refuses_starts(),
        protected: machine.protection.protected.clone(),
        machine_protected: machine.protection.machine,
        holder: machine.tenure.holder.clone(),
    }
}

/// Effects that are wanted now.
pub(super) fn wanted(state: &State, observed: &Observed, scope: Scope<'_, MachineId>, now: PoolTime) -> Vec<Effect> {
    let may_judge = may_judge(observed, now);
    let effects = |(id, machine, newest): (&MachineId, &Machine, Option<&Seen>)| {
        let is_up = health_of(newest, may_judge, now) == Health::Up;
        let seen = newest.filter(|seen| is_up && seen.is_of(machine));
        let behind = seen.is_some_and(|seen| seen.heartbeat.generation < machine.generation);
        let desired =
            behind.then(|| Effect::SendDesired { machine: id.clone(), desired: Box::new(desired_of(machine)) });
        let task = seen.and_then(|seen| boot_task(machine, seen, now));
        let boot = task.map(|task| Effect::Boot { machine: id.clone(), task: Box::new(task) });
        let keep = direct::keep_kernel(id, machine, observed);
        let task = seen.and_then(|seen| prepare_task(machine, seen));
        let prepare = task.map(|task| Effect::Prepare { machine: id.clone(), task: Box::new(task) });
        desired.into_iter().chain(boot).chain(keep).chain(prepare).chain(switch(id, machine, observed))
    };
    let mut wanted: Vec<Effect> = match scope {
        Scope::Full => observed.along(state).flat_map(effects).collect(),
        Scope::Keys(keys) => {
            let known = keys.iter().filter_map(|id| state.machines.get_key_value(id));
            known.map(|(id, machine)| (id, machine, observed.newest(id))).flat_map(effects).collect()
        }
    };
    let is_reboot = |effect: &Effect| matches!(effect, Effect::Boot { task, .. } if task.reboot);
    if wanted.iter().any(is_reboot) && (state.hold.is_some() || brake(state, observed, now)) {
        wanted.retain(|effect| !is_reboot(effect));
    }
    wanted
}

/// What is to be done to a machine from outside: what this leader began, once; and a look at what an earlier one began.
fn switch(id: &MachineId, machine: &Machine, observed: &Observed) -> Option<Effect> {
    let operation = machine.power.as_ref().filter(|known| known.is_open() && !known.asked)?;
    let (settings, position) = (&machine.settings, operation.position);
    if observed.was_called(id, position) {
        return None;
    }
    let leading_since = observed.leading_since?;
    Some(if operation.begun > leading_since {
        let (power, snapshot) = (settings.power.clone(), settings.snapshot.clone());
        let direct = direct::task_of(machine, operation.task);
        let switch = Switch { position, task: operation.task, begun: operation.begun, power, snapshot, direct };
        Effect::Switch { machine: id.clone(), switch: Box::new(switch) }
    } else {
        let power = settings.power.clone().map(Box::new);
        Effect::LookAtPower { machine: id.clone(), position, power }
    })
}

/// What an agent that is heard is to be told of its machine's boot; none where it knows, or has to wait. Protection beats every order.
fn boot_task(machine: &Machine, seen: &Seen, now: PoolTime) -> Option<BootTask> {
    let boot = machine.boot.as_ref().filter(|boot| boot.is_pending() && !machine.settings.boots_directly())?;
    let told = seen.heartbeat.boot.as_ref().filter(|progress| progress.operation == boot.operation());
    let reboot = match (machine.phase, told.map(|progress| progress.step)) {
        (Phase::Installing, None) => false,
        (Phase::Rebooting, None | Some(BootStep::Installing | BootStep::Installed)) => true,
        (_, _) => return None,
    };
    let may_reboot = seen.is_drained(machine) || (boot.since + machine.settings.drain).is_due(now);
    if machine.protection.machine || (reboot && !may_reboot) {
        return None;
    }
    Some(BootTask {
        operation: boot.operation(),
        epoch: machine.epoch,
        incarnation: machine.incarnation,
        driver: machine.settings.boot_driver?,
        kernel: boot.kernel.clone(),
        nonce: boot.attempt_nonce(),
        reboot,
    })
}

/// What an agent that is heard is to be told of a disk; none where it knows, or may not be told any more.
fn prepare_task(machine: &Machine, seen: &Seen) -> Option<PrepareTask> {
    let order = machine.storage_order().filter(|order| !order.is_known(seen.heartbeat.storage))?;
    let settled = machine.tenure.stage == Stage::Settled && machine.epoch == order.epoch;
    // The protection that its agent has decides again.
    let may_be_told =
        settled && !machine.shields(&order.work.resource) && seen.heartbeat.generation >= machine.generation;
    may_be_told.then(|| PrepareTask {
        position: order.position,
        epoch: machine.epoch,
        incarnation: machine.incarnation,
        work: order.work.clone(),
    })
}
