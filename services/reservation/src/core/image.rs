//! Images: machines that are taken back to a snapshot before they are ready.
//!
//! Responsible for what no machine has, and for machines that could not be taken back. Not for how that is done (machine-lifecycle).

use std::collections::BTreeSet;

use muster_model::{Refusal, RefusalCode};

use super::event::Event;
use super::machine::lost_for_good;
use super::reservation::{Grant, Request, Reservation};
use super::settle::Sight;
use super::state::State;

/// Images that a refusal names.
const NAMED_MAX: usize = 10;

/// Refuses an image that no machine can be taken back to.
pub(super) fn check_known(state: &State, request: &Request) -> Result<(), Refusal> {
    let Some(image) = &request.image else { return Ok(()) };
    let known: BTreeSet<_> = state.machines().filter_map(|(_, machine)| machine.image.as_ref()).collect();
    if known.contains(image) {
        return Ok(());
    }
    let some: Vec<_> = known.iter().take(NAMED_MAX).map(|name| name.as_str()).collect();
    let next = match some[..] {
        [] => "say how machines are taken back: `muster machine set NAME snapshot='...'`".to_owned(),
        _ => format!("there are {}; `muster machine set NAME snapshot='...'` adds others", some.join(", ")),
    };
    let why = format!("no machine has a snapshot `{image}`");
    Err(Refusal::new(RefusalCode::NotFound, "reserve machines", why, next))
}

/// Machines that will not be taken back are given up, and others taken for them as soon as there are any.
pub(super) fn give_up(sight: Sight<'_>, reservation: &Reservation, grant: &Grant) -> Vec<Event> {
    sight.lost(reservation, grant, |machine| lost_for_good(machine).map(str::to_owned))
}
