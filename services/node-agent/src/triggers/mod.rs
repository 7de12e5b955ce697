//! What happens on this machine when a trigger fires. Edges are heard here, beside the agent's loop, so that no work of the loop
//! delays them: what is armed is looked up, the firing is made durable, then it acts.
//!
//! Not responsible for who is armed (the scheduler), nor for what a process keeps as its history.

mod actions;
mod policy;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::StreamExt;
use muster_bus::subjects;
use muster_model::{
    Epoch, Firing, FiringId, FiringSource, MachineId, PoolTime, ProcessId, TriggerActed, TriggerAction, TriggerOutcome,
};
use muster_proto::v1::{Envelope, envelope::Body};
use tokio::sync::{mpsc, watch};

use crate::agent::Input;
use crate::connection::Connection;
use crate::core::triggers::{Arm, FIRING_AGE_MAX, Ground, Heard, Triggers};
use crate::disk::triggers::TriggerJournal;
use crate::metrics;

pub(crate) use policy::Policy;
use policy::PolicyFile;

/// Before edges that can not be heard are subscribed to again.
const SUBSCRIBE_PAUSE: Duration = Duration::from_secs(2);
/// What came of a firing is reported so much later: other machines hear of it over the same bus, and are to act first. An agent that
/// ends meanwhile says in its next life that it was broken off.
const REPORT_PAUSE: Duration = Duration::from_millis(100);
/// The word of a firing leaves the machine within this, or the machine acts without waiting any longer.
const EDGE_TIMEOUT: Duration = Duration::from_millis(100);

/// What is armed here, and what was heard. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    inner: Arc<Mutex<Inner>>,
    machine: MachineId,
    policy: Arc<PolicyFile>,
    connection: Connection,
    inputs: mpsc::Sender<Input>,
}

#[derive(Debug)]
struct Inner {
    triggers: Triggers,
    journal: TriggerJournal,
    ground: Ground,
}

/// A firing that this machine acts on: the firing is on the disk.
#[derive(Debug)]
pub(crate) struct Task {
    /// The firing.
    pub firing: Firing,
    /// What is to be said of it; the outcome and the latency are as if it were broken off now.
    pub acted: TriggerActed,
}

impl Task {
    /// What is said once it acted.
    fn ended(self, outcome: TriggerOutcome, detail: String, latency: Duration) -> TriggerActed {
        TriggerActed { outcome, detail, latency, ..self.acted }
    }
}

/// What was read from the disk.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The desk.
    pub desk: Desk,
    /// What began in an earlier life, and was not reported.
    pub begun: Vec<TriggerActed>,
}

impl Desk {
    /// Takes from the disk what an earlier life knew.
    pub(crate) fn open(
        state: &Path,
        policy: &Path,
        connection: Connection,
        inputs: mpsc::Sender<Input>,
    ) -> std::io::Result<Opened> {
        let (journal, triggers, begun) = TriggerJournal::open(state, connection.clock.now())?;
        let inner = Inner { triggers, journal, ground: Ground::default() };
        let (machine, policy) = (connection.machine.clone(), Arc::new(PolicyFile::new(policy)));
        let desk = Self { inner: Arc::new(Mutex::new(inner)), machine, policy, connection, inputs };
        Ok(Opened { desk, begun })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the desk panics")
    }

    /// Where this machine stands now.
    pub(crate) fn set_ground(&self, ground: Ground) {
        let mut inner = self.inner();
        if inner.ground != ground {
            inner.ground = ground;
        }
    }

    /// Takes the scheduler's whole list; returns when it is on the disk.
    pub(crate) fn set_arms(&self, arms: Vec<Arm>) -> std::io::Result<()> {
        let mut inner = self.inner();
        if inner.triggers.arms().eq(&arms) {
            return Ok(());
        }
        let mut triggers = inner.triggers.clone();
        triggers.set_arms(arms);
        inner.journal.write_arms(&triggers)?;
        inner.triggers = triggers;
        Ok(())
    }

    /// A process arms this machine; why not, where it may not.
    pub(crate) fn arm_own(&self, process: ProcessId, arm: Arm) -> Result<(), String> {
        if !self.read_policy().permits.permits(&arm.action) {
            return Err(format!("the machine's policy file does not permit `{}`", arm.action));
        }
        let mut inner = self.inner();
        let mut triggers = inner.triggers.clone();
        triggers.arm_own(process, arm)?;
        inner.journal.write_arms(&triggers).map_err(|error| format!("it can not be written to the disk: {error}"))?;
        inner.triggers = triggers;
        Ok(())
    }

    /// Arms of a process end with it.
    pub(crate) fn disarm_own(&self, process: ProcessId) {
        let mut inner = self.inner();
        let mut triggers = inner.triggers.clone();
        if !triggers.disarm_own(process) {
            return;
        }
        if let Err(error) = inner.journal.write_arms(&triggers) {
            tracing::error!(%error, "arms that ended can not be taken from the disk");
        }
        inner.triggers = triggers;
    }

    /// What a firing means here, once that is on the disk; none where nothing is to be done or said.
    fn hear(&self, firing: &Firing) -> Option<Result<Task, TriggerActed>> {
        let mut inner = self.inner();
        let now = self.connection.clock.now();
        let heard = inner.triggers.hear(firing, &inner.ground, now);
        let (arm, outcome, detail) = match heard {
            Heard::Unconcerned | Heard::Again => return None,
            Heard::Missed(arm, why) => (arm, TriggerOutcome::Missed, why),
            Heard::Forbidden(arm, why) => (arm, TriggerOutcome::Forbidden, why),
            Heard::Act(arm) => (arm, TriggerOutcome::BrokenOff, BROKEN_OFF.to_owned()),
        };
        let acted = self.acted(firing, &arm, outcome, detail, now);
        if let Err(error) = inner.journal.begin(&acted) {
            tracing::error!(%error, trigger = %firing.number, "a firing can not be written to the disk: nothing acts");
            return Some(Err(TriggerActed { outcome: TriggerOutcome::Failed, detail: NOT_WRITTEN.into(), ..acted }));
        }
        inner.triggers.note_heard(firing.id, firing.fired, now);
        if acted.disarms() {
            inner.triggers.note_used(acted.number, acted.arm);
        }
        let acts = outcome == TriggerOutcome::BrokenOff;
        Some(if acts { Ok(Task { firing: firing.clone(), acted }) } else { Err(acted) })
    }

    fn acted(
        &self,
        firing: &Firing,
        arm: &Arm,
        outcome: TriggerOutcome,
        detail: String,
        now: PoolTime,
    ) -> TriggerActed {
        TriggerActed {
            firing: firing.id,
            number: firing.number,
            machine: self.machine.clone(),
            epoch: arm.epoch,
            action: arm.action.clone(),
            outcome,
            detail,
            latency: now.since(firing.fired),
            fired: firing.fired,
            fired_by: firing.source.machine().cloned(),
            arm: arm.id,
        }
    }

    /// Hears a firing and does what it asks for; what came of it goes to the agent's loop, which does what only it can.
    async fn act(&self, firing: &Firing) {
        let task = match self.hear(firing) {
            None => return,
            Some(Err(acted)) => return self.say(Input::TriggerActed(Box::new(acted))).await,
            Some(Ok(task)) => task,
        };
        self.carry_out(task).await;
    }

    /// Does what a firing asks for, which is on the disk.
    async fn carry_out(&self, task: Task) {
        match &task.acted.action {
            TriggerAction::DumpHistory | TriggerAction::StopJob(_) => {
                note_acting(&task);
                self.say(Input::TriggerTask(Box::new(task))).await;
            }
            TriggerAction::Crash | TriggerAction::Sysrq(_) | TriggerAction::Command(_) | TriggerAction::Packet => {
                let policy = self.read_policy();
                if !policy.permits.permits(&task.acted.action) {
                    let (detail, latency) = ("the policy file does not permit it".into(), task.acted.latency);
                    let acted = task.ended(TriggerOutcome::Forbidden, detail, latency);
                    return self.say(Input::TriggerActed(Box::new(acted))).await;
                }
                let (desk, clock) = (self.clone(), self.connection.clock.clone());
                let latency = clock.now().since(task.firing.fired);
                // Nothing is done before this that can be done after it.
                let begun = actions::begin(&task, &policy);
                tokio::spawn(async move {
                    tokio::time::sleep(REPORT_PAUSE).await;
                    note_acting(&task);
                    let (outcome, detail) = begun.end().await;
                    desk.say(Input::TriggerActed(Box::new(task.ended(outcome, detail, latency)))).await;
                });
            }
        }
    }

    /// This machine crashes, for a process that asks for it. Nothing is armed, so nothing is looked up. `spooled` resolves when the
    /// firing is in the spool.
    pub(crate) fn crash(&self, firing: Firing, epoch: Epoch, spooled: tokio::sync::oneshot::Receiver<()>) {
        let desk = self.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(EDGE_TIMEOUT, spooled).await;
            let now = desk.connection.clock.now();
            let action = TriggerAction::Crash;
            let (from_machines, from_jobs) = (Vec::new(), Vec::new());
            let (number, reservation) = (firing.number, firing.reservation);
            let arm = Arm { id: None, number, epoch, reservation, from_machines, from_jobs, action };
            let acted = desk.acted(&firing, &arm, TriggerOutcome::BrokenOff, BROKEN_OFF.to_owned(), now);
            // Without the journal nobody would know afterwards why the machine ended, and it is to crash all the same.
            if let Err(error) = desk.inner().journal.begin(&acted) {
                tracing::error!(%error, "a crash can not be written to the disk");
            }
            desk.carry_out(Task { firing, acted }).await;
        });
    }

    /// It fails only when the agent ends.
    async fn say(&self, input: Input) {
        let _ = self.inputs.send(input).await;
    }

    /// A process of this machine fires: the others hear of it first, then this machine acts. `spooled` resolves when the firing
    /// is in the spool.
    pub(crate) fn fire(&self, firing: Firing, envelope: Envelope, spooled: tokio::sync::oneshot::Receiver<()>) {
        let desk = self.clone();
        tokio::spawn(async move {
            let edge = async {
                let bus = desk.connection.bus().await;
                bus.publish(&subjects::trigger_edge(firing.number, Some(&desk.machine)), &envelope).await?;
                bus.flush().await
            };
            match tokio::time::timeout(EDGE_TIMEOUT, edge).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "other machines do not hear of a firing"),
                Err(_) => tracing::warn!("other machines may not hear of a firing: the bus does not answer"),
            }
            let _ = tokio::time::timeout(EDGE_TIMEOUT, spooled).await;
            desk.act(&firing).await;
        });
    }

    /// What came of a firing is in the spool.
    pub(crate) fn reported(&self, firing: FiringId) {
        let mut inner = self.inner();
        let Inner { triggers, journal, .. } = &mut *inner;
        if let Err(error) = journal.reported(firing, triggers) {
            tracing::error!(%error, "the journal of triggers can not be written");
        }
    }

    /// What this machine permits now; a file that is wrong permits nothing.
    pub(crate) fn read_policy(&self) -> Arc<Policy> {
        self.policy.read().unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "the trigger policy permits nothing");
            Arc::default()
        })
    }

    /// Hears the edges of all machines, for as long as the agent lives.
    pub(crate) fn listen(&self, up: watch::Receiver<bool>) {
        let desk = self.clone();
        tokio::spawn(async move {
            let bus = desk.connection.bus().await;
            loop {
                match bus.subscribe(subjects::EVERY_TRIGGER, None).await {
                    Ok(mut edges) => {
                        while let Some(edge) = edges.next().await {
                            desk.hear_edge(edge.envelope, up.clone()).await;
                        }
                    }
                    Err(error) => tracing::warn!(%error, "triggers can not be heard: trying again"),
                }
                tokio::time::sleep(SUBSCRIBE_PAUSE).await;
            }
        });
    }

    /// Nothing acts before the services said in which epoch this machine is; a moment later is early enough.
    async fn hear_edge(&self, envelope: Result<Envelope, String>, mut up: watch::Receiver<bool>) {
        ::metrics::counter!(metrics::TRIGGERS_HEARD).increment(1);
        let firing = match envelope.map(|envelope| envelope.body) {
            Ok(Some(Body::EdgeFired(fired))) => Firing::try_from(fired).map_err(|error| error.to_string()),
            Ok(_) => Err("it is no firing of a trigger".to_owned()),
            Err(error) => Err(error),
        };
        match firing {
            Ok(firing) => {
                let greeted = async { up.wait_for(|up| *up).await.is_ok() };
                if tokio::time::timeout(FIRING_AGE_MAX, greeted).await != Ok(true) {
                    return tracing::warn!(trigger = %firing.number, "a firing is not heard: hello is not done");
                }
                self.act(&firing).await;
            }
            Err(error) => tracing::warn!(error, "a firing is not understood"),
        }
    }

    /// From a firing to now.
    pub(crate) fn latency(&self, firing: &Firing) -> Duration {
        self.connection.clock.now().since(firing.fired)
    }
}

fn note_acting(task: &Task) {
    ::metrics::counter!(metrics::TRIGGERS_ACTED).increment(1);
    let (number, id, action) = (task.firing.number, task.firing.id, &task.acted.action);
    tracing::warn!(trigger = %number, firing = %id, action = %action, "a trigger fired: acting");
}

/// The job of the process that fired; none for a person.
pub(crate) fn job_of(firing: &Firing) -> Option<(muster_model::RunId, muster_model::JobNumber)> {
    match &firing.source {
        FiringSource::Process { process, .. } => Some((process.run, process.dpid.job)),
        FiringSource::Person(_) => None,
    }
}

/// Said where nothing more is: a crash that works ends so.
const BROKEN_OFF: &str = "it began, and the agent or the machine ended before it said more";
/// Said where the disk does not take a firing.
const NOT_WRITTEN: &str = "the firing could not be written to the disk";
