//! Disks that people have prepared as test areas: who may order it, and what came of it.
//!
//! Responsible for refusals and for the end of an order. Not for how it is done: the agent looks at the disk again right before.

use muster_ledger::Now;
use muster_model::{MachineId, Phase, Refusal, RefusalCode, ResourceKind, StorageOutcome, StorageTask};

use super::draft::Draft;
use super::orders::{Objection, is_heard, may_touch};
use super::{Changes, Decided};
use crate::core::health::health;
use crate::core::{
    Event, Fact, Machine, Observed, Protection, Resource, Seen, State, StorageOrdering, StorageReport, StorageWork,
};

/// What the path of a device begins with; directories that stand for disks are elsewhere.
const DEVICES: &str = "/dev/";
/// Signatures of disks that are in use, by what they begin with.
const IN_USE: [&str; 3] = ["mounted:", "held:", "swap:in-use"];

/// Orders a disk to be prepared.
///
/// # Errors
/// When it is not there, or may not be touched.
pub(super) fn order(state: &State, observed: &Observed, ordering: &StorageOrdering, now: Now) -> Decided {
    let StorageOrdering { machine: id, work, confirmed } = ordering;
    let what = format!("{} {} on {id}", work.task, work.resource);
    let Some(machine) = state.machines.get(id) else {
        let next = "`muster machine list` shows what is known";
        return Err(Refusal::new(RefusalCode::NotFound, what, "there is no such machine", next));
    };
    let mut found = machine.inventory.iter().flat_map(|inventory| &inventory.resources);
    let Some(disk) = found.find(|resource| resource.id == work.resource) else {
        let next = format!("`muster resource list {id}` shows what there is");
        return Err(Refusal::new(RefusalCode::NotFound, what, "it has no such resource", next));
    };
    let refuse = |(why, next): Objection| Refusal::new(RefusalCode::Refused, &what, why, next);
    may_touch(id, machine, &work.actor)
        .and_then(|()| is_heard(id, health(observed, id, now.time)))
        .and_then(|()| may_prepare(id, machine, disk, work))
        .and_then(|()| is_its_own(state, id, disk))
        .map_err(refuse)?;
    if work.task == StorageTask::Format && !confirmed {
        let why = format!("what is on it ({}) would be lost", content(disk));
        return Err(refuse((why, "say --yes to do it".into())));
    }
    let mut draft = Draft::new(id, machine.clone(), now);
    let is_so_already = match work.task {
        StorageTask::Mount => disk.area.is_some(),
        StorageTask::Dismount => disk.area.is_none(),
        StorageTask::Format => false,
    };
    if !is_so_already {
        give_to_tests(&mut draft, work);
        draft.push(Fact::StorageOrdered(work.clone()));
    }
    let mut changes = Changes::default();
    changes.take(id, draft.into_events());
    Ok(changes.into_decision(now))
}

/// What is on a disk, for people.
fn content(disk: &Resource) -> String {
    if disk.signatures.is_empty() { "no known signature".into() } else { disk.signatures.join(", ") }
}

/// A disk that people have formatted is given to testing: the signature that it gets does not protect it.
fn give_to_tests(draft: &mut Draft<'_>, work: &StorageWork) {
    let known = &draft.machine().protection;
    if work.task == StorageTask::Format && !known.released.contains(&work.resource) {
        let mut protection: Protection = known.clone();
        protection.released.insert(work.resource.clone());
        draft.push(Fact::ProtectionChanged(protection));
    }
}

/// Why a disk may not be prepared, and what to do about it.
fn may_prepare(id: &MachineId, machine: &Machine, disk: &Resource, work: &StorageWork) -> Result<(), Objection> {
    let object = |why: String, next: String| Err((why, next));
    let wait = || format!("wait until that has ended: `muster machine show {id}`");
    if disk.kind != ResourceKind::Disk {
        return object("it is no disk".into(), format!("`muster resource list {id}` shows its disks"));
    }
    if machine.shields(&disk.id) {
        let next = format!("`muster resource release {id} {}` gives it to testing, whatever is on it", disk.id);
        return object(format!("it is protected ({})", content(disk)), next);
    }
    if let Some(order) = machine.storage_order() {
        let StorageWork { task, resource, actor, .. } = &order.work;
        return object(format!("{task} {resource} of {actor} is under way"), wait());
    }
    if machine.phase != Phase::Ready {
        return object(format!("the machine is {}", machine.phase), wait());
    }
    if machine.is_being_switched() || machine.power_order.is_some() {
        return object("the machine is being switched".into(), wait());
    }
    match (&disk.area, work.task) {
        (Some(_), StorageTask::Format) => {
            let next = format!("`muster resource dismount {id} {}` first", disk.id);
            object(format!("it is mounted as a test area at {}", disk.path), next)
        }
        (Some(_), StorageTask::Mount | StorageTask::Dismount) => Ok(()),
        (None, _) if !disk.path.starts_with(DEVICES) => {
            object(format!("it is the directory {}, and no device", disk.path), "name a disk that is a device".into())
        }
        (None, _) => not_in_use(disk),
    }
}

fn not_in_use(disk: &Resource) -> Result<(), Objection> {
    let is_use = |signature: &&String| IN_USE.iter().any(|word| signature.starts_with(word));
    match disk.signatures.iter().find(is_use) {
        Some(found) => Err((format!("it is in use ({found})"), "end that on the machine first".into())),
        None => Ok(()),
    }
}

/// A disk that another machine reaches too is nobody's to format or to mount: neither sees what the other does.
fn is_its_own(state: &State, id: &MachineId, disk: &Resource) -> Result<(), Objection> {
    let others = state.machines.iter().filter(|(other, machine)| *other != id && !machine.flags.retired);
    let reaches = |(_, machine): &(&MachineId, &Machine)| {
        let mut found = machine.inventory.iter().flat_map(|inventory| &inventory.resources);
        found.any(|one| one.shared_name == disk.shared_name)
    };
    match others.filter(|_| !disk.shared_name.is_empty()).find(reaches) {
        Some((other, _)) => {
            let why = format!("{other} reaches the same disk ({})", disk.shared_name);
            Err((why, "prepare disks that one machine has for itself".into()))
        }
        None => Ok(()),
    }
}

/// An agent's report: the first one of an order that is under way counts.
pub(super) fn done(state: &State, id: &MachineId, report: &StorageReport, now: Now) -> Vec<Event> {
    let Some(machine) = state.machines.get(id) else { return Vec::new() };
    let mut draft = Draft::new(id, machine.clone(), now);
    if machine.storage_order().is_some_and(|order| order.position == report.position) {
        draft.push(Fact::StorageEnded { outcome: report.outcome, detail: report.detail.clone() });
    }
    draft.into_events()
}

/// The end of an order that comes to nothing; none for most machines, at most times.
pub(super) fn failure(machine: &Machine, seen: Option<&Seen>, now: Now) -> Option<String> {
    machine.storage_failure(seen.and_then(|seen| seen.heartbeat.storage), now.time)
}

/// Ends it.
pub(super) fn fail(draft: &mut Draft<'_>, why: String) {
    draft.push(Fact::StorageEnded { outcome: StorageOutcome::Failed, detail: why });
}
