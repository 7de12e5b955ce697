//! Boots from outside: QEMU is started with the ordered kernel, once; the machine's agent has no part in it.
//!
//! Responsible for what is wanted of such a boot, and for when its machine may be started. Its course is that of every boot
//! (`decide/boot.rs`), its start is an operation on the machine's power like any other, and its proof is the hello.

use std::sync::Arc;

use muster_model::{BootDriver, MachineId, Phase, PoolTime, PowerAction};

use super::power::{PowerOutcome, PowerTask};
use super::{Effect, Kernel, Machine, Observed, Seen, Settings};

/// What such a boot takes a machine through: off, and on with the kernel.
pub const START: PowerTask = PowerTask::Power(PowerAction::Cycle);

/// What QEMU is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectTask {
    /// The kernel.
    pub kernel: Arc<Kernel>,
    /// The nonce of the boot.
    pub nonce: String,
}

impl Settings {
    /// The machine is booted from outside.
    #[must_use]
    pub fn boots_directly(&self) -> bool {
        self.boot_driver == Some(BootDriver::QemuDirect)
    }

    /// Why it can not be booted as its driver would, for people; none where it can.
    #[must_use]
    pub fn lacks_for_boot(&self) -> Option<&'static str> {
        let has = self.power.as_ref().is_some_and(|power| power.direct().is_some());
        (self.boots_directly() && !has).then_some("its power is not one that starts QEMU with a kernel from outside")
    }
}

/// The kernel of a boot that is to be installed, until it is known what came of that.
pub(super) fn keep_kernel(id: &MachineId, machine: &Machine, observed: &Observed) -> Option<Effect> {
    let boot = machine.boot.as_ref().filter(|boot| boot.is_pending() && machine.phase == Phase::Installing)?;
    let kernel = boot.kernel.as_ref().filter(|_| machine.settings.boots_directly())?.clone();
    let operation = boot.operation();
    observed.kernel_kept(id, operation).is_none().then(|| {
        let power = machine.settings.power.clone().map(Box::new);
        Effect::KeepKernel { machine: id.clone(), operation, kernel, power }
    })
}

/// With what an operation starts QEMU. Only the start of an ordered boot takes its kernel; every other one is the machine's own.
pub(super) fn task_of(machine: &Machine, task: PowerTask) -> Option<DirectTask> {
    let gives_power = matches!(task, PowerTask::Power(PowerAction::On | PowerAction::Cycle));
    let goes = gives_power && machine.settings.boots_directly() && machine.phase == Phase::Rebooting;
    let boot = machine.boot.as_ref().filter(|boot| goes && boot.is_pending())?;
    Some(DirectTask { kernel: boot.kernel.clone()?, nonce: boot.attempt_nonce()? })
}

/// A machine that is to be booted from outside may be started now: it was not in this attempt, and nothing lives on it.
pub(super) fn may_start(machine: &Machine, seen: Option<&Seen>, now: PoolTime) -> bool {
    let Some(boot) = machine.boot.as_ref().filter(|boot| boot.is_pending() && boot.escalations == 0) else {
        return false;
    };
    let drained = seen.is_some_and(|seen| seen.is_drained(machine));
    machine.settings.boots_directly()
        && machine.phase == Phase::Rebooting
        && (drained || (boot.since + machine.settings.drain).is_due(now))
}

/// Why the start of this attempt came to nothing; none where it did not, or nobody knows.
pub(super) fn failure(machine: &Machine) -> Option<String> {
    let boot = machine.boot.as_ref().filter(|boot| boot.is_pending() && boot.escalations > 0)?;
    let started =
        machine.power.as_ref().filter(|known| known.begun >= boot.since && machine.settings.boots_directly())?;
    let failed = matches!(started.outcome, Some(PowerOutcome::Failed | PowerOutcome::Dropped));
    (failed && machine.phase == Phase::Rebooting).then(|| started.detail.clone())
}
