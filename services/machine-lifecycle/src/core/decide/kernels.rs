//! The list of kernels.

use std::collections::BTreeSet;

use muster_ledger::{Decision, Now};
use muster_model::boot::nonce_in;
use muster_model::{KernelName, Refusal, RefusalCode};

use super::Decided;
use crate::core::limits::{COMMAND_LINE_MAX, KERNELS_MAX};
use crate::core::{Event, Kernel, Reply, State};

/// Takes a kernel into the list. The same one again changes nothing.
///
/// # Errors
/// When something of it is not valid, or another one has its name.
pub(super) fn add(state: &State, given: &Kernel, now: Now) -> Decided {
    let what = format!("add the kernel {}", given.name);
    check(given, &what)?;
    let kernel = Kernel { added: now.time, ..given.clone() };
    match state.kernels.get(&given.name) {
        Some(known) if Kernel { added: now.time, ..known.clone() } == kernel => {
            return Ok(decision(Vec::new(), known.clone(), BTreeSet::new()));
        }
        Some(known) => {
            let why = format!("there is another one of this name, with release {}", known.release);
            let next = format!("give it another --name, or `muster kernel remove {}` first", known.name);
            return Err(Refusal::new(RefusalCode::Refused, what, why, next));
        }
        None if state.kernels.len() >= KERNELS_MAX => {
            let why = format!("there are {KERNELS_MAX} kernels already");
            return Err(Refusal::new(RefusalCode::Limit, what, why, "remove some: `muster kernel list` shows them"));
        }
        None => {}
    }
    Ok(decision(vec![Event::KernelAdded(kernel.clone())], kernel, BTreeSet::new()))
}

/// Takes a kernel out of the list.
///
/// # Errors
/// When there is none of this name, or a machine needs it.
pub(super) fn remove(state: &State, name: &KernelName) -> Decided {
    let what = format!("remove the kernel {name}");
    let kernel = known(state, name, &what)?;
    let needed = state.machines.iter().find(|(_, machine)| {
        machine.boot.as_ref().is_some_and(|boot| boot.kernel.as_ref().is_some_and(|kernel| kernel.name == *name))
    });
    if let Some((id, _)) = needed {
        let why = format!("{id} was ordered into it, and would be again after a crash");
        let next = format!("boot it into another one first: `muster machine boot {id} --stock`");
        return Err(Refusal::new(RefusalCode::Refused, what, why, next));
    }
    let others = state.kernels.values().filter(|other| other.name != *name);
    let used: BTreeSet<&str> = others.flat_map(Kernel::files).map(|file| file.sha256.as_str()).collect();
    let unused = kernel.files().map(|file| file.sha256.as_str()).filter(|sha256| !used.contains(sha256));
    let unused = unused.map(str::to_owned).collect();
    Ok(decision(vec![Event::KernelRemoved(name.clone())], kernel.clone(), unused))
}

/// A kernel by its name.
///
/// # Errors
/// When there is none of this name.
pub(super) fn known<'a>(state: &'a State, name: &KernelName, what: &str) -> Result<&'a Kernel, Refusal> {
    let next = "`muster kernel list` shows all, `muster kernel add` adds one";
    let missing = || Refusal::new(RefusalCode::NotFound, what, format!("there is no kernel `{name}`"), next);
    state.kernels.get(name).ok_or_else(missing)
}

fn decision(events: Vec<Event>, kernel: Kernel, unused: BTreeSet<String>) -> Decision<crate::core::MachineCore> {
    let reply = Reply::Kernel { kernel: Box::new(kernel), unchanged: events.is_empty(), unused };
    Decision { events, reply: Some(reply) }
}

fn check(kernel: &Kernel, what: &str) -> Result<(), Refusal> {
    let invalid = |why: String, next: &str| Err(Refusal::new(RefusalCode::Invalid, what, why, next));
    let again = "use a `muster` of the same version as the service";
    let word = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !word(&kernel.release) || !word(&kernel.architecture) {
        return invalid("its release or architecture is no word of 1 to 64 characters".into(), again);
    }
    if !is_hex(&kernel.build_id) || kernel.build_id.len() > 128 {
        return invalid(format!("`{}` is no build id", kernel.build_id), again);
    }
    if let Some(file) = kernel.files().find(|file| file.sha256.len() != 64 || !is_hex(&file.sha256)) {
        return invalid(format!("`{}` is no SHA-256", file.sha256), again);
    }
    if nonce_in(&kernel.command_line).is_some() {
        let why = "its command line has the word that proves boots".to_owned();
        return invalid(why, "leave `muster.boot=` out of --cmdline: it is added to every boot");
    }
    let line = &kernel.command_line;
    if line.len() > COMMAND_LINE_MAX || line.chars().any(char::is_control) {
        let why = format!("its command line is no line of at most {COMMAND_LINE_MAX} bytes");
        return invalid(why, "shorten --cmdline, and write it as one line");
    }
    Ok(())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
