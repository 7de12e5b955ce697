//! What a simulated machine says and hears on the bus.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use muster_bus::subjects::{self, Service};
use muster_bus::{Authority, Bus, Inbound, signer_of};
use muster_model::{Epoch, Incarnation, PoolTime};
use muster_proto::v1::{
    AgentCommand, AgentRefusal, AgentReply, Envelope, Heartbeat, HelloAnswer, LogPart, Report, ReportBatch,
    agent_command, envelope::Body, hello_answer, report,
};
use muster_signing::{Guard, Occasion, Signer};
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::machine::{Machine, Said};
use crate::plug::Plug;

/// How often the machine is told the time.
const TICK_EVERY: Duration = Duration::from_millis(250);
/// Heartbeats and pings are said every so many ticks: once a second.
const HEARTBEAT_EVERY: u32 = 4;
/// Every so many heartbeats an answer is asked for.
const ANSWERED_EVERY: u64 = 5;
/// How long an answer to a hello is waited for.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Reports in one batch.
const BATCH_MAX: usize = 500;

/// When a machine counts from, and when its first heartbeat comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The start of the program.
    pub(crate) begun: Instant,
    /// The first heartbeat comes so much later.
    pub(crate) offset: Duration,
}

/// Runs one machine, and what is done to it from outside, until `stop`.
pub(crate) async fn run(
    bus: Bus,
    (machine, plug, guard): (Machine, Option<Plug>, Guard),
    times: Times,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut commands = bus.subscribe(&subjects::commands_of(&machine.id), None).await?;
    let inbox = bus.new_inbox();
    let mut answers = bus.subscribe(&inbox, None).await?;
    let mut voice = Voice {
        bus,
        machine,
        plug,
        guard,
        inbox,
        batch: 0,
        stored: 0,
        ticks: 0,
        waiting: VecDeque::new(),
        outstanding: None,
        asked: None,
    };
    tokio::time::sleep(times.offset).await;
    let mut ticks = tokio::time::interval(TICK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut greeted = None;
    loop {
        let connection = voice.bus.connections();
        if greeted != Some(connection) && !voice.machine.is_silent() {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = voice.greet() => greeted = Some(connection),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = ticks.tick() => {
                if voice.pass(times.begun.elapsed()).await {
                    greeted = None;
                }
            }
            Some(command) = commands.next() => {
                if !voice.machine.is_silent() && voice.command(command).await {
                    greeted = None;
                }
            }
            Some(answer) = answers.next() => {
                if !voice.machine.is_silent() && voice.answered(answer) {
                    greeted = None;
                }
            }
        }
    }
}

struct Voice {
    bus: Bus,
    machine: Machine,
    plug: Option<Plug>,
    /// What no service has signed for this machine counts for nothing.
    guard: Guard,
    /// Id of the newest heartbeat that asked for answers.
    asked: Option<Bytes>,
    inbox: String,
    batch: u64,
    /// The newest batch that is stored, or that a fault of the script lost.
    stored: u64,
    ticks: u32,
    /// Reports that are in no batch yet, in order.
    waiting: VecDeque<Report>,
    /// The batch that is not acknowledged yet: the same bytes are said until it is.
    outstanding: Option<Outstanding>,
}

struct Outstanding {
    message_id: String,
    payload: Bytes,
}

impl Voice {
    fn envelope(&self, body: Body) -> Envelope {
        let epoch = Epoch(self.machine.epoch);
        let authority = Authority { epoch, incarnation: Incarnation(self.machine.incarnation), ..Authority::default() };
        self.bus.envelope(body, authority)
    }

    /// Says hello to both services, until both have answered.
    async fn greet(&mut self) {
        for service in [Service::MachineLifecycle, Service::Scheduler] {
            while !self.greet_once(service).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn greet_once(&mut self, service: Service) -> bool {
        // Without an answer of the scheduler there is no pool time yet.
        let pool_time_ns = self.bus.clock().error().map_or(0, |_| self.bus.now().0);
        let hello = self.envelope(Body::Hello(self.machine.hello(pool_time_ns, self.batch)));
        let subject = subjects::hello(&self.machine.id, service);
        let Ok(answer) = self.bus.request_whole(&subject, &hello, HELLO_TIMEOUT).await else { return false };
        let signer = signer_of(service).expect("agents say hello to services that command them");
        let occasion = Occasion::Answer(&hello.id);
        if self.guard.admit(signer, occasion, &answer.envelope, &answer.payload).is_err() {
            return false;
        }
        let Some(Body::HelloAnswer(HelloAnswer { kind: Some(kind) })) = answer.envelope.body else { return false };
        let said = match kind {
            hello_answer::Kind::Machine(desired) => self.machine.take_machine(&desired),
            hello_answer::Kind::Job(desired) => self.machine.take_list(&desired),
        };
        self.say(said).await;
        true
    }

    /// Time passes. True when hello is to be said again.
    async fn pass(&mut self, now: Duration) -> bool {
        let mut said = self.machine.pass(now);
        if let Some(plug) = &mut self.plug {
            for touch in plug.look() {
                let (more, ended) = self.machine.touch(touch);
                said.reports.extend(more.reports);
                if ended > 0
                    && let Err(error) = plug.tell_harm(touch, ended)
                {
                    tracing::warn!(%error, machine_id = %self.machine.id, "harm was not written down");
                }
            }
        }
        let again = said.hello_again;
        self.say(said).await;
        self.ticks = self.ticks.wrapping_add(1);
        if !again && !self.machine.is_silent() && self.ticks.is_multiple_of(HEARTBEAT_EVERY) {
            self.beat().await;
        }
        again
    }

    async fn beat(&mut self) {
        self.flush().await;
        if !self.bus.is_connected() {
            return;
        }
        if let Some(pings) = self.machine.pings() {
            let envelope = self.envelope(Body::PingBatch(pings));
            if let Err(error) = self.bus.publish(&subjects::ping(&self.machine.id), &envelope).await {
                tracing::debug!(%error, "pings were not said");
            }
        }
        let messages_refused = self.guard.refused().values().sum();
        let heartbeat = Heartbeat { reports_acknowledged: self.stored, messages_refused, ..self.machine.heartbeat() };
        let wants_answer = heartbeat.number.is_multiple_of(ANSWERED_EVERY);
        let envelope = self.envelope(Body::Heartbeat(heartbeat));
        let subject = subjects::heartbeat(&self.machine.id);
        if wants_answer {
            self.asked = Some(envelope.id.clone());
        }
        let said = if wants_answer {
            self.bus.publish_with_reply(&subject, &self.inbox, &envelope).await
        } else {
            self.bus.publish(&subject, &envelope).await
        };
        if let Err(error) = said {
            tracing::debug!(%error, "a heartbeat was not said");
        }
    }

    /// Takes a command and answers it. True when hello is to be said again.
    async fn command(&mut self, inbound: Inbound) -> bool {
        if let Err(refused) = self.guard.admit_command(&inbound.envelope, &inbound.payload) {
            let refusal = AgentRefusal::NotSigned.into();
            let reply = AgentReply { refusal, detail: refused.why().into(), ..AgentReply::default() };
            if let Some(reply_to) = inbound.reply {
                self.reply(reply_to, reply).await;
            }
            return false;
        }
        let Ok(envelope) = inbound.envelope else { return false };
        let (mut said, mut reply) = (Said::default(), AgentReply::default());
        match &envelope.body {
            Some(Body::AgentCommand(AgentCommand { kind: Some(agent_command::Kind::UpdateJobs(update)) })) => {
                match self.machine.denied("scheduler", &envelope) {
                    Some(denied) => reply = denied,
                    None => (said, reply) = self.machine.take_update(update),
                }
                reply.generation = Some(self.machine.generations().1.into());
            }
            Some(Body::AgentCommand(AgentCommand { kind: Some(agent_command::Kind::Machine(desired)) })) => {
                match self.machine.denied("machine-lifecycle", &envelope) {
                    Some(denied) => reply = denied,
                    None => said = self.machine.take_machine(desired),
                }
                reply.generation = Some(self.machine.generations().0.into());
            }
            Some(Body::AgentCommand(AgentCommand { kind: Some(agent_command::Kind::Install(order)) })) => {
                let denied = self.machine.denied("machine-lifecycle", &envelope);
                reply = denied.unwrap_or_else(|| self.machine.install(order));
            }
            Some(Body::AgentCommand(AgentCommand { kind: Some(agent_command::Kind::Reboot(order)) })) => {
                match self.machine.denied("machine-lifecycle", &envelope) {
                    Some(denied) => reply = denied,
                    None => (said, reply) = self.machine.reboot(order),
                }
            }
            Some(Body::AgentCommand(AgentCommand { kind: Some(agent_command::Kind::Prepare(order)) })) => {
                match self.machine.denied("machine-lifecycle", &envelope) {
                    Some(denied) => reply = denied,
                    None => (said, reply) = self.machine.prepare(order),
                }
            }
            Some(Body::AgentCommand(AgentCommand { kind: Some(agent_command::Kind::ListKnown(_)) })) => {
                reply.processes = self.machine.known();
                reply.last_batch = self.batch;
                reply.generation = Some(self.machine.generations().1.into());
            }
            Some(Body::AgentCommand(AgentCommand { kind: Some(agent_command::Kind::ReadLog(_)) })) => {
                reply.log = Some(LogPart { complete: true, ..LogPart::default() });
            }
            _ => reply.refusal = AgentRefusal::Invalid.into(),
        }
        if let Some(reply_to) = inbound.reply {
            self.reply(reply_to, reply).await;
        }
        let again = said.hello_again;
        self.say(said).await;
        again
    }

    /// Answers a command, late where the script says so: everything else goes on.
    async fn reply(&self, to: String, reply: AgentReply) {
        let (bus, answer, delay) =
            (self.bus.clone(), self.envelope(Body::AgentReply(reply)), self.machine.answers_after());
        let answering = async move {
            tokio::time::sleep(delay).await;
            if let Err(error) = bus.publish(&to, &answer).await {
                tracing::debug!(%error, "an answer was not said");
            }
        };
        if delay.is_zero() {
            answering.await;
        } else {
            tokio::spawn(answering);
        }
    }

    /// Takes the answer to a heartbeat. True when hello is to be said again.
    fn answered(&mut self, inbound: Inbound) -> bool {
        let Ok(envelope) = inbound.envelope else { return false };
        let service = envelope.source.split('/').next().unwrap_or_default();
        let (Some(signer), Some(asked)) = (Signer::parse(service), &self.asked) else { return false };
        if self.guard.admit(signer, Occasion::Answer(asked), &envelope, &inbound.payload).is_err() {
            return false;
        }
        let Some(Body::HeartbeatAnswer(answer)) = envelope.body else { return false };
        if signer == Signer::Scheduler {
            self.bus.clock().observe(PoolTime(answer.pool_time_ns), Duration::ZERO);
        }
        answer.hello_again
    }

    /// Puts reports into the stream, in order, each batch under its number.
    async fn say(&mut self, said: Said) {
        let time_ns = self.bus.now().0;
        for kind in said.reports {
            let last = self.machine.final_of(&kind);
            let report = |kind: report::Kind| Report { time_ns, kind: Some(kind) };
            self.waiting.push_back(report(kind));
            self.waiting.extend(last.map(report));
        }
        self.flush().await;
    }

    async fn flush(&mut self) {
        if self.machine.is_silent() {
            return;
        }
        let subject = subjects::reports(&self.machine.id);
        while let Some(outstanding) = self.next_batch() {
            if self.machine.loses_a_batch() {
                continue;
            }
            if let Err(error) = self.bus.store(&subject, &outstanding.message_id, outstanding.payload.clone()).await {
                tracing::debug!(%error, "reports were not stored, and are tried again");
                self.outstanding = Some(outstanding);
                return;
            }
        }
        self.stored = self.batch;
    }

    fn next_batch(&mut self) -> Option<Outstanding> {
        if let Some(outstanding) = self.outstanding.take() {
            return Some(outstanding);
        }
        if self.waiting.is_empty() {
            return None;
        }
        self.batch += 1;
        let count = self.waiting.len().min(BATCH_MAX);
        let reports = self.waiting.drain(..count).collect();
        let batch = ReportBatch { machine: self.machine.id.to_string(), batch: self.batch, reports };
        let message_id = format!("{}-{}-{}", self.machine.id, self.machine.incarnation, self.batch);
        let payload = self.envelope(Body::ReportBatch(batch)).encode_to_vec().into();
        Some(Outstanding { message_id, payload })
    }
}
