//! Effects of lives: everything that a process's state machine asks for is done here, and nowhere else.

use std::time::{Duration, Instant};

use muster_bus::Bucket;
use muster_model::{ProcessId, ProcessState, Verdict, milliseconds};
use muster_module_protocol::AgentMessage;
use muster_proto::v1::{ArtifactStored, ErrorReport, report};

use super::{Agent, Input};
use crate::core::life::{Effect, Event};
use crate::core::outcome::End;
use crate::disk::intents::{Line, end_line, state_number};
use crate::keeper::protocol::ToKeeper;
use crate::names::name_of;
use crate::{checkout, wire, workplace};

impl Agent {
    /// Something happens to a process.
    pub(super) fn happen(&mut self, id: ProcessId, event: Event) {
        let now = self.now();
        let Some(process) = self.processes.get_mut(&id) else { return };
        let effects = process.life.take(event, now);
        for effect in effects {
            self.effect(id, effect);
        }
    }

    fn effect(&mut self, id: ProcessId, effect: Effect) {
        match effect {
            Effect::SendStart => self.send(id, &AgentMessage::Start),
            Effect::SendPing(n) => {
                if let Some(process) = self.processes.get_mut(&id) {
                    process.pinged = Instant::now();
                }
                self.send(id, &AgentMessage::Ping { n });
            }
            Effect::SendStop { grace } => {
                self.send(id, &AgentMessage::Stop { grace_ms: milliseconds(grace) });
            }
            Effect::Kill => self.kill(vec![id]),
            Effect::Report { state, reason } => self.report(id, state, &reason),
            Effect::Conclude => self.conclude(id),
        }
    }

    /// A message that a process does not take is like one that it does not answer.
    pub(super) fn send(&mut self, id: ProcessId, message: &AgentMessage) {
        if let Some(connection) = self.processes.get(&id).and_then(|process| process.connection) {
            self.sockets.say(connection, message);
        }
    }

    /// Ends processes at once. What the keeper does not hear now is said again by the next tick.
    pub(super) fn kill(&self, ids: Vec<ProcessId>) {
        if self.keeping.ready {
            self.keeper.say(ToKeeper::Kill { names: ids.into_iter().map(name_of).collect() });
        }
    }

    fn report(&mut self, id: ProcessId, state: ProcessState, reason: &str) {
        let Some(process) = self.processes.get(&id) else { return };
        if state == ProcessState::Mia {
            tracing::warn!(process = %id, "a process does not answer its pings");
        }
        let report = wire::state_report(id, process.intent.epoch(), state, reason, process.pid);
        self.reports.say(report::Kind::Process(report));
        self.intents.write(Line::State(id.into(), state_number(state)));
    }

    /// Writes what this turn noted: only an end of this process, not of the machine, must not lose it.
    pub(super) fn write_notes(&mut self) {
        if let Err(error) = self.intents.flush() {
            tracing::error!(%error, "the journal of intents can not be written");
        }
    }

    /// What processes said of their ends is written, all of a turn at once; then they are told so. From then on no end of this agent
    /// loses it. The disk has it a moment later, and nobody waits for that: the end of the machine makes its processes lost,
    /// whatever they said, until their final reports are on the disk.
    pub(super) fn keep_done(&mut self) {
        if self.done.is_empty() {
            return;
        }
        if let Err(error) = self.intents.flush() {
            // It is tried again by the next turn.
            tracing::error!(%error, "ends of processes can not be written");
            return;
        }
        self.said_unsynced = true;
        for id in std::mem::take(&mut self.done) {
            self.send(id, &AgentMessage::Kept);
        }
    }

    /// A process is gone: its end goes into the spool, then into the journal; its log follows.
    fn conclude(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let end = process.life.conclude(None);
        self.desk.disarm_own(id);
        if let Some(connection) = process.connection.take() {
            self.sockets.fall_silent(connection);
        }
        note_end(id, &end);
        let withdrawn = process.announced.take();
        let report = wire::end_report(id, process.intent.epoch(), &end, process.pid);
        let r#final = wire::final_report(id, &process.intent.module, &process.intent.resources, &process.r#final);
        self.ended.push((id, end.state));
        process.end = Some(end);
        self.reports.say(report::Kind::Process(report));
        self.reports.say(report::Kind::Final(r#final));
        if let Some(announced) = withdrawn {
            self.withdraw(id, &announced);
        }
    }

    /// Ends whose reports are on the disk now are written down.
    pub(super) fn note_ended(&mut self) {
        let ended = std::mem::take(&mut self.ended);
        if ended.is_empty() {
            return;
        }
        for (id, state) in &ended {
            if let Some(end) = self.processes.get(id).and_then(|process| process.end.clone()) {
                self.intents.write(end_line((*id).into(), &end));
            }
            self.intents.write(Line::Ended((*id).into(), state_number(*state)));
            self.uploads.start_log(*id, workplace::log_of(&self.settings.state, *id));
        }
        tracing::info!(count = ended.len(), "processes ended, and that is on the disk");
        self.noted.extend(ended.iter().map(|(id, _)| name_of(*id)));
        for (id, _) in ended {
            self.forget_if_due(id);
        }
    }

    /// Brings to the disk what processes said of their ends, and ends that were noted. A thread waits for the disk, not this loop.
    pub(super) fn sync_ends(&mut self) {
        let acknowledges = self.keeping.ready && !self.noted.is_empty();
        if self.syncing || !(self.said_unsynced || acknowledges) {
            return;
        }
        let syncing = match self.intents.syncing() {
            Ok(syncing) => syncing,
            Err(error) => return tracing::error!(%error, "the journal of intents can not be made durable"),
        };
        (self.syncing, self.said_unsynced) = (true, false);
        let names = std::mem::take(&mut self.noted);
        let inputs = self.inputs.clone();
        tokio::task::spawn_blocking(move || {
            let result = syncing.wait();
            // It fails only when the agent ends.
            let _ = inputs.blocking_send(Input::Synced { names, result });
        });
    }

    /// Once the ends of processes are on the disk, the keeper need not keep their exits any longer. There is no hurry.
    pub(super) fn synced(&mut self, names: Vec<String>, result: std::io::Result<()>) {
        self.syncing = false;
        match result {
            Ok(()) if self.keeping.ready && !names.is_empty() => drop(self.keeper.say(ToKeeper::Acknowledge { names })),
            Ok(()) => self.noted.extend(names),
            Err(error) => {
                tracing::error!(%error, "the journal of intents can not be made durable");
                self.said_unsynced = true;
                self.noted.extend(names);
            }
        }
    }

    /// A file is in its store, or will not be.
    pub(super) fn uploaded(&mut self, id: ProcessId, bucket: Bucket, stored: Result<ArtifactStored, String>) {
        match stored {
            Ok(stored) => self.reports.say(report::Kind::Artifact(stored)),
            Err(reason) => {
                tracing::warn!(process = %id, reason, "a file could not be kept");
                let message =
                    wire::cut(&format!("a file could not be put into the object store {}: {reason}", bucket.as_str()));
                self.reports.say(report::Kind::Error(ErrorReport { id: Some(id.into()), message }));
            }
        }
        if bucket != Bucket::Logs {
            return;
        }
        self.intents.write(Line::LogKept(id.into()));
        if let Some(process) = self.processes.get_mut(&id) {
            process.log_kept = true;
            self.forget_if_due(id);
        }
    }

    /// The scheduler does not want to hear of these any more.
    pub(super) fn forget(&mut self, ids: Vec<ProcessId>) {
        for id in ids {
            let Some(process) = self.processes.get_mut(&id) else { continue };
            process.forget = true;
            if process.life.is_live() {
                self.happen(id, Event::Kill("it is not wanted any more".into()));
            }
            self.forget_if_due(id);
        }
    }

    pub(super) fn forget_if_due(&mut self, id: ProcessId) {
        let due = |process: &super::Process| process.forget && !process.life.is_live() && process.log_kept;
        if !self.processes.get(&id).is_some_and(due) || self.ended.iter().any(|(ended, _)| *ended == id) {
            return;
        }
        self.intents.write(Line::Forgotten(vec![id.into()]));
        let keeps = self.processes.remove(&id).is_some_and(|process| process.intent.reboots);
        if !checkout::is_kept(&self.settings.state, id) {
            self.remove_later(workplace::directory_of(&self.settings.state, id));
        }
        if keeps && self.attempts_of(id).next().is_none() {
            self.remove_later(workplace::kept_of(&self.settings.state, id));
        }
    }

    /// Stops a process for a reason of this machine's own.
    pub(super) fn stop(&mut self, id: ProcessId, grace: Duration, reason: &str) {
        let line = Line::Stop { key: id.into(), grace_ms: milliseconds(grace), reason: reason.into() };
        if self.processes.get(&id).is_some_and(|process| !process.life.is_ending()) {
            self.intents.write(line);
            self.happen(id, Event::Stop { grace, reason: reason.into() });
        }
    }
}

/// Thousands of good ends at once are counted in one line; what a person may have to look at has its own.
fn note_end(id: ProcessId, end: &End) {
    let End { state, verdict, reason, .. } = end;
    if *state == ProcessState::Finished && matches!(verdict, Verdict::Pass | Verdict::None) {
        tracing::debug!(process = %id, %state, %verdict, reason, "a process ended");
    } else {
        tracing::info!(process = %id, %state, %verdict, reason, "a process ended");
    }
}
