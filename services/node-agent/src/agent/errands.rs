//! Errands: what processes ask for goes to the scheduler in the batches of reports, and its answer comes with their orders. Clocks are asked
//! from agent to agent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use muster_bus::subjects;
use muster_model::{MachineId, ProcessId, Term};
use muster_module_protocol::AgentMessage;
use muster_proto::v1::{
    self, AgentCommand, AgentRefusal, AgentReply, ClockRead, ErrandRecord, ReadClock, agent_command, envelope::Body,
    report,
};

use super::commands::refuse;
use super::{Agent, Input};
use crate::connection::Connection;
use crate::core::errands::Awaited;
use crate::core::gang::agent_of_source;
use crate::wire;

/// What is waited for where a process does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that may be waited for.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Clocks of other machines that are read at once.
const CLOCKS_MAX: usize = 64;

/// An errand as a process asks for it.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub machine: &'a str,
    pub module: &'a str,
    pub parameters: BTreeMap<String, String>,
    pub detached: bool,
}

impl Agent {
    /// A process asks for an errand. What was answered already is answered again.
    pub(super) fn start_on_said(&mut self, id: ProcessId, wanted: Wanted<'_>, timeout_ms: u64) {
        if !self.waits_for(id, Awaited::Start, wanted.name, timeout_ms) {
            return;
        }
        let parameters = wanted.parameters.into_iter().map(|(key, value)| v1::KeyValue { key, value }).collect();
        self.say_errand(
            id,
            v1::ErrandSaid {
                name: wire::cut(wanted.name),
                machine: wire::cut(wanted.machine),
                module: wire::cut(wanted.module),
                parameters,
                detached: wanted.detached,
                ..v1::ErrandSaid::default()
            },
        );
    }

    /// A process waits for the end of an errand.
    pub(super) fn await_on_said(&mut self, id: ProcessId, name: &str, timeout_ms: u64) {
        self.waits_for(id, Awaited::End, name, timeout_ms);
    }

    /// An errand is to stop.
    pub(super) fn stop_on_said(&mut self, id: ProcessId, name: &str) {
        self.say_errand(id, v1::ErrandSaid { name: wire::cut(name), stop: true, ..v1::ErrandSaid::default() });
    }

    /// Notes what a process waits for; false where it is answered at once.
    fn waits_for(&mut self, id: ProcessId, awaited: Awaited, name: &str, timeout_ms: u64) -> bool {
        let until = self.now() + timeout(timeout_ms);
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.life.is_live()) else { return false };
        let answer = process.errands.ask(awaited, name, until);
        if let Some(answer) = &answer {
            self.send(id, answer);
        }
        answer.is_none()
    }

    fn say_errand(&mut self, id: ProcessId, said: v1::ErrandSaid) {
        let Some(process) = self.processes.get(&id).filter(|process| process.life.is_live()) else { return };
        let epoch = process.intent.epoch().0;
        self.reports.say(report::Kind::Errand(v1::ErrandSaid { id: Some(id.into()), epoch, ..said }));
    }

    /// The scheduler says what is known of the errands of a process.
    pub(super) fn errands_told(&mut self, id: ProcessId, records: &[ErrandRecord]) {
        let answers = self.processes.get_mut(&id).map(|process| process.errands.told(records));
        answers.into_iter().flatten().for_each(|answer| self.send(id, &answer));
    }

    /// Who has waited for long enough is told so.
    pub(super) fn errands_due(&mut self) {
        let now = self.now();
        let due = self.processes.iter_mut().map(|(id, process)| (*id, process.errands.due(now)));
        let due: Vec<(ProcessId, Vec<AgentMessage>)> = due.filter(|(_, answers)| !answers.is_empty()).collect();
        for (id, answers) in due {
            answers.iter().for_each(|answer| self.send(id, answer));
        }
    }

    /// A process asks for the clock of a machine.
    pub(super) fn clock_of_said(&mut self, id: ProcessId, machine: &str, timeout_ms: u64) {
        let Ok(to) = MachineId::new(machine) else {
            return self.send(id, &not_read(machine, "it is no name of a machine"));
        };
        if self.clocks >= CLOCKS_MAX {
            return self.send(id, &not_read(machine, "too many clocks are being read"));
        }
        self.clocks += 1;
        let (connection, inputs, within) = (self.connection.clone(), self.inputs.clone(), timeout(timeout_ms));
        let body = Body::AgentCommand(AgentCommand { kind: Some(agent_command::Kind::Clock(ReadClock {})) });
        let envelope = connection.envelope(body, self.identity());
        tokio::spawn(async move {
            let answer = read_clock(&connection, &to, &envelope, within).await;
            let answer = answer.unwrap_or_else(|why| not_read(to.as_str(), &why));
            // It fails only when the agent ends.
            let _ = inputs.send(Input::ClockRead { id, answer: Box::new(answer) }).await;
        });
    }

    /// A clock was read, or could not be.
    pub(super) fn clock_read(&mut self, id: ProcessId, answer: &AgentMessage) {
        self.clocks -= 1;
        self.send(id, answer);
    }

    /// Another agent asks for the clocks of this machine.
    pub(super) fn clock_command(&self, source: &str, term: Term) -> AgentReply {
        if agent_of_source(source).filter(|_| term == Term::default()).is_none() {
            return refuse(AgentRefusal::Invalid, "only agents read clocks for their processes");
        }
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let clock = ClockRead { pool_time_ns: self.connection.clock.now().0, wall_ns: muster_model::nanoseconds(wall) };
        AgentReply { clock: Some(clock), ..AgentReply::default() }
    }
}

/// Asks another agent, and takes the time that it takes.
async fn read_clock(
    connection: &Connection,
    to: &MachineId,
    envelope: &v1::Envelope,
    within: Duration,
) -> Result<AgentMessage, String> {
    let (asked, before) = (Instant::now(), connection.clock.now().0);
    let subject = subjects::command(to, "clock");
    let ask = async { connection.bus().await.request(&subject, envelope, within).await };
    let answer = tokio::time::timeout(within, ask).await.map_err(|_| format!("no answer within {within:?}"))?;
    let answer = answer.map_err(|error| error.to_string())?;
    let (took, after) = (asked.elapsed(), connection.clock.now().0);
    match answer.body {
        Some(Body::AgentReply(AgentReply { clock: Some(clock), .. })) => Ok(AgentMessage::ClockIs {
            machine: to.to_string(),
            pool_time_ns: clock.pool_time_ns,
            wall_ns: clock.wall_ns,
            here_ns: before + (after - before) / 2,
            round_trip_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            why: String::new(),
        }),
        Some(Body::AgentReply(reply)) => Err(reply.detail),
        _ => Err("its agent does not know this question".into()),
    }
}

fn not_read(machine: &str, why: &str) -> AgentMessage {
    let (machine, why) = (machine.to_owned(), why.to_owned());
    AgentMessage::ClockIs { machine, pool_time_ns: 0, wall_ns: 0, here_ns: 0, round_trip_us: 0, why }
}

fn timeout(timeout_ms: u64) -> Duration {
    match timeout_ms {
        0 => TIMEOUT,
        asked => Duration::from_millis(asked).min(TIMEOUT_MAX),
    }
}
