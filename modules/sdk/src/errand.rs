//! Errands: processes that a test starts on other machines of its job, waits for and stops; and the clocks of other machines.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_model::milliseconds;
use muster_module_protocol::{AgentMessage, ModuleMessage};

use crate::session::Session;

/// What is said where the process was told to stop meanwhile.
const STOPPED: &str = "the process was told to stop";

/// A process on another machine.
#[derive(Debug, Clone)]
pub struct Errand<'a> {
    /// Its name, up to 64 bytes: what is asked for again under one name, in a later attempt as well, is the same errand.
    pub name: &'a str,
    /// Where: a machine that the job is on.
    pub machine: &'a str,
    /// Module of the catalogue.
    pub module: &'a str,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// It goes on when this process has ended; else it ends with it.
    pub detached: bool,
}

/// How an errand ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrandEnd {
    /// `finished`, `dead` or `lost`.
    pub state: String,
    /// `none`, `pass`, `fail`, `skip` or `error`.
    pub verdict: String,
    /// Exit status, as wait(2) gives it, where it is known.
    pub exit_status: Option<i32>,
    /// Why it ended so.
    pub reason: String,
}

/// The clock of another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockRead {
    /// Its pool time, nanoseconds.
    pub pool_time_ns: i64,
    /// Its wall time, nanoseconds.
    pub wall_ns: i64,
    /// Pool time here at that moment, nanoseconds: wrong by half of the round trip at most, where the clocks agree.
    pub here_ns: i64,
    /// From the question to the answer.
    pub round_trip: Duration,
}

impl<'a> Errand<'a> {
    /// A program with its arguments, run by the module `command`.
    #[must_use]
    pub fn program(name: &'a str, machine: &'a str, program: &str, arguments: &[&str]) -> Self {
        let arguments = serde_json::Value::from(arguments.to_vec()).to_string();
        let parameters = [("program", program.to_owned()), ("arguments", arguments)];
        let parameters = parameters.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Self { name, machine, module: "command", parameters, detached: false }
    }
}

impl Session {
    /// Starts an errand, and returns its DPID once the scheduler has placed it.
    ///
    /// # Errors
    /// Why it is not started, or that this was not known in time: then it may be asked for again.
    pub fn start_on(&self, errand: &Errand<'_>, timeout: Duration) -> Result<String, String> {
        let message = ModuleMessage::StartOn {
            name: errand.name.to_owned(),
            machine: errand.machine.to_owned(),
            module: errand.module.to_owned(),
            parameters: errand.parameters.clone(),
            detached: errand.detached,
            timeout_ms: milliseconds(timeout),
        };
        match self.ask(&start(errand.name), &message)? {
            Some(AgentMessage::StartedOn { dpid, why, .. }) if dpid.is_empty() => Err(why),
            Some(AgentMessage::StartedOn { dpid, .. }) => Ok(dpid),
            _ => Err(STOPPED.into()),
        }
    }

    /// Waits for the end of an errand.
    ///
    /// # Errors
    /// Why its end is not known: it was not started, or has not ended in time.
    pub fn await_on(&self, name: &str, timeout: Duration) -> Result<ErrandEnd, String> {
        let message = ModuleMessage::AwaitOn { name: name.to_owned(), timeout_ms: milliseconds(timeout) };
        match self.ask(&end(name), &message)? {
            Some(AgentMessage::EndedOn { state, why, .. }) if state.is_empty() => Err(why),
            Some(AgentMessage::EndedOn { state, verdict, exit_status, reason, .. }) => {
                Ok(ErrandEnd { state, verdict, exit_status, reason })
            }
            _ => Err(STOPPED.into()),
        }
    }

    /// Asks an errand to stop; its end is awaited with [`Self::await_on`].
    pub fn stop_on(&self, name: &str) {
        self.say_stop_on(name);
    }

    /// Reads the clock of another machine.
    ///
    /// # Errors
    /// Why it could not be read.
    pub fn clock_of(&self, machine: &str, timeout: Duration) -> Result<ClockRead, String> {
        let message = ModuleMessage::ClockOf { machine: machine.to_owned(), timeout_ms: milliseconds(timeout) };
        match self.ask(&clock(machine), &message)? {
            Some(AgentMessage::ClockIs { pool_time_ns, wall_ns, here_ns, round_trip_us, why, .. })
                if why.is_empty() =>
            {
                let round_trip = Duration::from_micros(round_trip_us);
                Ok(ClockRead { pool_time_ns, wall_ns, here_ns, round_trip })
            }
            Some(AgentMessage::ClockIs { why, .. }) => Err(why),
            _ => Err(STOPPED.into()),
        }
    }
}

/// What an answer of the agent is about; none for other messages.
pub(crate) fn about(message: &AgentMessage) -> Option<String> {
    match message {
        AgentMessage::StartedOn { name, .. } => Some(start(name)),
        AgentMessage::EndedOn { name, .. } => Some(end(name)),
        AgentMessage::ClockIs { machine, .. } => Some(clock(machine)),
        _ => None,
    }
}

fn start(name: &str) -> String {
    format!("start/{name}")
}

fn end(name: &str) -> String {
    format!("end/{name}")
}

fn clock(machine: &str) -> String {
    format!("clock/{machine}")
}
