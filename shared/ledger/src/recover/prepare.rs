//! Makes room for a rebuilt log: its stream is emptied, and counts on from where it is.

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use muster_bus::{BusError, subjects};

use super::RecoverOptions;
use crate::LedgerError;
use crate::log::Log;

/// Last token of the subject of what is sent to learn and to set right how the server counts; none of it stays.
const SETTLING: &str = "settling";

/// Makes sure that the stream is empty. Returns its last sequence.
pub(super) async fn prepare(log: &Log, options: RecoverOptions) -> Result<u64, LedgerError> {
    let ends = log.ends().await?.ok_or_else(|| {
        LedgerError::refused(
            log.name,
            "there is no such stream",
            "make it with `muster admin init`, then recover again",
        )
    })?;
    if ends.messages == 0 {
        return Ok(ends.last);
    }
    if !options.replace {
        let reason = format!("the log still holds {} messages", ends.messages);
        let next = "keep a copy of the stream (`nats stream backup`), then recover again with --replace";
        return Err(LedgerError::refused(log.name, reason, next));
    }
    empty(log).await?;
    let mut ends = log.ends().await?;
    if ends.map(|ends| ends.last) != last_counted(log).await? {
        settle_count(log).await?;
        empty(log).await?;
        ends = log.ends().await?;
    }
    let next = "move the stream's folder away on the NATS server, restart it, and run `muster admin init`";
    let ends = ends.filter(|ends| ends.messages == 0);
    Ok(ends.ok_or_else(|| LedgerError::refused(log.name, "the stream can not be emptied", next))?.last)
}

/// Last sequence as the server counts when it is asked to store something. A server whose store was damaged goes on counting from what
/// the store once held, and refuses what follows the last message that it says it has.
async fn last_counted(log: &Log) -> Result<Option<u64>, LedgerError> {
    let impossible = PublishMessage::build().expected_last_sequence(i64::MAX.unsigned_abs());
    let subject = subjects::log(log.service, SETTLING);
    let sent = log.bus.jetstream().send_publish(subject, impossible).await;
    let refusal = match sent {
        Ok(acknowledgement) => acknowledgement.await.map(drop),
        Err(error) => Err(error),
    };
    match refusal {
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(counted_in(&error.to_string())),
        Err(error) => Err(not_emptied(log, error)),
        Ok(()) => Err(not_emptied(log, "it takes what follows nothing that it has")),
    }
}

/// The number in "wrong last sequence: 13 (code 400, error code 10071)".
fn counted_in(refusal: &str) -> Option<u64> {
    let (said, _) = refusal.split_once(" (")?;
    said.rsplit(' ').next()?.parse().ok()
}

/// Sets the server's count right, by a message that names no predecessor: it is purged next.
async fn settle_count(log: &Log) -> Result<(), LedgerError> {
    let sent = log.bus.jetstream().publish(subjects::log(log.service, SETTLING), "".into()).await;
    let acknowledged = match sent {
        Ok(acknowledgement) => acknowledgement.await,
        Err(error) => Err(error),
    };
    acknowledged.map(drop).map_err(|error| not_emptied(log, error))
}

async fn empty(log: &Log) -> Result<(), LedgerError> {
    let stream = log.bus.jetstream().get_stream_no_info(log.name).await.map_err(|error| not_emptied(log, error))?;
    stream.purge().await.map_err(|error| not_emptied(log, error))?;
    Ok(())
}

fn not_emptied(log: &Log, reason: impl std::fmt::Display) -> LedgerError {
    BusError::Failed { what: format!("empty the stream {}", log.name), reason: reason.to_string() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_count_is_read_from_its_refusal() {
        let said = "wrong last sequence: wrong last sequence: 13 (code 400, error code 10071)";
        assert_eq!(counted_in(said), Some(13));
        assert_eq!(counted_in("wrong last sequence (code 400, error code 10164)"), None);
    }
}
