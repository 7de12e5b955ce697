//! Triggers, as far as the agent's loop is concerned: arms that the scheduler orders, firings of processes, what only the loop can
//! do about them, and what is reported.

use muster_model::{
    Firing, FiringId, FiringSource, ProcessId, ReservationId, TriggerActed, TriggerAction, TriggerNumber,
    TriggerOutcome,
};
use muster_module_protocol::AgentMessage;
use muster_proto::v1::{TriggerArm, TriggerFired, TriggerPolicy, envelope::Body, report};
use tokio::sync::oneshot;

use super::Agent;
use crate::core::triggers::{Arm, Ground};
use crate::triggers::{Task, job_of};
use crate::wire;

impl Agent {
    /// Tells the desk where this machine stands.
    pub(super) fn say_ground(&self) {
        self.desk.set_ground(Ground {
            epoch: self.fence.epoch(),
            fenced: self.fence.fenced_epoch(),
            reservation: ReservationId(self.fence.reservation),
            protected: self.fence.machine_protected,
        });
    }

    /// Takes the whole list of arms; false when it could not be written.
    pub(super) fn take_arms(&self, arms: &[TriggerArm]) -> std::io::Result<()> {
        let known = arms.iter().filter_map(|arm| {
            let read = wire::arm(arm);
            if let Err(error) = &read {
                tracing::warn!(%error, trigger = arm.number, "an arm is not understood");
            }
            read.ok()
        });
        self.desk.set_arms(known.collect())
    }

    /// What the policy file permits now, for heartbeats.
    pub(super) fn look_at_policy(&mut self) {
        let policy = self.desk.read_policy();
        self.trigger_policy = (!policy.permits.is_empty()).then(|| TriggerPolicy::from(&policy.permits));
    }

    /// A process fires.
    pub(super) fn trigger_said(&mut self, id: ProcessId, number: u32, note: &str) {
        let Some(process) = self.processes.get(&id).filter(|process| process.life.is_live()) else { return };
        let epoch = process.intent.epoch();
        let now = self.now();
        let why_not = match TriggerNumber::new(number) {
            None => Err("there is no trigger of this number"),
            Some(_) if epoch != self.fence.epoch() => Err("the machine has changed hands"),
            Some(_) if !self.fire_rate.admits(now) => Err("too many fire on this machine within a second"),
            Some(number) => Ok(number),
        };
        let number = match why_not {
            Ok(number) => number,
            Err(why) => return tracing::warn!(process = %id, trigger = number, why, "a process can not fire"),
        };
        let firing = Firing {
            id: FiringId(*uuid::Uuid::now_v7().as_bytes()),
            number,
            source: FiringSource::Process { machine: self.settings.machine.clone(), epoch, process: id },
            fired: self.connection.clock.now(),
            note: wire::cut(note),
            reservation: ReservationId(self.fence.reservation),
        };
        tracing::warn!(process = %id, trigger = %number, firing = %firing.id, note, "a process fires a trigger");
        let fired = TriggerFired::from(&firing);
        let envelope = self.connection.envelope(Body::EdgeFired(fired.clone()), self.identity());
        self.say_ground();
        let (written, spooled) = oneshot::channel();
        self.desk.fire(firing, envelope, spooled);
        self.say_fired(fired, written);
    }

    /// A process has this machine crash, as it was started to when data are wrong. That is kept as a firing, with no number of its own: a
    /// machine that comes back tells of it, and no other machine hears of it.
    pub(super) fn crash_said(&mut self, id: ProcessId, note: &str) {
        let Some(process) = self.processes.get(&id).filter(|process| process.life.is_live()) else { return };
        let epoch = process.intent.epoch();
        let why_not = if epoch != self.fence.epoch() {
            "the machine has changed hands"
        } else if self.fence.machine_protected {
            "the machine is protected"
        } else if !self.desk.read_policy().permits.permits(&TriggerAction::Crash) {
            "the machine's policy file does not permit it"
        } else {
            ""
        };
        if !why_not.is_empty() {
            tracing::warn!(process = %id, why = why_not, "a process can not have this machine crash");
            return self.send(id, &AgentMessage::NotCrashed { why: why_not.into() });
        }
        tracing::warn!(process = %id, note, "a process has this machine crash");
        let firing = Firing {
            id: FiringId(*uuid::Uuid::now_v7().as_bytes()),
            number: TriggerNumber::default(),
            source: FiringSource::Process { machine: self.settings.machine.clone(), epoch, process: id },
            fired: self.connection.clock.now(),
            note: wire::cut(&format!("crash on error: {note}")),
            reservation: ReservationId(self.fence.reservation),
        };
        let fired = TriggerFired::from(&firing);
        let (written, spooled) = oneshot::channel();
        self.desk.crash(firing, epoch, spooled);
        self.say_fired(fired, written);
    }

    /// A firing goes into the spool at once.
    fn say_fired(&mut self, fired: TriggerFired, written: oneshot::Sender<()>) {
        self.reports.say(report::Kind::TriggerFired(fired));
        if self.reports.flush(self.identity()) {
            self.note_ended();
        }
        // Nobody waits where nothing is armed here.
        let _ = written.send(());
    }

    /// A process arms this machine, and is told whether it did.
    pub(super) fn arm_said(&mut self, id: ProcessId, number: u32, action: &str, argument: &str) {
        let Some(process) = self.processes.get(&id).filter(|process| process.life.is_live()) else { return };
        let epoch = process.intent.epoch();
        let armed = TriggerNumber::new(number).ok_or_else(|| "there is no trigger of this number".to_owned());
        let armed = armed.and_then(|number| {
            let action = TriggerAction::parse(action, argument).map_err(|error| error.to_string())?;
            let reservation = ReservationId(self.fence.reservation);
            let (from_machines, from_jobs) = (Vec::new(), Vec::new());
            let arm = Arm { id: None, number, epoch, reservation, from_machines, from_jobs, action };
            self.desk.arm_own(id, arm)
        });
        let why = armed.err().unwrap_or_default();
        self.send(id, &AgentMessage::Armed { n: number, armed: why.is_empty(), why });
    }

    /// Does what only the loop can do.
    pub(super) fn trigger_task(&mut self, task: Task) {
        let latency = self.desk.latency(&task.firing);
        let (outcome, detail) = match &task.acted.action {
            TriggerAction::DumpHistory => self.dump_histories(&task),
            TriggerAction::StopJob(job) => {
                let fired_by = job_of(&task.firing);
                let wanted = job.or(fired_by.map(|(_, job)| job));
                match wanted {
                    Some(job) => self.stop_job(job, task.firing.number),
                    None => (TriggerOutcome::Failed, "a person fired it, and no job is named".into()),
                }
            }
            TriggerAction::Crash | TriggerAction::Sysrq(_) | TriggerAction::Command(_) | TriggerAction::Packet => {
                (TriggerOutcome::Failed, "the loop is not asked for this".into())
            }
        };
        self.trigger_acted(TriggerActed { outcome, detail, latency, ..task.acted });
    }

    fn dump_histories(&mut self, task: &Task) -> (TriggerOutcome, String) {
        let message = AgentMessage::Dump { n: task.firing.number.0.into(), firing: task.firing.id.to_string() };
        let live = self.processes.values().filter(|process| process.life.is_live());
        let connected: Vec<u64> = live.filter_map(|process| process.connection).collect();
        for connection in &connected {
            self.sockets.say(*connection, &message);
        }
        match connected.len() {
            0 => (TriggerOutcome::Failed, "no process is here that could".into()),
            asked => (TriggerOutcome::Acted, format!("{asked} processes were asked")),
        }
    }

    fn stop_job(&mut self, job: muster_model::JobNumber, number: TriggerNumber) -> (TriggerOutcome, String) {
        let live = self.processes.iter().filter(|(id, process)| id.dpid.job == job && process.life.is_live());
        let live: Vec<(ProcessId, u64)> = live.map(|(id, process)| (*id, process.intent.grace_ms)).collect();
        for (id, grace_ms) in &live {
            self.stop(*id, std::time::Duration::from_millis(*grace_ms), &format!("trigger {number}"));
        }
        (TriggerOutcome::Acted, format!("{} processes of job {job} were told to stop", live.len()))
    }

    /// What is said of a file that a crash left goes into the spool at once; where the disk does not take it, it is said again.
    pub(super) fn crash_file(&mut self, kind: report::Kind, written: oneshot::Sender<()>) {
        self.reports.say(kind);
        if self.reports.flush(self.identity()) {
            self.note_ended();
            // It fails when nobody waits any more.
            let _ = written.send(());
        }
    }

    /// What came of a firing goes into the spool at once, and is then not said again by a later life.
    pub(super) fn trigger_acted(&mut self, acted: TriggerActed) {
        tracing::info!(trigger = %acted.number, outcome = acted.outcome.as_str(), detail = acted.detail, "a trigger acted");
        if acted.outcome == TriggerOutcome::Acted && acted.action.crashes() {
            self.crash_watch.crashed(acted.firing);
        }
        self.reports.say(report::Kind::TriggerActed((&acted).into()));
        if self.reports.flush(self.identity()) {
            self.note_ended();
            self.desk.reported(acted.firing);
        }
    }
}
