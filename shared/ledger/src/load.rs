//! Loading a log: the newest usable snapshot, then the messages after it, every link of the chain checked.

use std::collections::VecDeque;

use muster_bus::{BusError, StreamReader};
use muster_model::{Lineage, Position};
use tokio_util::sync::CancellationToken;

use crate::fold::{Fold, Taken};
use crate::log::{Ends, Log, RETRY_DELAY};
use crate::{Core, LedgerError, chain, snapshot};

/// Messages that are opened ahead of the fold.
const OPENED_AHEAD_MAX: usize = 16;

/// Why a log was not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It must not be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The server did not answer: try again.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// A loaded log, and the reader that goes on after it.
pub(crate) struct Loaded<C: Core> {
    /// The fold.
    pub(crate) fold: Fold<C>,
    /// Reads the message after its head.
    pub(crate) reader: StreamReader,
    /// Position of the snapshot that it began with.
    pub(crate) snapshot: Position,
}

/// Loads a log, trying again for as long as the server does not answer. None when told to stop.
///
/// # Errors
/// When the log must not be used.
pub(crate) async fn load<C: Core>(log: &Log, stop: &CancellationToken) -> Result<Option<Loaded<C>>, LedgerError> {
    loop {
        let Some(result) = stop.run_until_cancelled(load_once(log)).await else { return Ok(None) };
        match result {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(LoadError::Ledger(error)) => return Err(error),
            Err(LoadError::Bus(error)) => {
                tracing::warn!(log = log.name, %error, "loading the log failed, trying again");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

async fn load_once<C: Core>(log: &Log) -> Result<Loaded<C>, LoadError> {
    let ends = log.existing_ends().await?;
    if ends.messages == 0 {
        let next = format!(
            "for a new system run `muster admin init --new-system`; if there was one, run `muster admin recover {}`",
            log.name
        );
        return Err(
            LedgerError::refused(log.name, "the log is empty, and an empty log never starts by itself", next).into()
        );
    }
    let lineage = lineage_at(log, ends.last).await?;
    let (mut fold, snapshot) = match snapshot::newest::<C>(log, ends, lineage).await? {
        Some(fold) => {
            let position = fold.head.position;
            (fold, position)
        }
        None => (begin(log, ends).await?, Position::default()),
    };
    let mut reader = log.bus.read(log.name, "", fold.head.position.sequence.0 + 1);
    if catch_up(log, &mut fold, &mut reader, ends.last).await? == Taken::Gap {
        return Err(gap(log, fold.head.position).await?);
    }
    let position = fold.head.position;
    tracing::info!(log = log.name, %position, term = fold.head.term.0, "log loaded");
    Ok(Loaded { fold, reader, snapshot })
}

/// Why a load met a gap: the log was shortened meanwhile, so that it has to be tried again, or it has a hole.
async fn gap(log: &Log, head: Position) -> Result<LoadError, BusError> {
    let next = head.sequence.0 + 1;
    match log.ends().await?.map(|ends| ends.first) {
        Some(first) if first > next => Ok(away(log, format!("it was shortened to message {first} meanwhile")).into()),
        _ => Ok(LedgerError::damaged(log.name, format!("message {next} does not follow {head}")).into()),
    }
}

/// Folds up to `last`. Messages are opened ahead, on other threads. A gap is for the caller to judge: the log may have been shortened,
/// or rebuilt, since it was loaded.
///
/// # Errors
/// When the chain is broken, or the server does not answer.
pub(crate) async fn catch_up<C: Core>(
    log: &Log,
    fold: &mut Fold<C>,
    reader: &mut StreamReader,
    last: u64,
) -> Result<Taken, LoadError> {
    let mut unread = last.saturating_sub(fold.head.position.sequence.0);
    let mut opening = VecDeque::new();
    loop {
        while unread > 0 && opening.len() < OPENED_AHEAD_MAX {
            let message = log.next_of(reader).await?;
            opening.push_back(tokio::spawn(async move { (message.sequence, chain::open(&message.payload)) }));
            unread -= 1;
        }
        let Some(next) = opening.pop_front() else { return Ok(Taken::Applied) };
        let (sequence, opened) = next.await.map_err(|error| away(log, error.to_string()))?;
        let taken = fold.take_opened(sequence, opened).map_err(|reason| LedgerError::damaged(log.name, reason))?;
        if taken == Taken::Gap {
            return Ok(Taken::Gap);
        }
    }
}

fn away(log: &Log, reason: String) -> BusError {
    BusError::Failed { what: format!("read the stream {}", log.name), reason }
}

async fn begin<C: Core>(log: &Log, ends: Ends) -> Result<Fold<C>, LoadError> {
    let missing = || LedgerError::damaged(log.name, format!("message {} can not be read", ends.first));
    let payload = log.message(ends.first).await?.ok_or_else(missing)?;
    Fold::begin(ends.first, &payload).map_err(|reason| LedgerError::damaged(log.name, reason).into())
}

async fn lineage_at(log: &Log, sequence: u64) -> Result<Lineage, LoadError> {
    let damaged =
        |reason: String| LedgerError::damaged(log.name, format!("message {sequence} can not be read: {reason}"));
    let payload = log.message(sequence).await?.ok_or_else(|| damaged("it is not there".into()))?;
    Ok(chain::open(&payload).map_err(damaged)?.place.position.lineage)
}
