//! Power and snapshots as effects: one call of a driver, with a look at what came of it, or a look alone.
//!
//! Responsible for what is checked right before the call: that the order is not old. The effects run only while the lease holds.

use std::path::PathBuf;
use std::time::Duration;

use muster_bus::Bus;
use muster_drivers::{
    Deadline, Outcome, Pace, PowerDriver, act_and_read_back, direct_power_driver, power_driver, restore_and_read_back,
    snapshot_driver,
};
use muster_ledger::Handle;
use muster_model::{MachineId, Position, PowerAction, PowerSpec, PowerState};

use crate::core::limits::POWER_AGE_MAX;
use crate::core::power::{PowerOutcome, PowerTask};
use crate::core::{Input, MachineCore, Observation, PowerActed, PowerLooked, Switch};
use crate::{direct, dumps, metrics};

/// One call of a driver takes at most so long; two of them and the looks between fit into what an effect is given.
const CALL_MAX: Duration = Duration::from_secs(60);

/// Does what was begun, and says what became of it.
pub(crate) async fn switch(bus: &Bus, machine: MachineId, switch: Switch, handle: &Handle<MachineCore>) {
    let position = switch.position;
    if !handle.observe(Observation::PowerCalled { machine: machine.clone(), position }) {
        // The core does not know that it is called: it is wanted again.
        return;
    }
    let task = switch.task;
    let driver = power_of(bus, &machine, &switch).await;
    let age = bus.now().since(switch.begun);
    let (outcome, mut detail) = if age > POWER_AGE_MAX {
        (Some(PowerOutcome::Dropped), format!("it was {age:?} old when its turn came"))
    } else {
        tracing::warn!(machine_id = %machine, %task, "a machine is switched");
        perform(&machine, &switch, driver).await
    };
    let mut dump = None;
    if let Some(path) = dump_of(&machine, &switch).filter(|_| outcome == Some(PowerOutcome::Done)) {
        let (kept, said) = dumps::keep(bus, &machine, position, &path).await;
        detail = format!("{detail}; {said}");
        dump = kept;
    }
    metrics::switched(task, outcome);
    tracing::warn!(machine_id = %machine, %task, ?outcome, detail, "a machine was switched");
    let acted = PowerActed { position, outcome, detail, dump };
    handle.submit(Input::PowerActed { machine, acted }).await;
}

/// Where the driver writes the machine's memory, if that is what is done.
fn dump_of(machine: &MachineId, switch: &Switch) -> Option<PathBuf> {
    let spec = switch.power.as_ref().filter(|_| switch.task == PowerTask::Power(PowerAction::Dump))?;
    muster_drivers::dump_file(spec, machine)
}

/// The driver of its power, with the kernel that it is to start from outside, if any; or why there is none.
async fn power_of(bus: &Bus, machine: &MachineId, switch: &Switch) -> Result<Box<dyn PowerDriver>, String> {
    let gone = || "its setting `power=` was taken away".to_owned();
    let spec = switch.power.as_ref().ok_or_else(gone)?;
    let Some(task) = &switch.direct else { return Ok(power_driver(spec, machine)) };
    let boot = direct::prepare(bus, machine, task, Some(spec)).await.map_err(|error| format!("{error:#}"))?;
    direct_power_driver(spec, machine, &boot).ok_or_else(gone)
}

/// What became of it, none when a person was asked; and what was seen.
async fn perform(
    machine: &MachineId,
    switch: &Switch,
    driver: Result<Box<dyn PowerDriver>, String>,
) -> (Option<PowerOutcome>, String) {
    let gone = |what: &str| (Some(PowerOutcome::Failed), format!("its setting `{what}=` was taken away"));
    match switch.task {
        PowerTask::Power(action) => {
            let driver = match driver {
                Ok(driver) => driver,
                Err(why) => return (Some(PowerOutcome::Failed), why),
            };
            let acted = act_and_read_back(&*driver, action, CALL_MAX, &Pace::default()).await;
            let complaint = acted.complaint.map_or_else(String::new, |error| format!(": {error}"));
            let detail = format!("its power is {}{complaint}", acted.seen);
            (outcome_of(acted.outcome), detail)
        }
        PowerTask::Revert => {
            let Some(spec) = &switch.snapshot else { return gone("snapshot") };
            let driver = snapshot_driver(spec, machine);
            let restored = restore_and_read_back(&*driver, muster_model::SnapshotAction::Revert, CALL_MAX).await;
            let complaint =
                restored.complaint.map_or_else(|| "it was taken back".to_owned(), |error| error.to_string());
            (outcome_of(restored.outcome), complaint)
        }
    }
}

fn outcome_of(outcome: Outcome) -> Option<PowerOutcome> {
    match outcome {
        Outcome::Confirmed => Some(PowerOutcome::Done),
        Outcome::Differs | Outcome::Failed => Some(PowerOutcome::Failed),
        Outcome::Unseen => Some(PowerOutcome::Unclear),
        Outcome::Asked => None,
    }
}

/// Looks at the power of a machine on which an earlier leader began something.
pub(crate) async fn look(
    machine: MachineId,
    position: Position,
    power: Option<Box<PowerSpec>>,
    handle: &Handle<MachineCore>,
) {
    let state = match &power {
        Some(spec) => {
            let driver = power_driver(spec, &machine);
            let seen = driver.state(Deadline::within(Pace::default().look_max)).await;
            seen.unwrap_or(PowerState::Unknown)
        }
        None => PowerState::Unknown,
    };
    tracing::info!(machine_id = %machine, %state, "the power of a machine was looked at");
    handle.submit(Input::PowerLooked { machine, looked: PowerLooked { position, state } }).await;
}
