//! Commands of people. What is wrong with one is refused with its place, and changes nothing.

use muster_model::{MachineId, Refusal, RefusalCode, Selector};
use muster_proto::WireError;
use muster_proto::v1;
use muster_proto::v1::machine_command::Kind;

use super::holder::flag_from_wire;
use super::inventory::load_from_wire;
use super::kernel::{kernel_from_wire, kernel_name};
use super::{boot, power, storage};
use crate::core::{Command, FlagSetting, PoolEntry, ProtectionSetting, TagSetting};

/// A command of `actor`; `nonce` is random, and proves the boots that it orders.
///
/// # Errors
/// The refusal for its sender.
pub fn command_from_wire(command: v1::MachineCommand, actor: &str, nonce: &str) -> Result<Command, Refusal> {
    let Some(kind) = command.kind else {
        return Err(invalid("do what was asked", &WireError::missing("MachineCommand", "kind")));
    };
    Ok(match kind {
        Kind::SetFlag(set) => Command::SetFlag(flag(set)?),
        Kind::Remove(remove) => Command::Remove(name("remove a machine", &remove.machine)?),
        Kind::SetProtection(set) => Command::SetProtection(ProtectionSetting {
            selector: selector_from_wire("change protection", &set.selector)?,
            resources: set.resources,
            protect: set.protect,
            machine: set.machine,
        }),
        Kind::SetTags(set) => Command::SetTags(TagSetting {
            selector: selector_from_wire("set tags", &set.selector)?,
            add: set.add.into_iter().collect(),
            remove: set.remove.into_iter().collect(),
        }),
        Kind::SetLoadNumber(set) => {
            if set.number.is_none() && set.numbers.is_empty() {
                let missing = WireError::missing("SetLoadNumber", "number");
                return Err(invalid("set a load number", &missing));
            }
            let numbers = set.number.into_iter().chain(set.numbers).map(|number| load_from_wire(Some(number)));
            let numbers = numbers.collect::<Result<_, _>>().map_err(|error| invalid("set a load number", &error))?;
            Command::SetLoadNumbers(numbers)
        }
        Kind::AddKernel(add) => {
            let kernel = kernel_from_wire(add.kernel).map_err(|error| invalid("add a kernel", &error))?;
            Command::AddKernel(Box::new(kernel))
        }
        Kind::RemoveKernel(remove) => {
            Command::RemoveKernel(kernel_name(&remove.name).map_err(|error| invalid("remove a kernel", &error))?)
        }
        Kind::SetSettings(set) => {
            let what = "set how machines are booted";
            let change = Box::new(boot::settings_change(what, &set)?);
            Command::SetSettings { selector: selector_from_wire(what, &set.selector)?, change }
        }
        Kind::Power(order) => power::ordering(&order, actor)?,
        Kind::SetHold(set) => power::hold_setting(set, actor),
        Kind::PrepareStorage(prepare) => storage::ordering(prepare, actor)?,
        Kind::Boot(order) => boot::boot_order(&order, actor, nonce)?,
        Kind::LoadPool(load) => Command::LoadPool(load.machines.into_iter().map(entry).collect::<Result<_, _>>()?),
    })
}

/// A selector of a request about `what`.
///
/// # Errors
/// The refusal, with the wrong place marked.
pub fn selector_from_wire(what: &str, text: &str) -> Result<Selector, Refusal> {
    Selector::parse(text).map_err(|error| error.into_refusal(what))
}

fn flag(set: v1::SetFlag) -> Result<FlagSetting, Refusal> {
    let what = "set a flag";
    let number = i32::try_from(set.flag).unwrap_or(i32::MAX);
    let known = v1::MachineFlag::try_from(number)
        .map_err(|_| WireError::invalid("SetFlag", "flag", format!("{number} is not known")))
        .and_then(flag_from_wire);
    let selector = selector_from_wire(what, &set.selector)?;
    Ok(FlagSetting { selector, flag: known.map_err(|error| invalid(what, &error))?, value: set.value })
}

fn entry(machine: v1::PoolMachine) -> Result<PoolEntry, Refusal> {
    let what = format!("load the pool file, settings of {}", machine.machine);
    let settings = boot::settings_change(&what, &machine.settings.unwrap_or_default())?;
    Ok(PoolEntry {
        settings,
        machine: name("load the pool file", &machine.machine)?,
        protect: machine.protect.into_iter().collect(),
        protect_machine: machine.protect_machine,
        tags: machine.tags.into_iter().collect(),
        active: machine.active,
    })
}

fn name(what: &str, text: &str) -> Result<MachineId, Refusal> {
    MachineId::new(text)
        .map_err(|error| Refusal::new(RefusalCode::Invalid, what, error.to_string(), "correct the name and try again"))
}

pub(super) fn invalid(what: &str, error: &WireError) -> Refusal {
    let next = "use a `muster` of the same version as the service";
    Refusal::new(RefusalCode::Invalid, what, error.to_string(), next)
}
