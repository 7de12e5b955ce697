//! What was asked for, read once and checked.

use std::time::Duration;

use muster_pattern::Class;
use muster_sdk::{ParameterError, Parameters, Session};

use crate::core::{AREA_BYTES_MIN, Shape, mixed_sizes};
use crate::machine;
use crate::way::Way;

/// Areas of memory, the free one included.
const AREAS_MAX: u64 = 64;
/// Least memory of a mix of sizes.
const MEMORY_BYTES_MIN: u64 = 64 << 10;

/// Where areas lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numa {
    /// On all nodes in turn.
    Spread,
    /// Where the CPU is that touches them first.
    Local,
}

/// Where corruption is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InjectInto {
    /// In memory, so that it is read again.
    Memory,
    /// Only for the first reading.
    Reading,
}

/// Settings of one process.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) shape: Shape,
    pub(crate) numa: Numa,
    /// Corruption to make on purpose.
    pub(crate) inject: Option<Class>,
    pub(crate) inject_into: InjectInto,
}

/// How fast and how long: what may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most bytes moved a second; none without a limit.
    pub(crate) rate_max: Option<u64>,
    /// When to end; none for when it is stopped.
    pub(crate) duration: Option<Duration>,
    /// After how many passes to end; none for when it is stopped.
    pub(crate) passes: Option<u64>,
}

impl Limits {
    pub(crate) fn read(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        let duration = parameters.duration("duration")?;
        Ok(Self {
            rate_max: Some(parameters.size("rate_max")?).filter(|rate| *rate > 0),
            duration: (!duration.is_zero()).then_some(duration),
            passes: Some(parameters.count("passes")?).filter(|passes| *passes > 0),
        })
    }
}

impl Settings {
    pub(crate) fn read(session: &Session) -> Result<Self, ParameterError> {
        let parameters = session.parameters();
        let areas = areas(parameters.count("areas")?)?;
        let sizes = match parameters.size("size")? {
            0 => mixed_sizes(&machine::cache_bytes(), areas as u64, memory_max(&parameters)?),
            size => vec![area_bytes(size)?],
        };
        Ok(Self {
            shape: Shape { areas, sizes, way: parameters.choice("way", WAYS)?, seed: session.seed() },
            numa: parameters.choice("numa", NUMA)?,
            inject: parameters.class("inject")?,
            inject_into: parameters.choice("inject_into", PLACES)?,
        })
    }
}

const WAYS: &[(&str, Option<Way>)] = &[
    ("mix", None),
    ("copy", Some(Way::Copy)),
    ("stream", Some(Way::Stream)),
    ("bytes", Some(Way::Bytes)),
    ("odd", Some(Way::Odd)),
];
const NUMA: &[(&str, Numa)] = &[("spread", Numa::Spread), ("local", Numa::Local)];
const PLACES: &[(&str, InjectInto)] = &[("memory", InjectInto::Memory), ("reading", InjectInto::Reading)];

fn areas(count: u64) -> Result<usize, ParameterError> {
    let fits = (2..=AREAS_MAX).contains(&count);
    usize::try_from(count)
        .ok()
        .filter(|_| fits)
        .ok_or_else(|| ParameterError::invalid("areas", count.to_string(), format!("it must be from 2 to {AREAS_MAX}")))
}

fn area_bytes(size: u64) -> Result<u64, ParameterError> {
    if size.is_multiple_of(AREA_BYTES_MIN) {
        return Ok(size);
    }
    Err(ParameterError::invalid("size", size.to_string(), "it must be a multiple of 512"))
}

fn memory_max(parameters: &Parameters<'_>) -> Result<u64, ParameterError> {
    let bytes = parameters.size("memory_max")?;
    if bytes >= MEMORY_BYTES_MIN {
        return Ok(bytes);
    }
    Err(ParameterError::invalid("memory_max", bytes.to_string(), "it must be at least 64KiB"))
}
