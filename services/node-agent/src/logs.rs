//! Logs of processes: a part for who reads along, the whole to the object store at the end. Small ones that ended together go as one
//! object: most logs hold a few lines, and an object costs several requests.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use muster_bus::{BUNDLES_MAX, Bucket, BusError, log_name};
use muster_model::{JobNumber, ProcessId, RunId};
use muster_proto::v1::{ArtifactStored, BundledLog, LogPart};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};

use crate::agent::Input;
use crate::connection::Connection;
use crate::later::Rush;
use crate::sender::SharedSpool;
use crate::{artifacts, beneath};

/// Most bytes of a part.
pub(crate) const PART_BYTES_MAX: u64 = 256 << 10;
/// Uploads at once.
const UPLOADS_MAX: usize = 4;
/// Logs that wait at most; who has more brings each alone.
const LOGS_MAX: usize = 16_384;
/// Logs of one bundle at most.
const BUNDLE_LOGS_MAX: usize = 1_000;
/// Larger logs go alone.
const SMALL_BYTES_MAX: u64 = 16 << 10;
/// A bundle is closed when it is larger than this.
const BUNDLE_BYTES_MAX: usize = 512 << 10;
/// Jobs of which it is remembered how many bundles they have.
const JOBS_MAX: usize = 1_000;
/// How often an upload is tried.
const ATTEMPTS_MAX: u32 = 20;
/// Reports, starts and ends go first, for at most so long: people wait for them, and nobody for where a log is.
const OTHERS_FIRST: Duration = Duration::from_secs(5);
/// How often it is looked whether they are done.
const OTHERS_POLL: Duration = Duration::from_millis(50);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(3);

/// Reads a part of a log.
pub(crate) fn read_part(mut file: File, from: u64, limit: u32, complete: bool) -> std::io::Result<LogPart> {
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
    logs: mpsc::Sender<Upload>,
}

/// A file that is to be kept.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    /// Whose.
    pub id: ProcessId,
    /// The file.
    pub source: Source,
    /// Where to.
    pub bucket: Bucket,
    /// Its name there.
    pub name: String,
}

/// A file of a process, which may do with it what it likes: it is opened as that, whenever it is read.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The log that this agent made.
    Log(PathBuf),
    /// What the process has made.
    Own {
        /// Its directory.
        directory: PathBuf,
        /// Beneath that.
        path: PathBuf,
    },
}

impl Source {
    fn open(&self) -> io::Result<File> {
        match self {
            Self::Log(path) => beneath::open_log(path),
            Self::Own { directory, path } => beneath::open_file(directory, path),
        }
    }
}

impl Upload {
    fn log(id: ProcessId, path: PathBuf) -> Self {
        Self { id, source: Source::Log(path), bucket: Bucket::Logs, name: log_name(id) }
    }
}

impl Uploads {
    /// None yet.
    pub(crate) fn new(connection: Connection, inputs: mpsc::Sender<Input>, reports: SharedSpool, rush: Rush) -> Self {
        let (logs, waiting) = mpsc::channel(LOGS_MAX);
        let places = Arc::new(Semaphore::new(UPLOADS_MAX));
        let uploads = Self { connection, inputs, reports, places, rush, logs };
        tokio::spawn(Bundling { uploads: uploads.clone(), numbers: BTreeMap::new() }.run(waiting));
        uploads
    }

    /// Puts the log of a process that has ended into the store, soon.
    pub(crate) fn start_log(&self, id: ProcessId, path: PathBuf) {
        if let Err(refused) = self.logs.try_send(Upload::log(id, path)) {
            let (TrySendError::Full(upload) | TrySendError::Closed(upload)) = refused;
            self.start(upload);
        }
    }

    /// Puts a file into its store in the background; the agent hears of it in the end, whether it went well or not.
    pub(crate) fn start(&self, upload: Upload) {
        let uploads = self.clone();
        tokio::spawn(async move {
            let Ok(_place) = uploads.places.acquire().await else { return };
            uploads.let_others_go().await;
            let stored = uploads.put_retrying(&upload).await;
            uploads.say(upload.id, upload.bucket, stored).await;
        });
    }

    async fn say(&self, id: ProcessId, bucket: Bucket, stored: Result<ArtifactStored, String>) {
        // It fails only when the agent ends.
        let _ = self.inputs.send(Input::Uploaded { id, bucket, stored }).await;
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
            if upload.source.open().is_err() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(last)
    }

    async fn put(&self, upload: &Upload) -> anyhow::Result<ArtifactStored> {
        let source = upload.source.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let mut file = source.open().with_context(|| format!("open {source:?}"))?;
            let sha256 = artifacts::digest_of_file(&file)?;
            file.rewind().context("read it again")?;
            Ok::<_, anyhow::Error>((file, sha256))
        });
        let (file, sha256) = opened.await.context("read a file")??;
        let mut file = tokio::fs::File::from_std(file);
        let size_bytes = file.metadata().await.context("look at the file")?.len();
        let bus = self.connection.bus().await;
        bus.put_object(upload.bucket, &upload.name, &mut file).await?;
        Ok(ArtifactStored {
            id: Some(upload.id.into()),
            bucket: upload.bucket.as_str().into(),
            name: upload.name.clone(),
            size_bytes,
            sha256,
            ..ArtifactStored::default()
        })
    }
}

/// The logs of one job.
type Job = (RunId, JobNumber);

/// Gathers small logs, and brings those of one job together.
struct Bundling {
    uploads: Uploads,
    /// The next bundle's number of each job that was seen.
    numbers: BTreeMap<Job, u32>,
}

impl Bundling {
    async fn run(mut self, mut waiting: mpsc::Receiver<Upload>) {
        let mut gathered = Vec::new();
        while waiting.recv_many(&mut gathered, LOGS_MAX).await > 0 {
            self.uploads.let_others_go().await;
            while let Ok(upload) = waiting.try_recv() {
                gathered.push(upload);
            }
            let mut jobs: BTreeMap<Job, Vec<Upload>> = BTreeMap::new();
            for upload in gathered.drain(..) {
                jobs.entry((upload.id.run, upload.id.dpid.job)).or_default().push(upload);
            }
            for (job, uploads) in jobs {
                self.bring(job, uploads).await;
            }
        }
    }

    async fn bring(&mut self, job: Job, uploads: Vec<Upload>) {
        let Ok((bundles, alone)) = tokio::task::spawn_blocking(move || pack(uploads)).await else { return };
        alone.into_iter().for_each(|upload| self.uploads.start(upload));
        for bundle in bundles {
            let uploads: Vec<Upload> = bundle.iter().map(|small| small.upload.clone()).collect();
            let Some(name) = self.put_retrying(job, &bundle).await else {
                // Each has its own attempts, and its own word when they fail.
                uploads.into_iter().for_each(|upload| self.uploads.start(upload));
                continue;
            };
            for small in bundle {
                self.uploads.say(small.upload.id, Bucket::Logs, Ok(small.stored_in(&name))).await;
            }
        }
    }

    /// Name of the bundle; none when the job has too many, or the store does not take it.
    async fn put_retrying(&mut self, job: Job, bundle: &[Small]) -> Option<String> {
        let logs: Vec<BundledLog> = bundle.iter().map(Small::bundled).collect();
        for _ in 0..ATTEMPTS_MAX {
            match self.put(job, &logs).await {
                Ok(name) => return name,
                Err(error) => tracing::debug!(%error, "logs could not be kept: trying again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    async fn put(&mut self, job: Job, logs: &[BundledLog]) -> Result<Option<String>, BusError> {
        let bus = self.uploads.connection.bus().await;
        let machine = &self.uploads.connection.machine;
        let number = match self.numbers.get(&job) {
            Some(number) => *number,
            None => bus.next_bundle(job, machine).await?,
        };
        if number >= BUNDLES_MAX {
            return Ok(None);
        }
        let name = bus.put_logs(job, machine, number, logs.to_vec()).await?;
        if self.numbers.len() >= JOBS_MAX {
            self.numbers.pop_first();
        }
        self.numbers.insert(job, number + 1);
        Ok(Some(name))
    }
}

/// A small log, read.
struct Small {
    upload: Upload,
    data: Bytes,
    sha256: String,
}

impl Small {
    /// None where the file is large, or can not be read.
    fn read(upload: &Upload) -> Option<Self> {
        let mut data = Vec::new();
        upload.source.open().ok()?.take(SMALL_BYTES_MAX + 1).read_to_end(&mut data).ok()?;
        let is_small = data.len() as u64 <= SMALL_BYTES_MAX;
        is_small.then(|| Self { upload: upload.clone(), sha256: artifacts::digest_of(&data), data: data.into() })
    }

    fn bundled(&self) -> BundledLog {
        BundledLog { id: Some(self.upload.id.into()), data: self.data.clone() }
    }

    fn stored_in(&self, name: &str) -> ArtifactStored {
        ArtifactStored {
            id: Some(self.upload.id.into()),
            bucket: Bucket::Logs.as_str().into(),
            name: name.into(),
            size_bytes: self.data.len() as u64,
            sha256: self.sha256.clone(),
            ..ArtifactStored::default()
        }
    }
}

/// Puts small logs together; gives the others, and one that has no company.
fn pack(uploads: Vec<Upload>) -> (Vec<Vec<Small>>, Vec<Upload>) {
    let (mut bundles, mut alone, mut bundle, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for upload in uploads {
        let Some(small) = Small::read(&upload) else {
            alone.push(upload);
            continue;
        };
        bytes += small.data.len();
        bundle.push(small);
        if bytes > BUNDLE_BYTES_MAX || bundle.len() >= BUNDLE_LOGS_MAX {
            bundles.push(std::mem::take(&mut bundle));
            bytes = 0;
        }
    }
    match bundle.len() {
        0 | 1 => alone.extend(bundle.into_iter().map(|small| small.upload)),
        _ => bundles.push(bundle),
    }
    (bundles, alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_logs_go_together_and_large_or_lonely_ones_alone() {
        let directory = tempfile::tempdir().expect("a folder");
        let upload = |process: u32, size: usize| {
            let path = directory.path().join(process.to_string());
            std::fs::write(&path, vec![b'x'; size]).expect("written");
            let id = crate::names::id_of(&format!("1-0001{process:04x}-1")).expect("a name");
            Upload::log(id, path)
        };
        let small = usize::try_from(SMALL_BYTES_MAX).expect("it fits");
        let mut gone = upload(9, 1);
        gone.source = Source::Log(directory.path().join("gone"));
        let (bundles, alone) = pack(vec![upload(1, 10), upload(2, small + 1), upload(3, small), gone]);
        let sizes: Vec<Vec<usize>> = bundles.iter().map(|b| b.iter().map(|small| small.data.len()).collect()).collect();
        assert_eq!(sizes, [vec![10, small]]);
        assert_eq!(alone.len(), 2);
        assert_eq!(pack(vec![upload(1, 10)]).1.len(), 1, "one alone keeps its own name");
        let many = (0..100).map(|process| upload(process, small)).collect();
        let (bundles, alone) = pack(many);
        assert_eq!((bundles.iter().map(Vec::len).collect::<Vec<_>>(), alone.len()), (vec![33, 33, 33], 1));
        assert!(bundles.iter().all(|bundle| bundle.len() * small <= BUNDLE_BYTES_MAX + small), "bounded");
    }
}
