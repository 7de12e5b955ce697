//! The first message of a log. Only `init --new-system` writes it: an empty log never starts by itself.

use std::time::Duration;

use bytes::Bytes;
use muster_bus::Bus;
use muster_bus::subjects::Service;
use muster_model::{Position, SystemId};
use muster_proto::v1::{Genesis, TurnBlock, cause::Kind};

use crate::LedgerError;
use crate::append::{Appended, Message, Until, append};
use crate::chain;
use crate::log::Log;
use crate::seal::seal_genesis;

/// The owning services.
const OWNERS: [Service; 3] = [Service::Scheduler, Service::MachineLifecycle, Service::Reservation];
/// How long one genesis may take.
pub(crate) const APPEND_TIMEOUT: Duration = Duration::from_secs(30);

/// What a log is found to be before a system is made.
enum Found {
    Empty(u64),
    /// Nothing but the genesis of a system: an initialisation that was interrupted.
    Begun(SystemId),
    InUse,
}

/// Makes a new system: writes the genesis of `system` into the three logs. One that was interrupted is completed; its system id,
/// which is returned, then stays.
///
/// # Errors
/// [`LedgerError::Refused`] when a log belongs to a system already: a second system on the same NATS is refused.
pub async fn initialise(bus: &Bus, system: SystemId) -> Result<SystemId, LedgerError> {
    let mut empty = Vec::new();
    let mut begun = None;
    for service in OWNERS {
        let log = Log::of(bus, service)?;
        match look(&log).await? {
            Found::Empty(last) => empty.push((log, last)),
            Found::Begun(of) if begun.is_none_or(|begun| begun == of) => begun = Some(of),
            Found::Begun(_) | Found::InUse => return Err(second_system(&log)),
        }
    }
    if let (true, Some(_)) = (empty.is_empty(), begun) {
        return Err(second_system(&Log::of(bus, OWNERS[0])?));
    }
    let system = begun.unwrap_or(system);
    for (log, last) in &empty {
        let genesis = Genesis { system: Bytes::copy_from_slice(&system.0), log: log.name.into(), ..Genesis::default() };
        begin(log, 1, *last, genesis).await?;
        tracing::info!(log = log.name, "log begun");
    }
    Ok(system)
}

/// Writes the first message of a lineage after `last`. Returns its payload.
///
/// # Errors
/// When another message is there.
pub(crate) async fn begin(log: &Log, lineage: u64, last: u64, genesis: Genesis) -> Result<Bytes, LedgerError> {
    let position = Position::new(lineage, last + 1);
    let payload = seal_genesis(position, genesis, log.bus.now(), &chain::blank(&log.bus));
    let message = Message { kind: "genesis", expected: last, payload: payload.clone() };
    let deadline = Until::Deadline(tokio::time::Instant::now() + APPEND_TIMEOUT);
    match append(log, deadline, &message).await? {
        Appended::Landed => Ok(payload),
        Appended::Lost => Err(LedgerError::refused(
            log.name,
            "its first message could not be written",
            "look whether another initialisation runs, or the store is full, and try again",
        )),
    }
}

/// Refuses a log whose neighbours belong to another system.
///
/// # Errors
/// When they do.
pub(crate) async fn check_system(log: &Log, system: SystemId) -> Result<(), LedgerError> {
    for service in OWNERS {
        let other = Log::of(&log.bus, service)?;
        match system_of(&other).await {
            Ok(Some(found)) if found != system => {
                let reason = format!("it belongs to another system than {}", other.name);
                let next = "one NATS account holds one system: use the logs of one of them";
                return Err(LedgerError::refused(log.name, reason, next));
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(log = other.name, %error, "the system of a log was not looked at"),
        }
    }
    Ok(())
}

fn second_system(log: &Log) -> LedgerError {
    let next =
        "a second system on the same NATS is refused: start the services of the first, or use another NATS account";
    LedgerError::refused(log.name, "the log belongs to a system already", next)
}

async fn look(log: &Log) -> Result<Found, LedgerError> {
    let ends = log.existing_ends().await?;
    match ends.messages {
        0 => Ok(Found::Empty(ends.last)),
        1 => Ok(system_of(log).await?.map_or(Found::InUse, Found::Begun)),
        _ => Ok(Found::InUse),
    }
}

/// The system that a log's first message names; none when it is not there, or is not a genesis any more.
async fn system_of(log: &Log) -> Result<Option<SystemId>, muster_bus::BusError> {
    let Some(ends) = log.ends().await?.filter(|ends| ends.messages > 0) else { return Ok(None) };
    let Some(payload) = log.message(ends.first).await? else { return Ok(None) };
    Ok(genesis_of(&payload).and_then(|genesis| genesis.system.as_ref().try_into().ok().map(SystemId)))
}

/// The genesis in a message; none when it holds none.
pub(crate) fn genesis_of(payload: &Bytes) -> Option<Genesis> {
    let TurnBlock { entries } = TurnBlock { entries: chain::open(payload).ok()?.entries };
    match entries.into_iter().next()?.cause?.kind? {
        Kind::Genesis(genesis) => Some(genesis),
        _ => None,
    }
}
