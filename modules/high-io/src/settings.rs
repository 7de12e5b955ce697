//! What was asked for, read once and checked.

use std::path::PathBuf;
use std::time::Duration;

use muster_pattern::{Class, SECTOR_BYTES};
use muster_sdk::{ParameterError, Parameters, Session};

use crate::engine::Choice;
use crate::trouble::Trouble;

/// Most reads among the transfers of a write pass: at 99 a pass would take a hundred times as long.
const READ_PERCENT_MAX: u64 = 90;
/// Greatest transfer.
const BLOCK_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most transfers at once.
const QUEUE_DEPTH_MAX: u64 = 256;
/// Most memory for transfers: a deep queue of large ones is cut to it.
const MEMORY_BYTES_MAX: usize = 64 << 20;

/// Order of the transfers of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Pseudo-random.
    Random,
    /// One after the other.
    Sequential,
    /// Random and sequential passes in turn.
    Alternating,
}

/// Where corruption is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InjectInto {
    /// On the disk, so that it is read again.
    Disk,
    /// In memory, after the first reading.
    Memory,
}

/// Settings of one process.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Bytes of a transfer, in the first pass.
    pub(crate) block_bytes: usize,
    /// The greatest: passes go from one to the other by doubling, and begin again.
    pub(crate) block_bytes_max: usize,
    /// Bytes of the file.
    pub(crate) file_bytes: u64,
    /// Transfers at once.
    pub(crate) queue_depth: usize,
    pub(crate) engine: Choice,
    pub(crate) access: Access,
    /// Transfers whose buffer does not begin at a page of memory, percent; where it begins instead changes.
    pub(crate) shift_percent: u64,
    /// Reads among the transfers of a write pass, percent.
    pub(crate) read_percent: u64,
    /// Writes wait for stable storage.
    pub(crate) sync: bool,
    /// Corruption to make on purpose.
    pub(crate) inject: Option<Class>,
    pub(crate) inject_into: InjectInto,
    /// Triggers to fire when data are wrong.
    pub(crate) triggers: Vec<u8>,
    /// Resource id of the disk.
    pub(crate) device: String,
    /// Directory of the disk.
    pub(crate) directory: PathBuf,
}

/// How fast and how long it works: what may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Time between two transfers; none without a limit.
    pub(crate) interval: Option<Duration>,
    /// When to end; none for when it is stopped.
    pub(crate) duration: Option<Duration>,
    /// After how many passes to end; none for when it is stopped.
    pub(crate) passes: Option<u64>,
}

impl Pace {
    pub(crate) fn read(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        let duration = parameters.duration("duration")?;
        let iops_max = u32::try_from(parameters.count("iops_max")?).unwrap_or(u32::MAX);
        Ok(Self {
            interval: (iops_max > 0).then(|| Duration::from_secs(1) / iops_max),
            duration: (!duration.is_zero()).then_some(duration),
            passes: Some(parameters.count("passes")?).filter(|passes| *passes > 0),
        })
    }
}

impl Settings {
    pub(crate) fn read(session: &Session) -> Result<Self, Trouble> {
        let parameters = session.parameters();
        let disk = session.resources("disk").next();
        let disk =
            disk.ok_or_else(|| Trouble::Setting("no disk was given: it needs one (by hand: --disk PATH)".into()))?;
        let block_bytes = block_bytes("block_size", parameters.size("block_size")?)?;
        let block_bytes_max = match parameters.size("block_size_max")? {
            0 => block_bytes,
            size => greatest_block_bytes(block_bytes, size)?,
        };
        let file_bytes = file_bytes(parameters.size("file_size")?, block_bytes_max)?;
        Ok(Self {
            triggers: parameters.triggers("trigger")?,
            block_bytes,
            block_bytes_max,
            file_bytes,
            queue_depth: queue_depth(parameters.count("queue_depth")?)?,
            engine: parameters.choice("engine", ENGINES)?,
            access: parameters.choice("access", ACCESSES)?,
            shift_percent: percent(&parameters, "shift_percent", 100)?,
            read_percent: percent(&parameters, "read_percent", READ_PERCENT_MAX)?,
            sync: parameters.boolean("sync")?,
            inject: parameters.class("inject")?,
            inject_into: parameters.choice("inject_into", PLACES)?,
            device: disk.id.clone(),
            directory: PathBuf::from(&disk.path),
        })
    }

    /// Transfers at once that there is memory and work for.
    pub(crate) fn depth(&self) -> usize {
        let blocks = usize::try_from(self.file_bytes / self.block_bytes as u64).unwrap_or(usize::MAX);
        self.queue_depth.min(MEMORY_BYTES_MAX / self.block_bytes_max).min(blocks).max(1)
    }

    /// Bytes of a transfer of a pass, from 1.
    pub(crate) fn block_bytes_of(&self, pass: u64) -> usize {
        let sizes = u64::from((self.block_bytes_max / self.block_bytes).ilog2()) + 1;
        self.block_bytes << (pass.saturating_sub(1) % sizes)
    }
}

const ENGINES: &[(&str, Choice)] = &[("auto", Choice::Auto), ("io_uring", Choice::Uring), ("pread", Choice::Plain)];
const ACCESSES: &[(&str, Access)] =
    &[("random", Access::Random), ("sequential", Access::Sequential), ("alternating", Access::Alternating)];
const PLACES: &[(&str, InjectInto)] = &[("disk", InjectInto::Disk), ("memory", InjectInto::Memory)];

fn greatest_block_bytes(least: usize, size: u64) -> Result<usize, ParameterError> {
    let greatest = block_bytes("block_size_max", size)?;
    if greatest.is_multiple_of(least) && (greatest / least).is_power_of_two() {
        return Ok(greatest);
    }
    let reason = "it must be block_size doubled some times".to_owned();
    Err(ParameterError::invalid("block_size_max", size.to_string(), reason))
}

fn file_bytes(size: u64, block_bytes: usize) -> Result<u64, ParameterError> {
    let bytes = size - size % block_bytes as u64;
    if bytes > 0 {
        return Ok(bytes);
    }
    let reason = format!("it is smaller than a transfer of {block_bytes} bytes (block_size)");
    Err(ParameterError::invalid("file_size", size.to_string(), reason))
}

fn queue_depth(depth: u64) -> Result<usize, ParameterError> {
    let fits = usize::try_from(depth).ok().filter(|_| (1..=QUEUE_DEPTH_MAX).contains(&depth));
    let reason = format!("it must be 1 to {QUEUE_DEPTH_MAX}");
    fits.ok_or_else(|| ParameterError::invalid("queue_depth", depth.to_string(), reason))
}

fn block_bytes(name: &str, size: u64) -> Result<usize, ParameterError> {
    let fits = (1..=BLOCK_BYTES_MAX).contains(&size) && size.is_multiple_of(SECTOR_BYTES as u64);
    let bytes = usize::try_from(size).ok().filter(|_| fits);
    bytes.ok_or_else(|| ParameterError::invalid(name, size.to_string(), "it must be a multiple of 512, at most 16MiB"))
}

fn percent(parameters: &Parameters<'_>, name: &str, most: u64) -> Result<u64, ParameterError> {
    let percent = parameters.count(name)?;
    if percent <= most {
        return Ok(percent);
    }
    Err(ParameterError::invalid(name, percent.to_string(), format!("it must be at most {most}")))
}
