//! An agent that runs nothing and says everything: what the scheduler must cope with, on a real bus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus};
use muster_model::{Incarnation, MachineId, ProcessId};
use muster_proto::process_digest;
use muster_proto::v1::{self, ProcessState, agent_command, envelope::Body, hello_answer};
use muster_testkit::{answered, until};
use prost::Message;

use crate::LIMIT;
use crate::pool::Pool;

const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Known {
    generation: v1::Position,
    processes: BTreeMap<ProcessId, ProcessState>,
    started: usize,
    batch: u64,
    clocked: bool,
    /// What its clock is ahead of the wall's, nanoseconds; none for one that never heard the pool's time.
    ahead_ns: Option<i64>,
}

#[derive(Clone)]
pub(crate) struct Agent {
    bus: Bus,
    machine: MachineId,
    known: Arc<Mutex<Known>>,
}

impl Agent {
    /// Says hello, then beats and takes orders until the test ends.
    pub(crate) async fn start(pool: &Pool, machine: &str) -> anyhow::Result<Self> {
        let bus = pool.system.connect(&format!("agent/{machine}")).await?;
        let agent = Self { bus, machine: MachineId::new(machine)?, known: Arc::default() };
        agent.hello().await?;
        let mut commands = agent.bus.subscribe(&subjects::commands_of(&agent.machine), None).await?;
        let inbox = agent.bus.new_inbox();
        let mut answers = agent.bus.subscribe(&inbox, None).await?;
        let taking = agent.clone();
        tokio::spawn(async move {
            while let Some(command) = commands.next().await {
                let reply = taking.take(command.envelope.unwrap()).await;
                let envelope = taking.bus.envelope(Body::AgentReply(reply), taking.authority());
                taking.bus.publish(&command.reply.unwrap(), &envelope).await.unwrap();
            }
        });
        let hearing = agent.clone();
        tokio::spawn(async move {
            while let Some(answer) = answers.next().await {
                let Some(Body::HeartbeatAnswer(answer)) = answer.envelope.unwrap().body else { continue };
                hearing.known.lock().unwrap().clocked |= answer.pool_time_ns > 0 && !answer.hello_again;
            }
        });
        let beating = agent.clone();
        tokio::spawn(async move {
            let mut beats = tokio::time::interval(HEARTBEAT_INTERVAL);
            loop {
                beats.tick().await;
                beating.beat(&inbox).await;
            }
        });
        Ok(agent)
    }

    fn authority(&self) -> Authority {
        Authority { incarnation: Incarnation(1), ..Authority::default() }
    }

    /// From now on its clock is so far ahead of the wall's.
    pub(crate) fn set_clock(&self, ahead_ns: i64) {
        self.known.lock().unwrap().ahead_ns = Some(ahead_ns);
    }

    pub(crate) fn started(&self) -> usize {
        self.known.lock().unwrap().started
    }

    /// Says hello with all it knows, and takes the answer.
    pub(crate) async fn hello(&self) -> anyhow::Result<()> {
        let last_batch = self.known.lock().unwrap().batch;
        let machine = self.machine.to_string();
        let hello = v1::Hello { machine, processes: self.list(), last_batch, ..Default::default() };
        let envelope = self.bus.envelope(Body::Hello(hello), self.authority());
        let subject = subjects::hello(&self.machine, Service::Scheduler);
        match answered(&self.bus, &subject, &envelope, LIMIT).await? {
            Body::HelloAnswer(v1::HelloAnswer { kind: Some(hello_answer::Kind::Job(desired)) }) => {
                self.obey(desired.jobs, desired.forget, desired.generation.unwrap_or_default()).await;
                Ok(())
            }
            other => anyhow::bail!("{other:?}"),
        }
    }

    fn list(&self) -> Vec<v1::KnownProcess> {
        let known = self.known.lock().unwrap();
        let process = |(id, state): (&ProcessId, &ProcessState)| v1::KnownProcess {
            id: Some((*id).into()),
            state: (*state).into(),
            ..Default::default()
        };
        known.processes.iter().map(process).collect()
    }

    async fn take(&self, envelope: v1::Envelope) -> v1::AgentReply {
        assert!(envelope.term > 0 && envelope.incarnation == 1, "a leader speaks to this life");
        let Some(Body::AgentCommand(v1::AgentCommand { kind: Some(kind) })) = envelope.body else {
            panic!("no command")
        };
        let mut reply = v1::AgentReply::default();
        match kind {
            agent_command::Kind::UpdateJobs(update) => {
                let builds_on = update.builds_on.unwrap_or_default();
                if builds_on == self.known.lock().unwrap().generation {
                    self.obey(update.jobs, update.forget, update.generation.unwrap_or_default()).await;
                } else {
                    reply.refusal = v1::AgentRefusal::OtherGeneration.into();
                }
            }
            agent_command::Kind::ListKnown(_) => reply.processes = self.list(),
            other => panic!("{other:?}"),
        }
        reply.generation = Some(self.known.lock().unwrap().generation);
        reply
    }

    /// Starts what is new, ends what is to stop, forgets, and reports.
    async fn obey(&self, jobs: Vec<v1::JobOrders>, forget: Vec<v1::ProcessId>, generation: v1::Position) {
        let mut reports = Vec::new();
        {
            let mut known = self.known.lock().unwrap();
            known.generation = generation;
            for id in forget {
                known.processes.remove(&id.into());
            }
            for orders in jobs {
                let spec = orders.spec.unwrap();
                for order in orders.processes {
                    let dpid = Some(v1::Dpid { job: spec.job, process: order.process });
                    let wire = v1::ProcessId { run: spec.run, dpid, attempt: order.attempt };
                    let id = ProcessId::from(wire);
                    let state = match (known.processes.get(&id), order.stop) {
                        (None, false) => ProcessState::Running,
                        (Some(ProcessState::Running), true) => ProcessState::Finished,
                        _ => continue,
                    };
                    known.started += usize::from(state == ProcessState::Running);
                    known.processes.insert(id, state);
                    reports.push(report(wire, orders.epoch, state));
                }
            }
        }
        self.report(reports).await;
    }

    async fn report(&self, reports: Vec<v1::Report>) {
        if reports.is_empty() {
            return;
        }
        let batch = {
            let mut known = self.known.lock().unwrap();
            known.batch += 1;
            known.batch
        };
        let body = Body::ReportBatch(v1::ReportBatch { machine: self.machine.to_string(), batch, reports });
        let payload = self.bus.envelope(body, self.authority()).encode_to_vec();
        self.bus
            .store(&subjects::reports(&self.machine), &format!("{}-{batch}", self.machine), payload.into())
            .await
            .unwrap();
    }

    async fn beat(&self, inbox: &str) {
        let (heartbeat, pings) = {
            let known = self.known.lock().unwrap();
            let live: Vec<ProcessId> = known
                .processes
                .iter()
                .filter(|(_, state)| **state == ProcessState::Running)
                .map(|(id, _)| *id)
                .collect();
            let heartbeat = v1::Heartbeat {
                machine: self.machine.to_string(),
                job_generation: Some(known.generation),
                processes_digest: live.iter().fold(0, |digest, id| digest ^ process_digest(id)),
                processes_live: live.len() as u32,
                pool_time_ns: known.ahead_ns.map_or(0, |ahead| self.bus.now().0 + ahead),
                ..Default::default()
            };
            let ping = |id: &ProcessId| v1::PingResult { id: Some((*id).into()), iterations: 42, ..Default::default() };
            (heartbeat, v1::PingBatch { machine: self.machine.to_string(), results: live.iter().map(ping).collect() })
        };
        let envelope = self.bus.envelope(Body::Heartbeat(heartbeat), self.authority());
        self.bus.publish_with_reply(&subjects::heartbeat(&self.machine), inbox, &envelope).await.unwrap();
        let envelope = self.bus.envelope(Body::PingBatch(pings), self.authority());
        self.bus.publish(&subjects::ping(&self.machine), &envelope).await.unwrap();
    }

    /// Waits until everything that ended was forgotten.
    pub(crate) async fn until_forgotten(&self) -> anyhow::Result<()> {
        self.until("everything is forgotten", |known| known.processes.is_empty()).await
    }

    /// Waits until a heartbeat was answered with the pool time.
    pub(crate) async fn until_clocked(&self) -> anyhow::Result<()> {
        self.until("a heartbeat is answered", |known| known.clocked).await
    }

    async fn until(&self, what: &str, condition: impl Fn(&Known) -> bool) -> anyhow::Result<()> {
        until(what, LIMIT, async || Ok(self.known.lock().unwrap()), |known| condition(known)).await.map(drop)
    }
}

fn report(id: v1::ProcessId, epoch: u64, state: ProcessState) -> v1::Report {
    let verdict = if state == ProcessState::Finished { v1::Verdict::Pass } else { v1::Verdict::Unspecified };
    let process = v1::ProcessReport {
        id: Some(id),
        epoch,
        state: state.into(),
        verdict: verdict.into(),
        pid: 7,
        ..Default::default()
    };
    v1::Report { time_ns: 1, kind: Some(v1::report::Kind::Process(process)) }
}
