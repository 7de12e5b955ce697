//! Decides: which facts follow from an input. Changes nothing.

mod announced;
mod boot;
mod commands;
mod draft;
mod flaky;
mod hello;
mod kernels;
mod orders;
mod pool;
mod power;
mod preparation;
mod protect;
mod storage;
mod tenure;
mod tick;

use muster_ledger::{Decision, Now};
use muster_model::{MachineId, Refusal};

use super::{Command, Event, Input, MachineCore, Observed, Reply, State};

type Decided = Result<Decision<MachineCore>, Refusal>;

/// Decides one input.
///
/// # Errors
/// The refusal of a command.
pub fn decide(state: &State, observed: &Observed, input: &Input, now: Now) -> Decided {
    let events = match input {
        Input::Hello(hello) => return hello::hello(state, observed, hello, now),
        Input::Command(command) => return decide_command(state, observed, command, now),
        Input::Granted(grant) => tenure::granted(state, grant, now),
        Input::DeadlineMoved { reservation, deadline } => tenure::deadline_moved(state, *reservation, *deadline, now),
        Input::Dropped { reservation, machine } => tenure::dropped(state, *reservation, machine, now),
        Input::Ended { reservation } => tenure::ended(state, *reservation, now),
        Input::FenceDone { machine, epoch } => tenure::fence_done(state, machine, *epoch, now),
        Input::Probed { machine, incarnation, batch, inventory } => {
            hello::probed(state, machine, (*incarnation, *batch), inventory, now)
        }
        Input::Announced { machine, process, boot_id, absence } => {
            announced::announced(state, machine, (*process, boot_id), *absence, now)
        }
        Input::DesiredTaken { machine, incarnation, generation } => {
            protect::desired_taken(state, machine, *incarnation, *generation, now)
        }
        Input::PowerActed { machine, acted } => power::acted(state, machine, acted, now),
        Input::PowerLooked { machine, looked } => power::seen(state, machine, looked, now),
        Input::StorageDone { machine, report } => storage::done(state, machine, report, now),
        Input::Tick => tick::tick(state, observed, now),
    };
    Ok(Decision { events, reply: None })
}

fn decide_command(state: &State, observed: &Observed, command: &Command, now: Now) -> Decided {
    match command {
        Command::SetFlag(setting) => commands::set_flag(state, setting, now),
        Command::Remove(machine) => commands::remove(state, observed, machine, now),
        Command::SetProtection(setting) => protect::set_protection(state, setting, now),
        Command::SetTags(setting) => commands::set_tags(state, setting, now),
        Command::SetLoadNumbers(numbers) => commands::set_load_numbers(state, numbers, now),
        Command::LoadPool(entries) => pool::load_pool(state, entries, now),
        Command::AddKernel(kernel) => kernels::add(state, kernel, now),
        Command::RemoveKernel(name) => kernels::remove(state, name),
        Command::SetSettings { selector, change } => orders::set_settings(state, selector, change, now),
        Command::Power(ordering) => power::order(state, ordering, now),
        Command::Hold(setting) => power::hold(state, setting, now),
        Command::Storage(ordering) => storage::order(state, observed, ordering, now),
        Command::Boot(order) => orders::boot(state, observed, order, now),
    }
}

/// What a command did to single machines, for its reply.
#[derive(Debug, Default)]
struct Changes {
    events: Vec<Event>,
    changed: Vec<MachineId>,
    unchanged: Vec<MachineId>,
}

impl Changes {
    fn take(&mut self, id: &MachineId, events: Vec<Event>) {
        let list = if events.is_empty() { &mut self.unchanged } else { &mut self.changed };
        list.push(id.clone());
        self.events.extend(events);
    }

    fn into_decision(self, now: Now) -> Decision<MachineCore> {
        let reply = Reply::Changed { machines: self.changed, unchanged: self.unchanged, position: now.position };
        Decision { events: self.events, reply: Some(reply) }
    }
}
