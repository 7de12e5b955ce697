//! The three services: how each one's core meets what is said to it. The same conversions as in the services themselves.

mod jobs;
mod machines;
mod reservations;

use muster_model::{MachineId, Refusal, RefusalCode};

pub(crate) use jobs::JobPart;
pub(crate) use machines::MachinePart;
pub(crate) use reservations::ReservationPart;

fn machine_id(name: &str) -> MachineId {
    MachineId::new(name).expect("simulated machines have legal names")
}

fn misunderstood() -> Refusal {
    Refusal::new(RefusalCode::Invalid, "take a request", "it is not one to this service", "ask another one")
}
