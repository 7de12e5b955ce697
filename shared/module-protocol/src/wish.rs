//! What is asked of an agent on a connection of its own: clients of a process, and the reservation that has the machine.

use serde::{Deserialize, Serialize};

/// What a process asks of its clients: machines that are reserved for it, and end with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientWish {
    /// Which there are.
    List,
    /// Further ones.
    Ask {
        /// UUID: said again, it is the same wish.
        id: String,
        /// Selector of machines; empty for any.
        #[serde(default)]
        selector: String,
        /// How many.
        count: u32,
        /// Each for itself, to be used as they become ready; else all of them or none.
        #[serde(default)]
        each: bool,
        /// For so many milliseconds; they end with the process in any case.
        for_ms: u64,
        /// A higher one is served before a lower one, 0 to 100.
        #[serde(default)]
        priority: u32,
    },
    /// Keep some for longer.
    Extend {
        /// UUID.
        id: String,
        /// Number of the reservation.
        reservation: u64,
        /// By so many milliseconds.
        by_ms: u64,
    },
    /// Give some back.
    Dismiss {
        /// UUID.
        id: String,
        /// Number of the reservation; 0 for the one that has the machine.
        #[serde(default)]
        reservation: u64,
        /// The machine; empty for all of the reservation.
        #[serde(default)]
        machine: String,
    },
}

/// What a person at a machine asks of the reservation that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderWish {
    /// How it stands.
    Show,
    /// Keep it for longer.
    Extend {
        /// UUID: said again, it is the same wish.
        id: String,
        /// By so many milliseconds.
        by_ms: u64,
    },
    /// Give it back.
    CheckIn {
        /// UUID.
        id: String,
    },
}

/// Clients of a process: one reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its number.
    pub reservation: u64,
    /// `queued`, `preparing`, `ready` or `ended`.
    pub state: String,
    /// How many machines were asked for.
    pub count: u32,
    /// Its machines.
    #[serde(default)]
    pub machines: Vec<String>,
    /// Those of them that can be used now.
    #[serde(default)]
    pub ready: Vec<String>,
    /// Pool time of its deadline, nanoseconds; 0 while it waits.
    #[serde(default)]
    pub deadline_ns: i64,
    /// What it waits for, or why it ended.
    #[serde(default)]
    pub reason: String,
}
