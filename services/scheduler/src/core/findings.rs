//! What JOBS and the agents disagree about: for who asks for a full pass (`muster doctor`).
//!
//! Says what differs, and what the full pass does about it. It repairs nothing by itself: `decide` and `wanted` do.

use muster_ledger::{Difference, Findings};
use muster_model::PoolTime;

use super::check::check;
use super::limits::{LOST_AFTER, MISMATCHES_MAX};
use super::machine::Machine;
use super::observed::{Agent, Observed};
use super::state::State;

/// A state with more processes is not checked as a whole: it would take the leader's time.
const CHECKED_PROCESSES_MAX: usize = 50_000;

/// Everything that is found now.
pub(super) fn findings(state: &State, observed: &Observed, now: PoolTime) -> Findings {
    let mut differences = Vec::new();
    for (id, machine) in &state.machines {
        let found = match observed.agent(id).filter(|agent| agent.is_heard_in(machine.seen.incarnation, now)) {
            Some(agent) => differing(machine, agent),
            None => unheard(machine),
        };
        differences.extend(found.into_iter().map(|(what, next)| Difference { subject: id.to_string(), what, next }));
    }
    let is_small = state.processes.len() <= CHECKED_PROCESSES_MAX;
    let broken = if is_small { check(state).err() } else { None };
    Findings { differences, alarms: Vec::new(), broken }
}

/// What an agent that is heard has otherwise than the log, each with what is done about it.
fn differing(machine: &Machine, agent: &Agent) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if agent.acknowledged.is_some_and(|acknowledged| acknowledged < machine.generation) {
        let has = agent.acknowledged.unwrap_or_default();
        let refused = if agent.refusal.is_empty() { String::new() } else { format!("; it said: {}", agent.refusal) };
        let what = format!("its agent has the orders of JOBS {has}, and {} is wanted{refused}", machine.generation);
        found.push((what, "the orders are sent to the agent again".into()));
    }
    if agent.mismatches > 0 {
        let what = format!(
            "its agent runs other processes than the log says: {} by its heartbeat, {} by the log",
            agent.live,
            machine.live.len()
        );
        let next = format!(
            "after {} such heartbeats the agent is asked for all that it knows, and the log, or the agent, is set right",
            MISMATCHES_MAX + 1
        );
        found.push((what, next));
    }
    if agent.ahead > 0 {
        let what = "its processes answer pings, and the log does not call them running".to_owned();
        found.push((what, "their reports are awaited, then the agent is asked for all that it knows".into()));
    }
    if !agent.strays.is_empty() {
        let what = format!("{} processes run there that the log does not want", agent.strays.len());
        found.push((what, "the agent is told to stop them".into()));
    }
    found
}

/// A machine that is not heard, although something runs there by the log.
fn unheard(machine: &Machine) -> Vec<(String, String)> {
    let awaited = machine.live.len().saturating_sub(machine.away as usize);
    if awaited == 0 {
        return Vec::new();
    }
    let what = format!("its agent is not heard, and {awaited} of its processes live by the log");
    let next = format!(
        "what became of them is taken from the agent's hello; they are lost once the machine has been down for {} s",
        LOST_AFTER.as_secs()
    );
    vec![(what, next)]
}
