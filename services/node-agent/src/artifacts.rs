//! The cache of artifacts and kernels, by SHA-256. What is executed is what was asked for: the digest is taken of the file itself, after
//! every download and whenever the file is not the one that was checked before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use muster_bus::Bucket;
use muster_model::text::hex;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::connection::Connection;
use crate::keeper::executable::{Checked, Mark};

/// An artifact larger than this is not fetched.
const ARTIFACT_BYTES_MAX: u64 = 4 << 30;
/// A download takes at most this.
const DOWNLOAD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(120);
/// Digests that are remembered as being in work or checked.
const DIGESTS_MAX: usize = 1_000;

/// One artifact: held by who checks or fetches it; the mark of the file that was found right.
type Place = Arc<tokio::sync::Mutex<Option<Mark>>>;

/// Artifacts on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    directory: PathBuf,
    bucket: Bucket,
    connection: Connection,
    digests: Arc<Mutex<BTreeMap<String, Place>>>,
}

impl Artifacts {
    /// A cache of a bucket in a directory.
    pub(crate) fn new(directory: PathBuf, bucket: Bucket, connection: Connection) -> Self {
        Self { directory, bucket, connection, digests: Arc::default() }
    }

    /// A file with this digest: from the cache, or from the object store. Several who ask at once share one download.
    pub(crate) async fn get(&self, sha256: &str) -> anyhow::Result<PathBuf> {
        self.get_checked(sha256).await.map(|checked| checked.path)
    }

    /// As [`Artifacts::get`], with what the file was when its digest was taken: who executes it looks at that.
    pub(crate) async fn get_checked(&self, sha256: &str) -> anyhow::Result<Checked> {
        anyhow::ensure!(
            sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)),
            "use artifact `{sha256}`: not a SHA-256"
        );
        let place = self.place(sha256);
        let mut known = place.lock().await;
        let path = self.directory.join(sha256);
        if let (Some(before), Some(now)) = (*known, mark(&path))
            && before == now
        {
            return Ok(Checked { path, mark: before });
        }
        let found = check(path.clone()).await.ok().filter(|(digest, _)| digest == sha256);
        let mark = match found {
            Some((_, mark)) => mark,
            None => self.download(sha256, &path).await?,
        };
        *known = Some(mark);
        Ok(Checked { path, mark })
    }

    fn place(&self, sha256: &str) -> Place {
        let mut digests = self.digests.lock().expect("no holder of the digests panics");
        if digests.len() >= DIGESTS_MAX {
            digests.retain(|_, place| Arc::strong_count(place) > 1);
        }
        digests.entry(sha256.into()).or_default().clone()
    }

    async fn download(&self, sha256: &str, path: &Path) -> anyhow::Result<Mark> {
        let beside = path.with_extension("part");
        let fetched = tokio::time::timeout(DOWNLOAD_TIMEOUT, self.fetch(sha256, &beside)).await;
        fetched.with_context(|| format!("fetch artifact {sha256} within {DOWNLOAD_TIMEOUT:?}"))??;
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755))
            .context("make the artifact executable")?;
        std::fs::rename(&beside, path).context("put the artifact into the cache")?;
        // After all that changes what the kernel tells of it. Whoever finds it wrong removes it.
        let (found, mark) = check(path.to_owned()).await?;
        if found != sha256 {
            let _ = std::fs::remove_file(path);
            anyhow::bail!("use artifact {sha256}: what the object store has under this name has the digest {found}");
        }
        Ok(mark)
    }

    async fn fetch(&self, sha256: &str, path: &Path) -> anyhow::Result<()> {
        let bus = self.connection.bus().await;
        let object = bus.get_object(self.bucket, sha256).await?;
        let object = object.with_context(|| format!("fetch artifact {sha256}: it is not in the object store"))?;
        let mut limited = tokio::io::AsyncReadExt::take(object, ARTIFACT_BYTES_MAX);
        let mut file = tokio::fs::File::create(path).await.with_context(|| format!("write {}", path.display()))?;
        tokio::io::copy(&mut limited, &mut file).await.with_context(|| format!("fetch artifact {sha256}"))?;
        file.flush().await.with_context(|| format!("write {}", path.display()))
    }
}

fn mark(path: &Path) -> Option<Mark> {
    std::fs::symlink_metadata(path).ok().map(|meta| Mark::of(&meta))
}

/// Digest of a file, and what it was while that was taken.
async fn check(path: PathBuf) -> anyhow::Result<(String, Mark)> {
    let checked = tokio::task::spawn_blocking(move || {
        let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&path);
        let file = file.with_context(|| format!("read {}", path.display()))?;
        let look = || Ok::<_, anyhow::Error>(Mark::of(&file.metadata().context("look at an artifact")?));
        let before = look()?;
        let digest = digest_of_file(&file)?;
        anyhow::ensure!(look()? == before, "{} was changed while its digest was taken", path.display());
        Ok((digest, before))
    });
    checked.await.context("take a digest")?
}

/// SHA-256 of a file, lower-case hex.
pub(crate) async fn digest(path: PathBuf) -> anyhow::Result<String> {
    tokio::task::spawn_blocking(move || digest_now(&path)).await.context("take a digest")?
}

/// SHA-256 of a file, lower-case hex, on this thread.
pub(crate) fn digest_now(path: &Path) -> anyhow::Result<String> {
    let file = File::open(path).with_context(|| format!("read {}", path.display()))?;
    digest_of_file(&file).with_context(|| format!("read {}", path.display()))
}

/// SHA-256 of what follows in a file, lower-case hex.
pub(crate) fn digest_of_file(mut file: &File) -> anyhow::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let size = file.read(&mut buffer).context("read a file")?;
        if size == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..size]);
    }
}

/// SHA-256 of bytes, lower-case hex.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes of a hex text; none where it is not one.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
