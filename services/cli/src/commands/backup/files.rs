//! Files of a backup: written with their digest, and compared with it again.

use std::path::Path;

use anyhow::Context;
use muster_model::text::hex;
use muster_model::{Refusal, RefusalCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::commands::upload;
use crate::exit::Failure;

/// Objects are read in pieces of this size.
const PIECE_SIZE: usize = 128 * 1024;
/// An object on its way into the folder.
const PART: &str = "objects/part";

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// Its path in the folder.
    pub(super) file: String,
    /// Its size, bytes.
    pub(super) size_bytes: u64,
    /// SHA-256, lower-case hex.
    pub(super) sha256: String,
}

impl Written {
    /// A file that is there already.
    pub(super) async fn of(directory: &Path, file: String) -> anyhow::Result<Self> {
        let hashed = upload::hashed(&directory.join(&file)).await?;
        Ok(Self { file, size_bytes: hashed.size_bytes, sha256: hashed.sha256 })
    }

    /// Writes an object under its digest: what is stored twice is one file.
    pub(super) async fn object(directory: &Path, object: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Self> {
        let part = directory.join(PART);
        let mut out = File::create(&part).await.with_context(|| format!("write {}", part.display()))?;
        let (mut hasher, mut size_bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE_SIZE]);
        loop {
            let read = object.read(&mut piece).await.context("read the object")?;
            if read == 0 {
                break;
            }
            hasher.update(&piece[..read]);
            size_bytes += read as u64;
            out.write_all(&piece[..read]).await.with_context(|| format!("write {}", part.display()))?;
        }
        out.sync_all().await.with_context(|| format!("write {}", part.display()))?;
        let sha256 = hex(&hasher.finalize());
        let file = format!("objects/{sha256}");
        tokio::fs::rename(&part, directory.join(&file)).await.with_context(|| format!("write {file}"))?;
        Ok(Self { file, size_bytes, sha256 })
    }

    /// Whether the file is still what the manifest says.
    ///
    /// # Errors
    /// The refusal that names it.
    pub(super) async fn check(&self, what: &str, directory: &Path) -> Result<(), Failure> {
        let refused = |why: String| {
            let next = "restore from another backup, or from a copy of this one; nothing was changed";
            Failure::from(Refusal::new(RefusalCode::Refused, what, why, next))
        };
        // A manifest names files of its own folder alone.
        let is_inside = Path::new(&self.file).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_inside {
            return Err(refused(format!("the manifest names {}, which is not in the folder", self.file)));
        }
        let found = upload::hashed(&directory.join(&self.file)).await;
        let found = found.map_err(|error| refused(format!("{error:#}")))?;
        if (found.size_bytes, &found.sha256) == (self.size_bytes, &self.sha256) {
            return Ok(());
        }
        Err(refused(format!("{} is not the file that the manifest names: its digest is {}", self.file, found.sha256)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_is_kept_under_its_digest_and_a_changed_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("objects")).expect("a folder");
        let written = Written::object(folder.path(), &mut b"hello".as_slice()).await.expect("it is written");
        let again = Written::object(folder.path(), &mut b"hello".as_slice()).await.expect("it is written");
        assert_eq!((written.size_bytes, &written), (5, &again));
        written.check("restore", folder.path()).await.expect("it is as it was written");
        std::fs::write(folder.path().join(&written.file), "hallo").expect("it is changed");
        let refused = written.check("restore", folder.path()).await.expect_err("it is not what was written").text();
        assert!(refused.contains("is not the file"), "{refused}");
        let outside = Written { file: "../x".into(), ..written };
        let refused = outside.check("restore", folder.path()).await.expect_err("it is outside").text();
        assert!(refused.contains("not in the folder"), "{refused}");
    }
}
