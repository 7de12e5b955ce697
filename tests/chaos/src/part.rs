//! What can be harmed: the parts of a lab, by the names that the lab gives them.

use std::fmt;

/// Services of which a lab of chaos has two instances.
const OWNING: [&str; 3] = ["scheduler", "machine-lifecycle", "reservation"];
/// Services of which it has one.
const OTHERS: [&str; 2] = ["telemetry-logger", "report"];

/// A part of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// An instance of a service, from 0.
    Service(&'static str, u8),
    /// The agent of a machine, from 1.
    Agent(u32),
    /// nats-server.
    Nats,
    /// PostgreSQL.
    Postgres,
    /// The connection of the people who give commands.
    People,
}

impl Part {
    /// Every instance of every service.
    pub fn services() -> impl Iterator<Item = Self> {
        let owning = OWNING.iter().flat_map(|service| [Self::Service(service, 0), Self::Service(service, 1)]);
        owning.chain(OTHERS.iter().map(|service| Self::Service(service, 0)))
    }

    /// Both instances of each owning service.
    pub fn pairs() -> impl Iterator<Item = Vec<Self>> {
        OWNING.iter().map(|service| vec![Self::Service(service, 0), Self::Service(service, 1)])
    }

    /// The agents of so many machines.
    pub fn agents(machines: u32) -> impl Iterator<Item = Self> {
        (1..=machines).map(Self::Agent)
    }

    /// Every part that reaches the bus over a connection that can be harmed.
    #[must_use]
    pub fn connected(machines: u32) -> Vec<Self> {
        Self::services().chain(Self::agents(machines)).chain([Self::People]).collect()
    }
}

impl fmt::Display for Part {
    /// As the lab calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service, instance) => write!(f, "{service}-{}", char::from(b'a' + instance)),
            Self::Agent(machine) => write!(f, "node-{machine}"),
            Self::Nats => f.write_str("nats-server"),
            Self::Postgres => f.write_str("postgres"),
            Self::People => f.write_str("people"),
        }
    }
}
