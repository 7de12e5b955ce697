//! Reads a log back from its file. It is checked whole when it is opened, so what is read later is what was checked.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use muster_bus::streams;
use muster_bus::subjects::{self, Service};
use muster_model::Position;
use muster_proto::v1::cause::Kind;
use muster_proto::v1::{ArchivedMessage, Entry};

use super::walk::{LogExtent, Walk};
use crate::archive::ArchivedHead;
use crate::chain::{self, Opened};
use crate::{LedgerError, genesis};

/// A message of a log is smaller: NATS carries no larger one.
const MESSAGE_BYTES_MAX: u64 = 8 << 20;
/// Messages that are read at once.
const ROWS_MAX: u64 = 256;
/// And bytes, about.
const ROWS_BYTES_MAX: u64 = 16 << 20;

/// A log in a file.
#[derive(Debug)]
pub struct LogBackup {
    service: Service,
    file: File,
    extent: LogExtent,
    /// Where each message begins in the file, and how long it is.
    places: Vec<(u64, u64)>,
}

impl LogBackup {
    /// Opens the file of a service's log, and checks every message and link of it.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with what is wrong with it.
    pub fn open(service: Service, path: &Path) -> Result<Self, LedgerError> {
        let log = streams::log_of(service).unwrap_or("none");
        let bad = |reason: String| unusable(log, format!("{}: {reason}", path.display()));
        let file = File::open(path).map_err(|error| bad(error.to_string()))?;
        let mut input = BufReader::new(&file);
        let (mut walk, mut places, mut at) = (Walk::default(), Vec::new(), 0_u64);
        while let Some((length, size)) = length(&mut input).map_err(bad)? {
            let mut payload = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
            input.read_exact(&mut payload).map_err(|error| bad(format!("it ends within a message: {error}")))?;
            walk.take(log, &payload.into()).map_err(bad)?;
            places.push((at + length, size));
            at += length + size;
        }
        let extent = walk.extent.ok_or_else(|| bad("it is empty".into()))?;
        Ok(Self { service, file, extent, places })
    }

    /// What it holds.
    #[must_use]
    pub fn extent(&self) -> &LogExtent {
        &self.extent
    }

    /// The service that owns the log.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    pub(crate) fn head(&self) -> ArchivedHead {
        ArchivedHead { position: self.extent.last, hash: self.extent.last_hash }
    }

    /// Messages from a position on, as an archive gives them.
    ///
    /// # Errors
    /// When the file can not be read.
    pub(crate) fn rows(&self, from: Position) -> Result<Vec<ArchivedMessage>, String> {
        let LogExtent { first, last, .. } = &self.extent;
        let begin = from.max(*first);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        if begin.lineage != first.lineage {
            return Ok(rows);
        }
        for sequence in (begin.sequence.0..=last.sequence.0).take(ROWS_MAX as usize) {
            let place = usize::try_from(sequence - first.sequence.0).ok().and_then(|index| self.places.get(index));
            let (at, size) = *place.ok_or_else(|| format!("message {sequence} is not there"))?;
            bytes += size;
            if bytes > ROWS_BYTES_MAX && !rows.is_empty() {
                break;
            }
            rows.push(self.row(Position::new(first.lineage.0, sequence), at, size)?);
        }
        Ok(rows)
    }

    fn row(&self, position: Position, at: u64, size: u64) -> Result<ArchivedMessage, String> {
        let mut payload = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut payload, at).map_err(|error| error.to_string())?;
        let payload = Bytes::from(payload);
        let opened = chain::open(&payload)?;
        let hash = Bytes::copy_from_slice(&opened.hash);
        let subject = subjects::log(self.service, kind_of(&payload, &opened));
        Ok(ArchivedMessage { position: Some(position.into()), hash, payload, subject })
    }
}

/// Last token of the subject that a message was published on.
fn kind_of(payload: &Bytes, opened: &Opened) -> &'static str {
    let starts = |entry: &Entry| {
        matches!(entry.cause.as_ref().and_then(|cause| cause.kind.as_ref()), Some(Kind::LeaderStarted(_)))
    };
    match genesis::genesis_of(payload) {
        Some(_) => "genesis",
        None if opened.entries.first().is_some_and(starts) => "leader",
        None => "turn",
    }
}

/// The varint before a message: how many bytes it takes, and how many the message has. None at the end of the file.
fn length(input: &mut impl Read) -> Result<Option<(u64, u64)>, String> {
    let mut size = 0_u64;
    for index in 0..10 {
        let mut byte = [0];
        match input.read(&mut byte).map_err(|error| error.to_string())? {
            0 if index == 0 => return Ok(None),
            0 => return Err("it ends within the length of a message".into()),
            _ => {}
        }
        size |= u64::from(byte[0] & 0x7f) << (7 * index);
        if byte[0] & 0x80 == 0 {
            return if size <= MESSAGE_BYTES_MAX {
                Ok(Some((index + 1, size)))
            } else {
                Err(format!("a message would have {size} bytes"))
            };
        }
    }
    Err("the length of a message is no varint".into())
}

pub(crate) fn unusable(log: &'static str, reason: String) -> LedgerError {
    LedgerError::refused(log, format!("the backup can not be used: {reason}"), "take another backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_protobuf_writes_them() {
        for size in [0, 1, 127, 128, 300, 70_000] {
            let mut bytes = Vec::new();
            prost::encode_length_delimiter(size, &mut bytes).expect("a vector grows");
            let read = length(&mut bytes.as_slice()).expect("it is one");
            assert_eq!(read, Some((bytes.len() as u64, size as u64)));
        }
        assert_eq!(length(&mut [].as_slice()), Ok(None));
        assert!(length(&mut [0x80].as_slice()).is_err(), "it is cut off");
        assert!(length(&mut [0xff; 11].as_slice()).is_err(), "it is none");
    }
}
