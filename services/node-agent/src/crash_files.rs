//! Files that crashes of this machine leave (pstore, kdump): what is new is put into the object store, and said with the firing that
//! crashed the machine. Nothing is deleted: whose files they are keeps them.
//!
//! Beside the agent's loop, since a dump is large. A file is known only once its report is in the spool, so none is lost by a kill.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use muster_bus::Bucket;
use muster_model::{FiringId, TriggerActed, TriggerOutcome};
use muster_proto::v1::{ArtifactStored, ErrorReport, report};
use tokio::sync::{mpsc, oneshot, watch};

use crate::agent::Input;
use crate::artifacts;
use crate::config::Settings;
use crate::connection::Connection;
use crate::core::crash_files::{CrashFiles, Mark};
use crate::disk::crash_files as disk;
use crate::{probe, wire};

/// Between two looks; a file is whole when it is the same at two of them.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// A file that can not be kept is tried so often.
const ATTEMPTS_MAX: u32 = 10;
/// Directories below those that are looked at.
const DEPTH_MAX: usize = 3;
/// Files of one look at most.
const FILES_MAX: usize = 2_000;
/// Crashes that wait to be noted at most.
const CRASHES_MAX: usize = 16;

/// Tells of crashes.
#[derive(Debug, Clone)]
pub(crate) struct CrashWatch {
    crashes: mpsc::Sender<FiringId>,
}

impl CrashWatch {
    /// A firing crashed this machine, and it lives.
    pub(crate) fn crashed(&self, firing: FiringId) {
        // Who crashes so often has files enough.
        let _ = self.crashes.try_send(firing);
    }
}

/// The crash that an earlier life had begun, and could not report.
pub(crate) fn crash_of(begun: &[TriggerActed]) -> Option<FiringId> {
    let crashes = |acted: &&TriggerActed| acted.outcome == TriggerOutcome::BrokenOff && acted.action.crashes();
    begun.iter().rev().find(crashes).map(|acted| acted.firing)
}

/// Watches for files of crashes for as long as the agent lives.
///
/// # Errors
/// What is known of them can not be read or written.
pub(crate) fn start(
    settings: &Settings,
    connection: &Connection,
    inputs: &mpsc::Sender<Input>,
    up: &watch::Receiver<bool>,
    crashed: Option<FiringId>,
) -> anyhow::Result<CrashWatch> {
    let mut files = disk::read(&settings.state).context("read what is known of files of crashes")?;
    files.begin(&probe::boot_id(), crashed);
    disk::write(&settings.state, &files).context("write what is known of files of crashes")?;
    let (crashes, noted) = mpsc::channel(CRASHES_MAX);
    let watcher = Watcher {
        directories: settings.crash_files.clone(),
        bytes_max: settings.crash_file_bytes_max,
        state: settings.state.clone(),
        files,
        failed: BTreeMap::new(),
        connection: connection.clone(),
        inputs: inputs.clone(),
        up: up.clone(),
    };
    tokio::spawn(watcher.run(noted));
    Ok(CrashWatch { crashes })
}

struct Watcher {
    directories: Vec<PathBuf>,
    bytes_max: u64,
    state: PathBuf,
    files: CrashFiles,
    /// How often each could not be kept.
    failed: BTreeMap<PathBuf, u32>,
    connection: Connection,
    inputs: mpsc::Sender<Input>,
    up: watch::Receiver<bool>,
}

impl Watcher {
    async fn run(mut self, mut crashes: mpsc::Receiver<FiringId>) {
        loop {
            self.look().await;
            let next = tokio::time::sleep(LOOK_INTERVAL);
            tokio::pin!(next);
            loop {
                tokio::select! {
                    () = &mut next => break,
                    crashed = crashes.recv() => match crashed {
                        Some(firing) => {
                            self.files.crashed(firing);
                            self.write();
                        }
                        None => return,
                    },
                }
            }
        }
    }

    async fn look(&mut self) {
        let directories = self.directories.clone();
        let found = match tokio::task::spawn_blocking(move || find(&directories)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return tracing::debug!(%error, "directories of crashes can not be looked at"),
            Err(_) => return,
        };
        let is_first = self.files.known.is_none();
        let due = self.files.look(found);
        if is_first {
            self.write();
        }
        for (path, mark) in due {
            // Nothing is said before hello.
            if self.up.wait_for(|up| *up).await.is_err() {
                return;
            }
            self.keep(path, mark).await;
        }
        if self.files.end_look() {
            self.write();
        }
    }

    /// Brings a file into the object store and says so; then it is known.
    async fn keep(&mut self, path: PathBuf, mark: Mark) {
        let kind = match self.put(&path, mark).await {
            Ok(stored) => report::Kind::Artifact(stored),
            Err(error) => {
                let failed = self.failed.entry(path.clone()).or_default();
                *failed += 1;
                tracing::warn!(path = %path.display(), error = format!("{error:#}"), "a file of a crash can not be kept");
                if mark.size <= self.bytes_max && *failed < ATTEMPTS_MAX {
                    return;
                }
                let message = format!("a file of a crash stays on the machine, {}: {error:#}", path.display());
                report::Kind::Error(ErrorReport { id: None, message: wire::cut(&message) })
            }
        };
        let (written, is_written) = oneshot::channel();
        // It fails only when the agent ends.
        let _ = self.inputs.send(Input::CrashFile { kind, written }).await;
        if is_written.await.is_ok() {
            self.failed.remove(&path);
            self.files.take(path, mark);
            self.write();
        }
    }

    async fn put(&self, path: &Path, mark: Mark) -> anyhow::Result<ArtifactStored> {
        anyhow::ensure!(mark.size <= self.bytes_max, "it is larger than {} bytes", self.bytes_max);
        let firing = self.files.firing();
        let group = firing.map_or_else(|| self.files.boot.clone(), |firing| firing.to_string());
        let plain = path.to_string_lossy().trim_start_matches('/').replace('/', "-");
        let name = format!("crash/{}/{group}/{plain}", self.connection.machine);
        let sha256 = artifacts::digest(path.to_owned()).await?;
        let mut file = tokio::fs::File::open(path).await.with_context(|| format!("read {}", path.display()))?;
        self.connection.bus().await.put_object(Bucket::Artifacts, &name, &mut file).await?;
        tracing::info!(path = %path.display(), name, "a file of a crash is kept");
        Ok(ArtifactStored {
            id: None,
            bucket: Bucket::Artifacts.as_str().into(),
            name,
            size_bytes: mark.size,
            sha256,
            path: wire::cut(&path.to_string_lossy()),
            firing: firing.map(|firing| firing.0.to_vec()).unwrap_or_default().into(),
        })
    }

    fn write(&self) {
        if let Err(error) = disk::write(&self.state, &self.files) {
            tracing::error!(%error, "what is known of files of crashes can not be written");
        }
    }
}

/// All files in and below directories that are there.
fn find(directories: &[PathBuf]) -> io::Result<BTreeMap<PathBuf, Mark>> {
    let mut found = BTreeMap::new();
    for directory in directories {
        collect(directory, DEPTH_MAX, &mut found)?;
    }
    Ok(found)
}

fn collect(directory: &Path, depth: usize, found: &mut BTreeMap<PathBuf, Mark>) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        // An agent that is not root sees no pstore.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(());
        }
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // What goes away meanwhile is not there. Links are not followed.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() && depth > 0 {
            collect(&entry.path(), depth - 1, found)?;
        } else if meta.is_file() && found.len() < FILES_MAX {
            let changed_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
            found.insert(entry.path(), Mark { size: meta.size(), changed_ns });
        }
    }
    Ok(())
}
