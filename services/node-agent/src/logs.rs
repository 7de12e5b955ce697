//! Logs of processes: a part for who reads along, the whole to the object store at the end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use muster_bus::Bucket;
use muster_model::ProcessId;
use muster_proto::v1::{ArtifactStored, LogPart};
use tokio::sync::{Semaphore, mpsc};

use crate::agent::Input;
use crate::artifacts;
use crate::connection::Connection;
use crate::names::name_of;
use crate::sender::SharedSpool;

/// Most bytes of a part.
pub(crate) const PART_BYTES_MAX: u64 = 256 << 10;
/// Uploads at once.
const UPLOADS_MAX: usize = 4;
/// How often an upload is tried.
const ATTEMPTS_MAX: u32 = 20;
/// Reports and starts go first, for at most so long: people wait for them, and nobody for where a log is.
const OTHERS_FIRST: Duration = Duration::from_secs(5);
/// How often it is looked whether they are done.
const OTHERS_POLL: Duration = Duration::from_millis(50);
/// Processes are being started while the last was begun no longer ago than this.
const RUSH_LASTS: Duration = Duration::from_millis(500);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(3);

/// Reads a part of a log.
pub(crate) fn read_part(path: &Path, from: u64, limit: u32, complete: bool) -> std::io::Result<LogPart> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let limit = match u64::from(limit) {
        0 => PART_BYTES_MAX,
        limit => limit.min(PART_BYTES_MAX),
    };
    file.seek(SeekFrom::Start(from))?;
    let mut data = Vec::new();
    file.take(limit).read_to_end(&mut data)?;
    Ok(LogPart { data: data.into(), from, size, complete })
}

/// Puts files into object stores, a few at a time.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    connection: Connection,
    inputs: mpsc::Sender<Input>,
    reports: SharedSpool,
    places: Arc<Semaphore>,
    rush: Rush,
}

/// When this machine last did something for a start.
#[derive(Debug, Clone, Default)]
struct Rush(Arc<Mutex<Option<Instant>>>);

impl Rush {
    fn goes_on(&self) {
        *self.0.lock().expect("no holder of this panics") = Some(Instant::now());
    }

    fn is_over(&self) -> bool {
        self.0.lock().expect("no holder of this panics").is_none_or(|last| last.elapsed() > RUSH_LASTS)
    }
}

/// A file that is to be kept.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    /// Whose.
    pub id: ProcessId,
    /// The file.
    pub path: PathBuf,
    /// Where to.
    pub bucket: Bucket,
    /// Its name there.
    pub name: String,
}

impl Upload {
    /// The log of a process.
    pub(crate) fn log(id: ProcessId, path: PathBuf) -> Self {
        Self { id, path, bucket: Bucket::Logs, name: name_of(id) }
    }
}

impl Uploads {
    /// None yet.
    pub(crate) fn new(connection: Connection, inputs: mpsc::Sender<Input>, reports: SharedSpool) -> Self {
        Self { connection, inputs, reports, places: Arc::new(Semaphore::new(UPLOADS_MAX)), rush: Rush::default() }
    }

    /// Processes are being started: uploads wait a while.
    pub(crate) fn starts_go_on(&self) {
        self.rush.goes_on();
    }

    /// Puts a file into its store in the background; the agent hears of it in the end, whether it went well or not.
    pub(crate) fn start(&self, upload: Upload) {
        let uploads = self.clone();
        tokio::spawn(async move {
            let Ok(_place) = uploads.places.acquire().await else { return };
            uploads.let_others_go().await;
            let stored = uploads.put_retrying(&upload).await;
            let input = Input::Uploaded { id: upload.id, bucket: upload.bucket, stored };
            // It fails only when the agent ends.
            let _ = uploads.inputs.send(input).await;
        });
    }

    async fn let_others_go(&self) {
        let begun = Instant::now();
        let reports_are_gone = || {
            let spool = self.reports.lock();
            spool.last() == spool.acknowledged()
        };
        while !(reports_are_gone() && self.rush.is_over()) && begun.elapsed() < OTHERS_FIRST {
            tokio::time::sleep(OTHERS_POLL).await;
        }
    }

    async fn put_retrying(&self, upload: &Upload) -> Result<ArtifactStored, String> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS_MAX {
            match self.put(upload).await {
                Ok(stored) => return Ok(stored),
                Err(error) => last = format!("{error:#}"),
            }
            if !upload.path.is_file() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(last)
    }

    async fn put(&self, upload: &Upload) -> anyhow::Result<ArtifactStored> {
        let sha256 = artifacts::digest(upload.path.clone()).await?;
        let mut file =
            tokio::fs::File::open(&upload.path).await.with_context(|| format!("read {}", upload.path.display()))?;
        let size_bytes = file.metadata().await.context("look at the file")?.len();
        let bus = self.connection.bus().await;
        bus.put_object(upload.bucket, &upload.name, &mut file).await?;
        Ok(ArtifactStored {
            id: Some(upload.id.into()),
            bucket: upload.bucket.as_str().into(),
            name: upload.name.clone(),
            size_bytes,
            sha256,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rush_is_over_a_while_after_the_last_start() {
        let rush = Rush::default();
        assert!(rush.is_over(), "nothing was started yet");
        rush.goes_on();
        assert!(!rush.is_over());
        *rush.0.lock().expect("nobody panics") = Instant::now().checked_sub(RUSH_LASTS * 2);
        assert!(rush.is_over());
    }
}
