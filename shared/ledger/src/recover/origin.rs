//! Where a log is rebuilt from.

use muster_model::Position;
use muster_proto::v1::ArchivedMessage;

use crate::archive::{self, ArchivedHead, Away};
use crate::log::Log;
use crate::{LedgerError, LogBackup};

/// Where a log is rebuilt from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    /// What the telemetry-logger holds in PostgreSQL.
    Archive,
    /// A file.
    Backup(&'a LogBackup),
}

impl Origin<'_> {
    /// Its newest message; none when it has none of this log.
    pub(super) async fn head(self, log: &Log) -> Result<Option<ArchivedHead>, LedgerError> {
        match self {
            Self::Archive => archive::head(log).await.map_err(|away| is_away(log, &away)),
            Self::Backup(backup) => Ok(Some(backup.head())),
        }
    }

    /// Messages from a position on, as many as are read at once.
    pub(super) async fn rows(self, log: &Log, from: Position) -> Result<Vec<ArchivedMessage>, LedgerError> {
        match self {
            Self::Archive => archive::rows(log, from).await.map_err(|away| is_away(log, &away)),
            Self::Backup(backup) => backup.rows(from).map_err(|reason| self.bad(log, reason)),
        }
    }

    /// It can not be used.
    pub(super) fn bad(self, log: &Log, reason: String) -> LedgerError {
        match self {
            Self::Archive => {
                let reason = format!("the archive can not be used: {reason}");
                LedgerError::refused(log.name, reason, "restore PostgreSQL from its backup, and try again")
            }
            Self::Backup(_) => {
                let reason = format!("the backup can not be used: {reason}");
                LedgerError::refused(log.name, reason, "restore from another backup")
            }
        }
    }
}

fn is_away(log: &Log, away: &Away) -> LedgerError {
    LedgerError::refused(log.name, away.to_string(), "bring PostgreSQL and the telemetry-logger up, and try again")
}
