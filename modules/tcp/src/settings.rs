//! What was asked for, read once and checked.

use std::time::Duration;

use muster_pattern::{Class, SECTOR_BYTES};
use muster_sdk::{Family, ParameterError, Parameters, Session};

use crate::core::Disorder;
use crate::trouble::Trouble;

/// Greatest packet.
pub(crate) const PACKET_BYTES_MAX: usize = 1024 * 1024;
/// Most connections side by side.
const STREAMS_MAX: u64 = 16;

/// Which of the two a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It listens.
    Server,
    /// It connects.
    Client,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Both.
    Both,
    /// Only the client.
    ToServer,
    /// Only the server.
    ToClient,
}

impl Direction {
    /// Whether a role sends.
    pub(crate) fn is_sent_by(self, role: Role) -> bool {
        match self {
            Self::Both => true,
            Self::ToServer => role == Role::Client,
            Self::ToClient => role == Role::Server,
        }
    }
}

/// What to do wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Injection {
    /// Spoil a packet.
    Content(Class),
    /// Send one in the wrong place.
    Order(Disorder),
}

/// Settings of one process.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Which of the two it is.
    pub(crate) role: Role,
    /// Bytes of a packet.
    pub(crate) packet_bytes: usize,
    /// Who sends.
    pub(crate) direction: Direction,
    /// Connections.
    pub(crate) streams: usize,
    /// Addresses to use.
    pub(crate) family: Family,
    /// Interface or network to use; empty for all.
    pub(crate) network: String,
    /// Corruption to make on purpose; only at the end that makes it.
    pub(crate) inject: Option<Injection>,
    /// Triggers to fire when data are wrong.
    pub(crate) triggers: Vec<u8>,
}

/// How fast and how long: what may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most bytes a second of all streams, in each direction; 0 without a limit.
    rate_max: u64,
    /// When to end; none for when it is stopped.
    pub(crate) duration: Option<Duration>,
}

impl Limits {
    pub(crate) fn read(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        let duration = parameters.duration("duration")?;
        Ok(Self { rate_max: parameters.size("rate_max")?, duration: (!duration.is_zero()).then_some(duration) })
    }

    /// Most bytes a second of one of the streams; 0 without a limit.
    pub(crate) fn stream_rate_max(&self, streams: usize) -> u64 {
        if self.rate_max == 0 { 0 } else { (self.rate_max / streams as u64).max(1) }
    }
}

impl Settings {
    pub(crate) fn read(session: &Session) -> Result<Self, Trouble> {
        let parameters = session.parameters();
        let role = role(session)?;
        let direction = direction(parameters.text("direction")?)?;
        let packet_bytes = packet_bytes(parameters.size("packet_size")?)?;
        let streams = streams(parameters.count("streams")?)?;
        let injection = inject(parameters.text("inject")?, packet_bytes)?;
        // Both directions have one culprit: the client, where it sends.
        let culprit = if direction.is_sent_by(Role::Client) { Role::Client } else { Role::Server };
        Ok(Self {
            role,
            packet_bytes,
            direction,
            streams,
            family: parameters.choice("family", &Family::NAMES)?,
            network: parameters.text("network")?.to_owned(),
            inject: injection.filter(|_| role == culprit),
            triggers: parameters.triggers("trigger")?,
        })
    }

    /// Whether this process sends.
    pub(crate) fn sends(&self) -> bool {
        self.direction.is_sent_by(self.role)
    }

    /// Whether it receives.
    pub(crate) fn receives(&self) -> bool {
        self.direction.is_sent_by(self.role.other())
    }
}

fn role(session: &Session) -> Result<Role, Trouble> {
    let gang = session.gang().ok_or_else(|| {
        Trouble::Setting("it needs a peer: start it with `muster start tcp`, or by hand with --role and --peer".into())
    })?;
    match gang.role.as_str() {
        "server" => Ok(Role::Server),
        "client" => Ok(Role::Client),
        other => Err(Trouble::Setting(format!("there is no role `{other}`; its roles are server and client"))),
    }
}

fn direction(name: &str) -> Result<Direction, ParameterError> {
    match name {
        "both" => Ok(Direction::Both),
        "to_server" => Ok(Direction::ToServer),
        "to_client" => Ok(Direction::ToClient),
        _ => Err(ParameterError::invalid("direction", name, "write both, to_server or to_client")),
    }
}

fn packet_bytes(size: u64) -> Result<usize, ParameterError> {
    let bytes = usize::try_from(size).ok();
    let fits = |bytes: &usize| (1..=PACKET_BYTES_MAX).contains(bytes) && bytes.is_multiple_of(SECTOR_BYTES);
    bytes.filter(fits).ok_or_else(|| {
        ParameterError::invalid("packet_size", size.to_string(), "it must be a multiple of 512, at most 1MiB")
    })
}

fn streams(count: u64) -> Result<usize, ParameterError> {
    let fits = (1..=STREAMS_MAX).contains(&count);
    usize::try_from(count).ok().filter(|_| fits).ok_or_else(|| {
        ParameterError::invalid("streams", count.to_string(), format!("it must be from 1 to {STREAMS_MAX}"))
    })
}

fn inject(name: &str, packet_bytes: usize) -> Result<Option<Injection>, ParameterError> {
    if name.is_empty() {
        return Ok(None);
    }
    let content = Class::ALL.into_iter().find(|class| class.as_str() == name).map(Injection::Content);
    let order = Disorder::ALL.into_iter().find(|disorder| disorder.as_str() == name).map(Injection::Order);
    let names = || Class::ALL.map(Class::as_str).into_iter().chain(Disorder::ALL.map(Disorder::as_str));
    let injection = content.or(order).ok_or_else(|| {
        let reason = format!("write one of {}", names().collect::<Vec<_>>().join(", "));
        ParameterError::invalid("inject", name, reason)
    })?;
    if injection == Injection::Content(Class::Stale) && packet_bytes == SECTOR_BYTES {
        let reason = "a stale packet of one sector is a whole older packet: take DUPLICATED, or a greater packet_size";
        return Err(ParameterError::invalid("inject", name, reason));
    }
    Ok(Some(injection))
}
