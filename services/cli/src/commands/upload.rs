//! Files for the object stores, artifacts of modules first of all: found, hashed, and put there under their digest.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use anyhow::Context;
use muster_bus::{Bucket, Bus};
use muster_model::text::hex;
use muster_model::{Refusal, RefusalCode};
use muster_module_protocol::ManifestArtifact;
use muster_proto::v1;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, ReadBuf};

use crate::exit::Failure;
use crate::progress::Progress;

/// Files are read in pieces of this size.
const PIECE_SIZE: usize = 128 * 1024;

/// An artifact of a module, ready to be put.
pub(super) struct Prepared {
    /// As the catalogue takes it.
    pub(super) artifact: v1::Artifact,
    file: Hashed,
}

/// A file with its digest.
pub(super) struct Hashed {
    /// SHA-256, lower-case hex.
    pub(super) sha256: String,
    /// Size, bytes.
    pub(super) size_bytes: u64,
    path: PathBuf,
    file: File,
}

/// Opens and hashes a file.
///
/// # Errors
/// When it can not be read.
pub(super) async fn hashed(path: &Path) -> anyhow::Result<Hashed> {
    let mut file = File::open(path).await.with_context(|| format!("open {}", path.display()))?;
    let (sha256, size_bytes) = digest(&mut file).await.with_context(|| format!("read {}", path.display()))?;
    Ok(Hashed { sha256, size_bytes, path: path.to_owned(), file })
}

/// Finds and hashes an artifact.
///
/// # Errors
/// When it can not be read, or is not what the manifest says.
pub(super) async fn prepare(what: &str, given: &ManifestArtifact, directory: &Path) -> Result<Prepared, Failure> {
    let path = directory.join(&given.path);
    let file = hashed(&path).await.context("find the artifact; is it built, and is --artifacts right?")?;
    let sha256 = &file.sha256;
    if !given.sha256.is_empty() && !given.sha256.eq_ignore_ascii_case(sha256) {
        let why = format!("{} has the digest {sha256}, and the manifest says {}", path.display(), given.sha256);
        let next = "build it again, or correct sha256 in the manifest; nothing was uploaded";
        return Err(Refusal::new(RefusalCode::Refused, what, why, next).into());
    }
    let (sha256, size_bytes) = (sha256.clone(), file.size_bytes);
    let artifact = v1::Artifact { architecture: given.architecture.clone(), sha256, size_bytes };
    Ok(Prepared { artifact, file })
}

async fn digest(file: &mut File) -> std::io::Result<(String, u64)> {
    let (mut hasher, mut size, mut piece) = (Sha256::new(), 0, vec![0; PIECE_SIZE]);
    loop {
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Ok((hex(&hasher.finalize()), size));
        }
        hasher.update(&piece[..read]);
        size += read as u64;
    }
}

/// Puts an artifact into the object store, unless it is there.
///
/// # Errors
/// When the store fails, or the file changed meanwhile.
pub(super) async fn upload(bus: &Bus, prepared: Prepared) -> Result<(), Failure> {
    put(bus, Bucket::Modules, prepared.file).await
}

/// Puts a file into an object store, unless it is there.
///
/// # Errors
/// When the store fails, or the file changed meanwhile.
pub(super) async fn put(bus: &Bus, bucket: Bucket, hashed: Hashed) -> Result<(), Failure> {
    let Hashed { sha256, size_bytes, path, mut file } = hashed;
    if bus.has_object(bucket, &sha256).await? {
        return Ok(());
    }
    file.seek(SeekFrom::Start(0)).await.with_context(|| format!("read {}", path.display()))?;
    let progress = Progress::begin(&format!("upload {}", path.display()), size_bytes, true);
    let mut watched = Watched { file, hasher: Sha256::new(), done: 0, progress };
    let put = bus.put_object(bucket, &sha256, &mut watched).await;
    watched.progress.clear();
    put?;
    if hex(&watched.hasher.finalize()) != sha256 {
        bus.delete_object(bucket, &sha256).await?;
        return Err(anyhow::anyhow!("{} changed while it was uploaded; try again", path.display()).into());
    }
    Ok(())
}

/// A file that is hashed, and shown, while it is read.
struct Watched {
    file: File,
    hasher: Sha256,
    done: u64,
    progress: Progress,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.file).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        self.hasher.update(read);
        self.done += read.len() as u64;
        let done = self.done;
        self.progress.set(done, "");
        Poll::Ready(Ok(()))
    }
}
