//! Sync points: what processes say goes to the scheduler in the batches of reports, and its answer comes with the order of the process.
//! Nothing is kept on the disk: who was not answered says it again on its next connection.

use std::time::Duration;

use muster_model::{Dpid, ProcessId, ProcessNumber, nanoseconds};
use muster_module_protocol::{AgentMessage, SyncEnd};
use muster_proto::v1::{self, report};

use super::Agent;
use crate::wire;

/// Participants that one process may name at most; more is the scheduler's to refuse.
const WITH_MAX: usize = 100;

/// A process arrives at a sync point.
#[derive(Debug)]
pub(super) struct Sync<'a> {
    pub name: &'a str,
    pub round: u64,
    pub vote: bool,
    pub timeout: Duration,
    pub with: &'a [String],
}

impl Agent {
    /// A process arrives. What was answered already is answered again.
    pub(super) fn sync_said(&mut self, id: ProcessId, sync: &Sync<'_>) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.life.is_live()) else { return };
        process.waits_at = Some((sync.name.to_owned(), sync.round));
        let epoch = process.intent.epoch().0;
        if let Some(answer) = process.synced.clone() {
            self.sync_answered(id, answer);
        }
        if self.processes.get(&id).is_none_or(|process| process.waits_at.is_none()) {
            return;
        }
        let said = v1::SyncSaid {
            id: Some(id.into()),
            epoch,
            name: wire::cut(sync.name),
            round: sync.round,
            vote: sync.vote,
            timeout_ns: nanoseconds(sync.timeout),
            with: sync.with.iter().take(WITH_MAX).map(|name| wire::cut(name)).collect(),
            leaves: false,
        };
        self.reports.say(report::Kind::SyncSaid(said));
    }

    /// A process is awaited no more.
    pub(super) fn leave_said(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get(&id).filter(|process| process.life.is_live()) else { return };
        let epoch = process.intent.epoch().0;
        let said = v1::SyncSaid { id: Some(id.into()), epoch, leaves: true, ..v1::SyncSaid::default() };
        self.reports.say(report::Kind::SyncSaid(said));
    }

    /// The scheduler has answered the newest arrival of a process; who does not wait for it is not told.
    pub(super) fn sync_answered(&mut self, id: ProcessId, answer: v1::SyncAnswer) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let round = answer.round.clone().unwrap_or_default();
        process.synced = Some(answer.clone());
        if process.waits_at.as_ref().is_none_or(|(name, number)| (name, *number) != (&round.name, round.number)) {
            return;
        }
        process.waits_at = None;
        let dpid = |process: u32| Dpid { process: ProcessNumber(process), ..id.dpid }.to_string();
        let (end, by) = match answer.end() {
            v1::SyncEnd::Complete => (SyncEnd::Complete, String::new()),
            v1::SyncEnd::Released => (SyncEnd::Released, dpid(answer.by)),
            v1::SyncEnd::TimedOut => (SyncEnd::TimedOut, String::new()),
            v1::SyncEnd::Refused | v1::SyncEnd::Unspecified => (SyncEnd::Refused, String::new()),
        };
        let message = AgentMessage::Synced {
            name: round.name,
            round: round.number,
            outcome: end,
            yes: answer.yes,
            no: answer.no,
            no_voters: answer.no_voters.iter().map(|process| dpid(*process)).collect(),
            by,
            why: answer.why,
        };
        self.send(id, &message);
    }
}
