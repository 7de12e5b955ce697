//! What was asked for, read once and checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use muster_pattern::{Class, SECTOR_BYTES};
use muster_sdk::{Family, ParameterError, Parameters, Session, Token, parse_token};

use crate::core::Disorder;
use crate::frame::BODY_BYTES_MAX;
use crate::trouble::Trouble;

const LOCKS_MAX: u64 = 1024;
const TAKERS_MAX: u64 = 16;
const HOLD_MAX: Duration = Duration::from_secs(10);
const WAIT_MAX: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Whose locks a process takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Over {
    /// Of the server of its gang, which it is itself or asks for.
    Gang {
        /// It is the server.
        serves: bool,
    },
    /// Of a server that it was told.
    Server(Place),
    /// Of a file on a shared directory.
    Directory(PathBuf),
}

/// Where a server listens, and what it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Address and port.
    pub(crate) address: SocketAddr,
    /// What who comes in shows.
    pub(crate) token: Token,
}

/// A fault to make on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Injection {
    /// Spoil a record, for good or for one reading.
    Record {
        /// Into what.
        class: Class,
        /// Only what one reading brings.
        passing: bool,
    },
    /// Let two hold a lock at once.
    Beside,
    /// Let a token go back.
    TokenBack,
    /// Give a grant to two.
    Twice,
    /// Serve who asked last before all others.
    Overtake,
    /// Forget to say a grant.
    DropGrant,
    /// Pass over a release.
    DropRelease,
}

/// Settings of one process.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) over: Over,
    pub(crate) locks: u32,
    pub(crate) takers: usize,
    /// Of a hundred locks.
    pub(crate) shared_percent: u64,
    pub(crate) record_bytes: usize,
    pub(crate) wait_max: Duration,
    pub(crate) family: Family,
    pub(crate) network: String,
    /// A fault to make; only in the process that makes it.
    pub(crate) inject: Option<Injection>,
    pub(crate) triggers: Vec<u8>,
}

impl Settings {
    pub(crate) fn read(session: &Session) -> Result<Self, Trouble> {
        let parameters = session.parameters();
        let gang = session.gang().ok_or_else(|| {
            let text = "it needs a gang: start it with `muster start lock`, or by hand with --role and --peer";
            Trouble::Setting(text.into())
        })?;
        let serves = gang.role == "server";
        let over = over(&parameters, serves)?;
        let injection = inject(&parameters)?;
        check_injection(&over, injection, parameters.text("inject")?)?;
        // Before anybody is asked for.
        Pace::read(parameters)?;
        Ok(Self {
            locks: u32::try_from(between(&parameters, "locks", 1, LOCKS_MAX)?).unwrap_or(1),
            takers: usize::try_from(between(&parameters, "takers", 1, TAKERS_MAX)?).unwrap_or(1),
            shared_percent: between(&parameters, "shared_percent", 0, 100)?,
            record_bytes: record_bytes(parameters.size("record_size")?)?,
            wait_max: wait_max(&parameters)?,
            family: parameters.choice("family", &Family::NAMES)?,
            network: parameters.text("network")?.to_owned(),
            // One culprit of a gang is enough.
            inject: injection.filter(|_| serves),
            triggers: parameters.triggers("trigger")?,
            over,
        })
    }
}

/// How fast and how long: what may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) hold: Duration,
    pub(crate) pause: Duration,
    /// When to end; none for when it is stopped.
    pub(crate) duration: Option<Duration>,
}

impl Pace {
    pub(crate) fn read(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        let duration = parameters.duration("duration")?;
        Ok(Self {
            hold: hold(&parameters)?,
            pause: parameters.duration("pause")?,
            duration: (!duration.is_zero()).then_some(duration),
        })
    }
}

fn over(parameters: &Parameters<'_>, serves: bool) -> Result<Over, ParameterError> {
    let (directory, server) = (parameters.text("directory")?, parameters.text("server")?);
    let by_files = parameters.choice("over", &[("server", false), ("fcntl", true)])?;
    match (by_files, directory.is_empty(), server.is_empty()) {
        (true, false, true) => Ok(Over::Directory(PathBuf::from(directory))),
        (true, true, _) => {
            let reason = "over=fcntl needs one that all members of the job reach";
            Err(ParameterError::invalid("directory", directory, reason))
        }
        (true, false, false) => Err(ParameterError::invalid("server", server, "over=fcntl has no server")),
        (false, false, _) => {
            Err(ParameterError::invalid("directory", directory, "it is of over=fcntl; records of a server are with it"))
        }
        (false, true, true) => Ok(Over::Gang { serves }),
        (false, true, false) => place(server).map(Over::Server).ok_or_else(|| {
            let reason = "write it as the event `listening` of that server says it, like 10.0.0.2:41234/0123…cdef";
            ParameterError::invalid("server", server, reason)
        }),
    }
}

fn place(text: &str) -> Option<Place> {
    let (address, token) = text.split_once('/')?;
    let is_token = token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(Place { address: address.parse().ok()?, token: parse_token(token) }).filter(|_| is_token)
}

fn between(parameters: &Parameters<'_>, name: &str, least: u64, most: u64) -> Result<u64, ParameterError> {
    let count = parameters.count(name)?;
    if (least..=most).contains(&count) {
        return Ok(count);
    }
    Err(ParameterError::invalid(name, count.to_string(), format!("it must be from {least} to {most}")))
}

fn hold(parameters: &Parameters<'_>) -> Result<Duration, ParameterError> {
    let hold = parameters.duration("hold")?;
    if hold <= HOLD_MAX {
        return Ok(hold);
    }
    Err(ParameterError::invalid("hold", parameters.text("hold")?, "it must be at most 10s"))
}

fn wait_max(parameters: &Parameters<'_>) -> Result<Duration, ParameterError> {
    let wait = parameters.duration("wait_max")?;
    if WAIT_MAX.contains(&wait) {
        return Ok(wait);
    }
    Err(ParameterError::invalid("wait_max", parameters.text("wait_max")?, "it must be from 1s to 1h"))
}

fn record_bytes(size: u64) -> Result<usize, ParameterError> {
    let fits = |bytes: &usize| (1..=BODY_BYTES_MAX).contains(bytes) && bytes.is_multiple_of(SECTOR_BYTES);
    usize::try_from(size).ok().filter(fits).ok_or_else(|| {
        ParameterError::invalid("record_size", size.to_string(), "it must be a multiple of 512, at most 64KiB")
    })
}

/// Where a fault is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Into {
    Record,
    Reading,
    Grant,
    Release,
}

const PLACES: [(&str, Into); 4] =
    [("record", Into::Record), ("reading", Into::Reading), ("grant", Into::Grant), ("release", Into::Release)];

fn inject(parameters: &Parameters<'_>) -> Result<Option<Injection>, ParameterError> {
    let (name, place) = (parameters.text("inject")?, parameters.choice("inject_into", &PLACES)?);
    if name.is_empty() {
        return Ok(None);
    }
    let class = Class::ALL.into_iter().find(|class| class.as_str() == name);
    let disorder = Disorder::ALL.into_iter().find(|disorder| disorder.as_str() == name);
    let injection = match (class, disorder, place) {
        (Some(class), _, Into::Record) => Some(Injection::Record { class, passing: false }),
        (Some(class), _, Into::Reading) => Some(Injection::Record { class, passing: true }),
        (Some(Class::Foreign), _, Into::Grant) => Some(Injection::Beside),
        (Some(Class::Stale), _, Into::Grant) => Some(Injection::TokenBack),
        (_, Some(Disorder::Dropped), Into::Grant) => Some(Injection::DropGrant),
        (_, Some(Disorder::Dropped), Into::Record | Into::Release) => Some(Injection::DropRelease),
        // Order is of grants alone: where else is not asked.
        (_, Some(Disorder::Duplicated), Into::Record | Into::Grant) => Some(Injection::Twice),
        (_, Some(Disorder::Reordered), Into::Record | Into::Grant) => Some(Injection::Overtake),
        _ => None,
    };
    let all = || Class::ALL.map(Class::as_str).into_iter().chain(Disorder::ALL.map(Disorder::as_str));
    match (injection, all().any(|known| known == name)) {
        (Some(injection), _) => Ok(Some(injection)),
        (None, false) => {
            let reason = format!("write one of {}", all().collect::<Vec<_>>().join(", "));
            Err(ParameterError::invalid("inject", name, reason))
        }
        (None, true) => {
            let reason = format!("{name} can not be made there; leave it away");
            Err(ParameterError::invalid("inject_into", parameters.text("inject_into")?, reason))
        }
    }
}

/// Files of fcntl locks promise no order and say no grants.
fn check_injection(over: &Over, injection: Option<Injection>, name: &str) -> Result<(), ParameterError> {
    match (over, injection) {
        (Over::Server(_), Some(_)) => {
            Err(ParameterError::invalid("inject", name, "a server makes faults in its own gang alone"))
        }
        (
            Over::Directory(_),
            Some(Injection::Twice | Injection::Overtake | Injection::DropGrant | Injection::DropRelease),
        ) => Err(ParameterError::invalid("inject", name, "fcntl locks promise no order, and say no grants")),
        _ => Ok(()),
    }
}
