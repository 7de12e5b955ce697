//! What was asked for, read once and checked.

use std::path::PathBuf;
use std::time::Duration;

use muster_pattern::{Class, SECTOR_BYTES};
use muster_sdk::{ParameterError, Session};

use crate::trouble::Trouble;

/// Most reads among the transfers of a write pass: at 99 a pass would take a hundred times as long.
const READ_PERCENT_MAX: u64 = 90;
/// Greatest transfer.
const BLOCK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Settings of one process.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Bytes of a transfer.
    pub(crate) block_bytes: usize,
    /// Transfers of a pass.
    pub(crate) blocks: u64,
    /// Reads among the transfers of a write pass, percent.
    pub(crate) read_percent: u64,
    /// Writes wait for stable storage.
    pub(crate) sync: bool,
    /// Time between two transfers; none without a limit.
    pub(crate) interval: Option<Duration>,
    /// When to end; none for when it is stopped.
    pub(crate) duration: Option<Duration>,
    /// Corruption to make on purpose.
    pub(crate) inject: Option<Class>,
    /// Resource id of the disk.
    pub(crate) device: String,
    /// Directory of the disk.
    pub(crate) directory: PathBuf,
}

impl Settings {
    pub(crate) fn read(session: &Session) -> Result<Self, Trouble> {
        let parameters = session.parameters();
        let disk = session.resources("disk").next();
        let disk =
            disk.ok_or_else(|| Trouble::Setting("no disk was given: it needs one (by hand: --disk PATH)".into()))?;
        let block_bytes = block_bytes(parameters.size("block_size")?)?;
        let file_bytes = parameters.size("file_size")?;
        let blocks = file_bytes / block_bytes as u64;
        if blocks == 0 {
            let reason = format!("it is smaller than a transfer of {block_bytes} bytes (block_size)");
            return Err(ParameterError::invalid("file_size", file_bytes.to_string(), reason).into());
        }
        let duration = parameters.duration("duration")?;
        let iops_max = u32::try_from(parameters.count("iops_max")?).unwrap_or(u32::MAX);
        Ok(Self {
            block_bytes,
            blocks,
            read_percent: read_percent(parameters.count("read_percent")?)?,
            sync: parameters.boolean("sync")?,
            interval: (iops_max > 0).then(|| Duration::from_secs(1) / iops_max),
            duration: (!duration.is_zero()).then_some(duration),
            inject: inject(parameters.text("inject")?)?,
            device: disk.id.clone(),
            directory: PathBuf::from(&disk.path),
        })
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.blocks * self.block_bytes as u64
    }
}

fn block_bytes(size: u64) -> Result<usize, ParameterError> {
    let fits = (1..=BLOCK_BYTES_MAX).contains(&size) && size.is_multiple_of(SECTOR_BYTES as u64);
    let bytes = usize::try_from(size).ok().filter(|_| fits);
    bytes.ok_or_else(|| {
        ParameterError::invalid("block_size", size.to_string(), "it must be a multiple of 512, at most 16MiB")
    })
}

fn read_percent(percent: u64) -> Result<u64, ParameterError> {
    if percent <= READ_PERCENT_MAX {
        return Ok(percent);
    }
    let reason = format!("it must be at most {READ_PERCENT_MAX}");
    Err(ParameterError::invalid("read_percent", percent.to_string(), reason))
}

fn inject(name: &str) -> Result<Option<Class>, ParameterError> {
    if name.is_empty() {
        return Ok(None);
    }
    let class = Class::ALL.into_iter().find(|class| class.as_str() == name);
    let names = || Class::ALL.map(Class::as_str).join(", ");
    class.map(Some).ok_or_else(|| ParameterError::invalid("inject", name, format!("write one of {}", names())))
}
