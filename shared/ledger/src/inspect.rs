//! A log looked at from outside, by somebody who does not own it: where it ends, and whether its archive agrees.

use muster_bus::Bus;
use muster_bus::subjects::Service;
use muster_model::Position;
use muster_proto::v1::Genesis;

use crate::archive::{self, Compared};
use crate::log::Log;
use crate::{LedgerError, chain, genesis};

/// What the archive says of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archived {
    /// The log holds the archive's newest message, which is at this position.
    Agrees(Position),
    /// There is nothing to compare with, and why.
    Nothing(String),
    /// It could not be asked, and why.
    Away(String),
    /// It holds something else than the log, or more.
    Differs(String),
}

/// A log as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Name of the log.
    pub log: &'static str,
    /// Messages in it.
    pub messages: u64,
    /// Position of the newest; none in an empty log.
    pub head: Option<Position>,
    /// What its archive says.
    pub archived: Archived,
}

/// Looks at the log of an owning service.
///
/// # Errors
/// When there is no such log, its newest message can not be read, or the server does not answer.
pub async fn inspect(bus: &Bus, service: Service) -> Result<Inspected, LedgerError> {
    let log = Log::of(bus, service)?;
    let ends = log.existing_ends().await?;
    if ends.messages == 0 {
        let archived = Archived::Nothing("the log is empty".into());
        return Ok(Inspected { log: log.name, messages: 0, head: None, archived });
    }
    let unreadable = || LedgerError::damaged(log.name, format!("message {} can not be read", ends.last));
    let payload = log.message(ends.last).await?.ok_or_else(unreadable)?;
    let head = chain::open(&payload).map_err(|reason| LedgerError::damaged(log.name, reason))?.place.position;
    let archived = match archive::compare(&log, head).await {
        Ok(Compared::Agrees) => archived_head(&log).await,
        Ok(Compared::Nothing(reason)) => Archived::Nothing(reason),
        Ok(Compared::Later(reason)) => Archived::Away(reason),
        Err(LedgerError::Refused { reason, .. }) => Archived::Differs(reason),
        Err(error @ LedgerError::Bus(_)) => return Err(error),
    };
    Ok(Inspected { log: log.name, messages: ends.messages, head: Some(head), archived })
}

/// What a log is before something is put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no such stream.
    Missing,
    /// Nothing is in it.
    Empty,
    /// Nothing but the beginning of a new system.
    Begun,
    /// It was rebuilt from what ended with this message.
    Rebuilt {
        /// BLAKE3 of that message.
        hash: Vec<u8>,
        /// All of it was repeated: nobody broke off.
        is_whole: bool,
    },
    /// It is a log like any other.
    InUse {
        /// Messages in it.
        messages: u64,
    },
}

/// Looks what the log of an owning service is.
///
/// # Errors
/// When the server does not answer.
pub async fn standing(bus: &Bus, service: Service) -> Result<Standing, LedgerError> {
    let log = Log::of(bus, service)?;
    let Some(ends) = log.ends().await? else { return Ok(Standing::Missing) };
    if ends.messages == 0 {
        return Ok(Standing::Empty);
    }
    let genesis = log.message(ends.first).await?.and_then(|payload| genesis::genesis_of(&payload));
    Ok(match genesis {
        Some(genesis) if genesis.rebuilt_from.is_some() => rebuilt(&genesis, ends.messages),
        Some(_) if ends.messages == 1 => Standing::Begun,
        Some(_) | None => Standing::InUse { messages: ends.messages },
    })
}

/// The last message of a rebuilding is one beyond what it repeats.
fn rebuilt(genesis: &Genesis, messages: u64) -> Standing {
    let repeated = genesis.repeats.first().map_or(0, |newest| newest.last + 1 - newest.first);
    Standing::Rebuilt { hash: genesis.rebuilt_hash.to_vec(), is_whole: messages > repeated }
}

/// Position of the newest message that the archive has of a log; none where it has none.
///
/// # Errors
/// When it can not be asked now.
pub async fn archived(bus: &Bus, service: Service) -> Result<Option<Position>, LedgerError> {
    let log = Log::of(bus, service)?;
    let head = archive::head(&log).await.map_err(muster_bus::BusError::from)?;
    Ok(head.map(|head| head.position))
}

async fn archived_head(log: &Log) -> Archived {
    match archive::head(log).await {
        Ok(Some(head)) => Archived::Agrees(head.position),
        Ok(None) => Archived::Nothing("it holds nothing of this log".into()),
        Err(away) => Archived::Away(away.to_string()),
    }
}
