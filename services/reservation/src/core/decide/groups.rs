//! Commands of groups: in the name of a master, one machine less, and many reservations of one machine each.

use std::time::Duration;

use muster_ledger::{Decision, Now};
use muster_model::{GroupMaster, JobNumber, MachineId, NotifyTarget, Refusal, RefusalCode, ReservationId, Selector};

use super::commands::{
    Decided, RESERVATIONS_HINT, RESERVE, already, check_possible, checked, command, decided, owned, queued,
};
use crate::core::event::Event;
use crate::core::input::{ClientsWanted, Command};
use crate::core::limits::{CHECKOUT_FOR, CLIENTS_FOR, EACH_MAX, MACHINES_MAX};
use crate::core::notice::Notify;
use crate::core::record::Record;
use crate::core::reservation::{End, Request, Stage};
use crate::core::state::State;
use crate::core::{Reply, grants};

/// A command in the name of a master. Its user is who the master belongs to.
pub(super) fn on_behalf(state: &State, user: &str, master: GroupMaster, wish: &Command, now: Now) -> Decided {
    match wish {
        Command::Reserve(reserve) => {
            check_master(state, user, master)?;
            // Its master is there, and sees how it stands.
            let (notify, no_show) = (Some(NotifyTarget::None), Some(Duration::ZERO));
            let reserve = crate::core::Reserve { master: Some(master), notify, no_show, ..reserve.clone() };
            command(state, user, &Command::Reserve(reserve), now)
        }
        Command::Dismiss { id: ReservationId(0), machine } => {
            let has = |id: &ReservationId| state.holder(machine) == Some(*id);
            let Some(id) = state.clients_of(master).find(has) else {
                let why = format!("{machine} is no client of {master}");
                return Err(Refusal::new(RefusalCode::NotFound, DISMISS, why, CLIENTS_HINT));
            };
            dismiss(state, user, id, machine, now)
        }
        Command::Extend { id, .. } | Command::CheckIn { id } | Command::Dismiss { id, .. } => {
            if state.clients_of(master).any(|client| client == *id) {
                return command(state, user, wish, now);
            }
            let why = format!("reservation {id} is no client of {master}");
            Err(Refusal::new(RefusalCode::NotFound, "change a client", why, CLIENTS_HINT))
        }
        Command::SetQuota { .. } | Command::OnBehalf { .. } | Command::Accept { .. } | Command::Revoke { .. } => {
            let why = "a master asks for clients, extends and dismisses them, and nothing else";
            Err(Refusal::new(RefusalCode::Refused, "act for a master", why, CLIENTS_HINT))
        }
    }
}

const DISMISS: &str = "dismiss a machine";
const CLIENTS_HINT: &str = "`muster client list` lists the clients";

/// Whether a reservation may be a master: one that is ready, of the same user, and nobody's client itself. Of a process the scheduler says
/// whether it lives.
fn check_master(state: &State, user: &str, master: GroupMaster) -> Result<(), Refusal> {
    let GroupMaster::Reservation(id) = master else { return Ok(()) };
    let reservation = owned(state, user, id, RESERVE)?;
    let refused = |why: String, next: &str| Err(Refusal::new(RefusalCode::Refused, RESERVE, why, next));
    if reservation.request.master.is_some() {
        return refused(format!("reservation {id} is a client itself"), "ask in the name of its master");
    }
    match &reservation.stage {
        Stage::Ready(_) => Ok(()),
        Stage::Ended(ended) => refused(already(ended), RESERVATIONS_HINT),
        Stage::Queued | Stage::Preparing(_) => refused(
            format!("reservation {id} is not ready yet"),
            "wait for it: `muster reservation show` says how it stands",
        ),
    }
}

/// One machine less. The last one ends the reservation.
pub(super) fn dismiss(state: &State, user: &str, id: ReservationId, machine: &MachineId, now: Now) -> Decided {
    let reservation = owned(state, user, id, DISMISS)?;
    let refused = |why: String, next: &str| Err(Refusal::new(RefusalCode::Refused, DISMISS, why, next));
    let grant = match &reservation.stage {
        Stage::Ready(grant) => grant,
        Stage::Ended(ended) => return refused(already(ended), RESERVATIONS_HINT),
        Stage::Queued | Stage::Preparing(_) => {
            return refused(format!("reservation {id} is not ready yet"), "check it in, or wait until it is");
        }
    };
    if !grant.machines.contains(machine) {
        return refused(format!("{machine} is not one of its machines"), "`muster reservation show` names them");
    }
    let event = match grant.machines.len() {
        1 => Event::Ended { id, end: End::Released, reason: "its last machine was dismissed".into() },
        _ => Event::Dismissed { id, machine: machine.clone() },
    };
    Ok(decided(state, reservation.clone(), vec![event], now))
}

/// So many reservations of one machine each. They are served in the next pass.
pub(super) fn reserve_each(state: &State, request: Request, now: Now) -> Decided {
    let refused = |why: String, next: &str| Err(Refusal::new(RefusalCode::Invalid, RESERVE, why, next));
    if request.rollout.is_some() || request.minimum > 0 {
        return refused(
            "one by one they have neither a kernel nor a minimum".into(),
            "leave those out, or reserve them together",
        );
    }
    if request.count > EACH_MAX {
        let why = format!("{} are wanted one by one, and one command asks for at most {EACH_MAX}", request.count);
        return Err(Refusal::new(RefusalCode::Limit, RESERVE, why, "ask several times, or reserve them together"));
    }
    let count = request.count;
    let request = Request { count: 1, ..checked(state, request, now)? };
    let mut id = state.last();
    let mut all = Vec::new();
    for _ in 0..count {
        id = id.next();
        all.push(queued(id, request.clone(), now));
    }
    if let Some(first) = all.first() {
        check_possible(state, first)?;
    }
    let events = all.iter().map(|one| Event::Queued { id: one.id, request: one.request.clone() }).collect();
    let records = all.iter().map(|one| Record::of(state, one)).collect();
    Ok(Decision { events, reply: Some(Reply::Reservations(records)) })
}

/// Clients that the manifest of a module asks for: one request for each process, served in the next pass. The catalogue has read the
/// selector.
pub(in crate::core) fn clients_wanted(state: &State, wanted: &ClientsWanted) -> Vec<Event> {
    let request = |master, selector| Request {
        master: Some(master),
        ..plain(&wanted.user, selector, wanted.count.min(MACHINES_MAX), CLIENTS_FOR)
    };
    let mut id = state.last();
    let mut events = Vec::new();
    for (master, selector) in wanted.masters.iter().take(EACH_MAX as usize) {
        if let Ok(selector) = Selector::parse(selector) {
            id = id.next();
            events.push(Event::Queued { id, request: request(*master, selector) });
        }
    }
    events
}

/// A request that nobody wrote: of no kernel, drain, priority or notice.
fn plain(user: &str, selector: Selector, count: u32, duration: Duration) -> Request {
    Request {
        user: user.to_owned(),
        selector,
        count,
        duration,
        drain: Duration::ZERO,
        comment: String::new(),
        rollout: None,
        priority: 0,
        minimum: 0,
        until: None,
        master: None,
        notify: Notify::default(),
        no_show: None,
        ssh_key: None,
        image: None,
    }
}

/// A task of a plan failed, and its machines go to the owner of the plan. Those that its owner has already stay as they are.
pub(in crate::core) fn checkout_asked(
    state: &State,
    user: &str,
    machines: &[MachineId],
    (job, task): (JobNumber, u32),
    now: Now,
) -> Vec<Event> {
    let is_theirs = |machine: &&MachineId| {
        let holder = state.holder(machine).and_then(|id| state.reservation(id));
        holder.is_some_and(|holder| holder.request.user == user)
    };
    let wanted: Vec<&str> = machines.iter().filter(|machine| !is_theirs(machine)).map(MachineId::as_str).collect();
    let (Ok(selector), Ok(count)) = (Selector::parse(&wanted.join(",")), u32::try_from(wanted.len())) else {
        return Vec::new();
    };
    if count == 0 {
        return Vec::new();
    }
    let comment = format!("task {} of plan {job} failed", task + 1);
    let reservation =
        queued(state.last().next(), Request { comment, ..plain(user, selector, count, CHECKOUT_FOR) }, now);
    let mut events = vec![Event::Queued { id: reservation.id, request: reservation.request.clone() }];
    events.extend(grants::grants(state, Some(&reservation), &[], now.time));
    events
}
