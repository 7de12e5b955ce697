//! A machine's memory that a driver of power wrote to a file: it is put into the object store, as files of crashes are.
//!
//! Responsible for the file alone. It stays where it is: whose disk it is on keeps it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_bus::{Bucket, Bus};
use muster_model::text::hex;
use muster_model::{MachineId, Position};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::core::power::Dump;

/// A larger one stays where it is. The object store of artifacts holds eight of these.
const DUMP_BYTES_MAX: u64 = 2 << 30;
/// It is in the object store within this: an effect is given ten minutes.
const KEEP_WITHIN: Duration = Duration::from_secs(300);
/// It is read in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Keeps the memory that an operation had written; gives it, and a sentence for people.
pub(crate) async fn keep(
    bus: &Bus,
    machine: &MachineId,
    position: Position,
    path: &Path,
) -> (Option<Box<Dump>>, String) {
    let kept = tokio::time::timeout(KEEP_WITHIN, put(bus, machine, position, path)).await;
    let kept = kept.with_context(|| format!("keep it within {KEEP_WITHIN:?}")).and_then(|kept| kept);
    match kept {
        Ok(dump) => {
            let said = format!("its memory is kept: `muster artifact get {}`", dump.name);
            (Some(Box::new(dump)), said)
        }
        Err(error) => (None, format!("its memory is not in the object store, look for {}: {error:#}", path.display())),
    }
}

async fn put(bus: &Bus, machine: &MachineId, position: Position, path: &Path) -> anyhow::Result<Dump> {
    let meta = tokio::fs::metadata(path).await.with_context(|| format!("read {}", path.display()))?;
    let size_bytes = meta.len();
    ensure!(meta.is_file(), "it is no file on the machine of this service");
    ensure!(size_bytes <= DUMP_BYTES_MAX, "it has {size_bytes} bytes, and {DUMP_BYTES_MAX} is the limit");
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let order = format!("dump-{}-{}", position.lineage.0, position.sequence.0);
    let name = format!("crash/{machine}/{order}/{file_name}");
    let sha256 = digest(path.to_owned()).await?;
    let mut file = tokio::fs::File::open(path).await.with_context(|| format!("read {}", path.display()))?;
    bus.put_object(Bucket::Artifacts, &name, &mut file).await?;
    tracing::info!(machine_id = %machine, name, size_bytes, "a machine's memory is kept");
    Ok(Dump { name, size_bytes, sha256, path: path.to_string_lossy().into_owned() })
}

/// The SHA-256 of a file, lower-case hex.
pub(crate) async fn digest(path: PathBuf) -> anyhow::Result<String> {
    let mut file = tokio::fs::File::open(&path).await.with_context(|| format!("read {}", path.display()))?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE_BYTES]);
    loop {
        let size = file.read(&mut piece).await.with_context(|| format!("read {}", path.display()))?;
        if size == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&piece[..size]);
    }
}
