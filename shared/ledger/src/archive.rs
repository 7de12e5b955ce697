//! The second copy of a log: what the telemetry-logger holds in PostgreSQL, compared by (sequence, hash).

use std::time::Duration;

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, BusError, RequestError, body};
use muster_model::Position;
use muster_proto::v1::{ArchiveQuery, ArchivedMessage, envelope::Body};

use crate::LedgerError;
use crate::chain::{self, Hash};
use crate::log::Log;

/// How long the archive may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Rows asked for at once.
const ROWS_MAX: u32 = 256;

/// The newest archived message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ArchivedHead {
    /// Its position.
    pub(crate) position: Position,
    /// Its hash.
    pub(crate) hash: Hash,
}

/// The archive can not be asked now.
#[derive(Debug, thiserror::Error)]
#[error("ask the archive: {0}")]
pub(crate) struct Away(pub(crate) String);

/// What the comparison said.
#[derive(Debug)]
pub(crate) enum Compared {
    /// The log holds the archive's newest message.
    Agrees,
    /// The archive's newest message is of no use: there is none yet, or it is from before the log begins.
    Nothing(String),
    /// The archive, or the log, did not answer.
    Later(String),
}

/// Compares a log with its archive.
///
/// # Errors
/// When the archive holds more than the log, or something else.
pub(crate) async fn compare(log: &Log, at: Position) -> Result<Compared, LedgerError> {
    let head = match head(log).await {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(Compared::Nothing("it holds nothing of this log yet".into())),
        Err(away) => return Ok(Compared::Later(away.to_string())),
    };
    if head.position.lineage < at.lineage {
        return Ok(Compared::Nothing(format!("it ends at {}, and the log is at {at}", head.position)));
    }
    if head.position.lineage > at.lineage || head.position.sequence > at.sequence {
        // What was appended since `at` was taken may be archived already.
        let last = match log.ends().await {
            Ok(ends) => ends.map_or(0, |ends| ends.last),
            Err(error) => return Ok(Compared::Later(error.to_string())),
        };
        if head.position.lineage > at.lineage || head.position.sequence.0 > last {
            let reason = format!("it ends at {}/{last}, and its archive at {}", at.lineage.0, head.position);
            return Err(LedgerError::damaged(log.name, reason));
        }
    }
    match log.message(head.position.sequence.0).await {
        Ok(Some(payload)) if chain::hash(&payload) != head.hash => {
            let reason = format!("message {} is not the one that was archived", head.position.sequence.0);
            Err(LedgerError::damaged(log.name, reason))
        }
        Ok(Some(_)) => Ok(Compared::Agrees),
        Ok(None) => Ok(Compared::Nothing(format!("it ends at {}, which the log does not hold", head.position))),
        Err(error) => Ok(Compared::Later(error.to_string())),
    }
}

/// The newest archived message of a log; none when it has none.
///
/// # Errors
/// When the archive can not be asked now.
pub(crate) async fn head(log: &Log) -> Result<Option<ArchivedHead>, Away> {
    let query = ArchiveQuery { log: log.name.into(), from: None, head_only: true, limit: 1 };
    let Some(message) = ask(&log.bus, query).await?.pop() else { return Ok(None) };
    let hash = hash_of(&message)?;
    Ok(Some(ArchivedHead { position: message.position.unwrap_or_default().into(), hash }))
}

/// Archived messages of a log from a position on, at most as many as one answer holds.
///
/// # Errors
/// When the archive can not be asked now.
pub(crate) async fn rows(log: &Log, from: Position) -> Result<Vec<ArchivedMessage>, Away> {
    ask(&log.bus, ArchiveQuery { log: log.name.into(), from: Some(from.into()), head_only: false, limit: ROWS_MAX })
        .await
}

/// Hash that an archived message is kept under.
///
/// # Errors
/// When it is none.
pub(crate) fn hash_of(message: &ArchivedMessage) -> Result<Hash, Away> {
    let hash: &Bytes = &message.hash;
    Hash::try_from(hash.as_ref()).map_err(|_| Away("a row has no hash of 32 bytes".into()))
}

async fn ask(bus: &Bus, query: ArchiveQuery) -> Result<Vec<ArchivedMessage>, Away> {
    let envelope = bus.envelope(Body::ArchiveQuery(query), Authority::default());
    let subject = bus.service(Service::TelemetryLogger, "archive");
    let answer = bus.request(&subject, &envelope, ASK_TIMEOUT).await;
    match answer
        .map_err(|error: RequestError| Away(error.to_string()))
        .and_then(|answer| body(answer).map_err(|e| Away(e.into())))?
    {
        Body::ArchiveReply(reply) => Ok(reply.messages),
        Body::Refusal(refusal) => Err(Away(format!("{}: {}", refusal.what, refusal.why))),
        _ => Err(Away("it answered something else".into())),
    }
}

impl From<Away> for BusError {
    fn from(away: Away) -> Self {
        Self::Failed { what: "ask the archive".into(), reason: away.0 }
    }
}
