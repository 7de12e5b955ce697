//! Kernels that QEMU starts from outside: fetched from the object store, kept in the folder of their machine, and checked before each start.
//!
//! Responsible for files and command line. Not for when QEMU is started (the core) nor for how (the driver of its power).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_bus::{Bucket, Bus};
use muster_drivers::DirectBoot;
use muster_ledger::Handle;
use muster_model::boot::nonce_word;
use muster_model::{BootOperation, BootProgress, BootStep, MachineId, PowerSpec};
use tokio::io::AsyncWriteExt;

use crate::core::{DirectTask, Kernel, KernelFile, MachineCore, Observation};
use crate::{dumps, metrics};

/// A kernel is kept within this: an effect is given ten minutes.
const KEEP_WITHIN: Duration = Duration::from_secs(120);
/// x86 takes so many bytes of a command line.
const COMMAND_LINE_BYTES_MAX: usize = 2_047;

/// Keeps the kernel of an ordered boot, and says what came of it.
pub(crate) async fn keep(
    bus: &Bus,
    machine: MachineId,
    operation: BootOperation,
    kernel: &Kernel,
    power: Option<&PowerSpec>,
    handle: &Handle<MachineCore>,
) {
    let (step, detail) = match kept(bus, &machine, kernel, power).await {
        Ok(_) => (BootStep::Installed, String::new()),
        Err(error) => (BootStep::Failed, format!("{error:#}")),
    };
    tracing::info!(machine_id = %machine, %operation, ?step, detail, "a kernel is kept for QEMU");
    metrics::kernel(if step == BootStep::Installed { "kept" } else { "failed" });
    handle.observe(Observation::KernelKept { machine, progress: BootProgress { operation, step, detail } });
}

/// What QEMU is started with. The files are checked again: another leader may have kept them elsewhere, and people have hands.
pub(crate) async fn prepare(
    bus: &Bus,
    machine: &MachineId,
    task: &DirectTask,
    power: Option<&PowerSpec>,
) -> anyhow::Result<DirectBoot> {
    let direct = power.and_then(PowerSpec::direct).context("its setting `power=` starts no kernel from outside")?;
    let (image, initrd) = kept(bus, machine, &task.kernel, power).await?;
    let nonce = nonce_word(&task.nonce);
    let words = [direct.command_line.as_str(), &task.kernel.command_line, &nonce].map(str::trim);
    let words: Vec<&str> = words.into_iter().filter(|words| !words.is_empty()).collect();
    let command_line = words.join(" ");
    let size = command_line.len();
    ensure!(
        size <= COMMAND_LINE_BYTES_MAX,
        "its command line has {size} bytes, and {COMMAND_LINE_BYTES_MAX} is the limit"
    );
    Ok(DirectBoot { image, initrd, command_line })
}

/// Image and initial RAM disk, right by their digests.
async fn kept(
    bus: &Bus,
    machine: &MachineId,
    kernel: &Kernel,
    power: Option<&PowerSpec>,
) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    let direct = power.and_then(PowerSpec::direct).context("its setting `power=` starts no kernel from outside")?;
    let folder = PathBuf::from(direct.folder.fill(machine)).join(machine.as_str());
    let keeping = async {
        tokio::fs::create_dir_all(&folder).await.with_context(|| format!("make {}", folder.display()))?;
        let image = file(bus, &folder, &kernel.image).await?;
        let initrd = match &kernel.initrd {
            Some(initrd) => Some(file(bus, &folder, initrd).await?),
            None => None,
        };
        remove_others(&folder, kernel)
            .await
            .with_context(|| format!("remove other kernels from {}", folder.display()))?;
        Ok((image, initrd))
    };
    let kept = tokio::time::timeout(KEEP_WITHIN, keeping).await;
    kept.with_context(|| format!("keep the kernel {} within {KEEP_WITHIN:?}", kernel.name))?
}

/// A file with its digest as name; from the object store where it is not there, or is not what its name says.
async fn file(bus: &Bus, folder: &Path, wanted: &KernelFile) -> anyhow::Result<PathBuf> {
    let path = folder.join(&wanted.sha256);
    if is_right(&path, wanted).await {
        return Ok(path);
    }
    let beside = folder.join(format!("{}.part-{}", wanted.sha256, std::process::id()));
    let object = bus.get_object(Bucket::Kernels, &wanted.sha256).await?;
    let mut object = object.with_context(|| format!("find {} in the object store of kernels", wanted.sha256))?;
    let mut part = tokio::fs::File::create(&beside).await.with_context(|| format!("write {}", beside.display()))?;
    tokio::io::copy(&mut object, &mut part).await.with_context(|| format!("write {}", beside.display()))?;
    part.flush().await.with_context(|| format!("write {}", beside.display()))?;
    ensure!(is_right(&beside, wanted).await, "{} came otherwise from the object store", wanted.sha256);
    tokio::fs::rename(&beside, &path).await.with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

async fn is_right(path: &Path, wanted: &KernelFile) -> bool {
    dumps::digest(path.to_owned()).await.is_ok_and(|found| found == wanted.sha256)
}

/// One kernel is kept for each machine.
async fn remove_others(folder: &Path, kernel: &Kernel) -> std::io::Result<()> {
    let mut entries = tokio::fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        if kernel.files().all(|file| entry.file_name() != file.sha256.as_str()) {
            tokio::fs::remove_file(entry.path()).await?;
        }
    }
    Ok(())
}
