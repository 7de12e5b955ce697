//! Copies a log into a file, while its leader goes on.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use muster_bus::Bus;
use muster_bus::subjects::Service;
use muster_model::Position;

use super::walk::{LogExtent, Walk};
use crate::archive;
use crate::log::Log;
use crate::past::begins;
use crate::{LedgerError, chain};

/// A log on its way into a file.
pub struct LogCopy {
    log: Log,
    walk: Walk,
    path: PathBuf,
    out: BufWriter<File>,
}

impl std::fmt::Debug for LogCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogCopy").field("log", &self.log.name).finish_non_exhaustive()
    }
}

impl LogCopy {
    /// Begins the file at `path`, with what the log no longer holds of its lineage: its archive has that.
    ///
    /// # Errors
    /// When there is no log, its beginning can not be had, or the file can not be written.
    pub async fn begin(bus: &Bus, service: Service, path: &Path) -> Result<Self, LedgerError> {
        let log = Log::of(bus, service)?;
        let file = File::create_new(path).map_err(|error| not_written(log.name, path, &error))?;
        let mut copy = Self { log, walk: Walk::default(), path: path.to_owned(), out: BufWriter::new(file) };
        let (first, head) = copy.ends().await?;
        let payload = copy.message(first).await?;
        if !begins(&payload, head) {
            copy.archived(head, first).await?;
        }
        Ok(copy)
    }

    /// Name of the log.
    #[must_use]
    pub fn log(&self) -> &'static str {
        self.log.name
    }

    /// Position of the newest message of the log now.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn head(&self) -> Result<Position, LedgerError> {
        Ok(self.ends().await?.1)
    }

    /// What the file holds; none before the first message.
    #[must_use]
    pub fn extent(&self) -> Option<&LogExtent> {
        self.walk.extent.as_ref()
    }

    /// Copies up to and with the message at `last`. `progress` hears how many messages were copied.
    ///
    /// # Errors
    /// When the chain is broken, the server does not answer, or the file can not be written.
    pub async fn copy_to(&mut self, last: u64, mut progress: impl FnMut(u64)) -> Result<(), LedgerError> {
        let next = match self.walk.next() {
            Some(next) => next,
            None => self.ends().await?.0,
        };
        if next > last {
            return Ok(());
        }
        let mut reader = self.log.bus.read(self.log.name, "", next);
        for _ in next..=last {
            let message = self.log.next_of(&mut reader).await?;
            self.take(&message.payload)?;
            progress(self.extent().map_or(0, LogExtent::messages));
        }
        Ok(())
    }

    /// Makes the file durable.
    ///
    /// # Errors
    /// When it can not be, or is empty.
    pub fn finish(mut self) -> Result<LogExtent, LedgerError> {
        let durable = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        durable.map_err(|error| not_written(self.log.name, &self.path, &error))?;
        self.walk.extent.ok_or_else(|| LedgerError::refused(self.log.name, "nothing of it was copied", "try again"))
    }

    /// The first sequence of the log, and its newest position.
    async fn ends(&self) -> Result<(u64, Position), LedgerError> {
        let ends = self.log.existing_ends().await?;
        if ends.messages == 0 {
            let next = "there is nothing to keep: a lost log is rebuilt by `muster admin recover`";
            return Err(LedgerError::refused(self.log.name, "the log is empty", next));
        }
        let payload = self.message(ends.last).await?;
        let opened = chain::open(&payload).map_err(|reason| LedgerError::damaged(self.log.name, reason))?;
        Ok((ends.first, opened.place.position))
    }

    async fn message(&self, sequence: u64) -> Result<Bytes, LedgerError> {
        let unreadable = || LedgerError::damaged(self.log.name, format!("message {sequence} can not be read"));
        self.log.message(sequence).await?.ok_or_else(unreadable)
    }

    /// Takes what the archive has of the lineage before `first`, where the log begins.
    async fn archived(&mut self, head: Position, first: u64) -> Result<(), LedgerError> {
        let mut next = Position::new(head.lineage.0, 0);
        loop {
            let rows = archive::rows(&self.log, next).await.map_err(|away| self.incomplete(away.to_string()))?;
            let before = |row: &&muster_proto::v1::ArchivedMessage| {
                let at = Position::from(row.position.unwrap_or_default());
                at.lineage == head.lineage && at.sequence.0 < first
            };
            let mut taken = 0;
            for row in rows.iter().filter(before) {
                self.take(&row.payload)?;
                taken += 1;
            }
            match self.walk.next() {
                Some(sequence) if sequence == first => return Ok(()),
                Some(sequence) if taken > 0 => next = Position::new(head.lineage.0, sequence),
                _ => return Err(self.incomplete("it does not have what the log no longer holds".into())),
            }
        }
    }

    fn take(&mut self, payload: &Bytes) -> Result<(), LedgerError> {
        self.walk.take(self.log.name, payload).map_err(|reason| LedgerError::damaged(self.log.name, reason))?;
        let mut length = Vec::new();
        prost::encode_length_delimiter(payload.len(), &mut length).expect("a vector grows");
        let written = self.out.write_all(&length).and_then(|()| self.out.write_all(payload));
        written.map_err(|error| not_written(self.log.name, &self.path, &error))
    }

    fn incomplete(&self, reason: String) -> LedgerError {
        let reason = format!("the log was shortened, and the archive is needed for its beginning: {reason}");
        LedgerError::refused(self.log.name, reason, "bring PostgreSQL and the telemetry-logger up, and try again")
    }
}

fn not_written(log: &'static str, path: &Path, error: &std::io::Error) -> LedgerError {
    let reason = format!("{} can not be written: {error}", path.display());
    LedgerError::refused(log, reason, "name a new folder on a disk with room")
}
