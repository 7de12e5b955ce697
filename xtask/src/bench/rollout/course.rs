//! The course of a rollout, as the three decision logs tell it while they grow.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use muster_bus::{Bus, BusOptions, StreamReader, streams};
use muster_model::PoolTime;
use muster_proto::v1::{
    BootVerdict, Envelope, JobEvent, MachineEvent, ProcessState, ReservationEvent, envelope::Body, job_event,
    machine_event, reservation_event,
};
use prost::Message;

/// What was read so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Course {
    granted: Option<PoolTime>,
    ready: Option<PoolTime>,
    started: Option<PoolTime>,
    /// The newest proof before it was ready.
    proven: Option<PoolTime>,
    proofs: u64,
    running: u64,
    /// The newest first pong.
    ran: Option<PoolTime>,
    /// Facts of all logs between the grant and ready.
    pub(super) facts: u64,
    trouble: Option<String>,
}

impl Course {
    /// As many processes run as there are machines, or reading failed.
    pub(super) fn is_over(&self, machines: u64) -> bool {
        self.trouble.is_some() || self.running >= machines
    }

    /// For who waits.
    pub(super) fn line(&self) -> String {
        let trouble = self.trouble.as_deref().unwrap_or_default();
        format!("{} machines proven, {} processes running {trouble}", self.proofs, self.running)
    }

    /// From the grant to ready.
    pub(super) fn preparation(&self) -> Option<Duration> {
        Some(self.ready?.since(self.granted?))
    }

    /// From the last proof to the start of the job.
    pub(super) fn handover(&self) -> Option<Duration> {
        Some(self.started?.since(self.proven?))
    }

    /// From the start of the job to its last process that runs.
    pub(super) fn spreading(&self) -> Option<Duration> {
        Some(self.ran?.since(self.started?))
    }

    fn take(&mut self, log: &str, payload: Bytes) -> anyhow::Result<()> {
        let Some(Body::Turn(turn)) = Envelope::decode(payload)?.body else { return Ok(()) };
        let block = muster_ledger::open_block(&turn).map_err(anyhow::Error::msg)?;
        for entry in &block.entries {
            for event in &entry.events {
                self.take_event(log, event, PoolTime(entry.time_ns))?;
            }
        }
        Ok(())
    }

    fn take_event(&mut self, log: &str, event: &[u8], at: PoolTime) -> anyhow::Result<()> {
        self.facts += u64::from(self.granted.is_some() && self.ready.is_none());
        match log {
            streams::RESERVATIONS => match ReservationEvent::decode(event)?.kind {
                Some(reservation_event::Kind::Granted(_)) => self.granted = self.granted.or(Some(at)),
                Some(reservation_event::Kind::Ready(_)) => self.ready = Some(at),
                _ => {}
            },
            streams::MACHINES => {
                if let Some(machine_event::Kind::BootJudged(judged)) = MachineEvent::decode(event)?.kind
                    && judged.verdict() == BootVerdict::Verified
                {
                    self.proofs += 1;
                    self.proven = self.proven.max(Some(at));
                }
            }
            _ => match JobEvent::decode(event)?.kind {
                Some(job_event::Kind::JobStarted(_)) => self.started = Some(at),
                Some(job_event::Kind::ProcessesChanged(changed)) => {
                    let run = changed.changes.iter().filter(|change| change.to() == ProcessState::Running).count();
                    self.running += run as u64;
                    self.ran = if run > 0 { self.ran.max(Some(at)) } else { self.ran };
                }
                _ => {}
            },
        }
        Ok(())
    }
}

/// Reads the logs from now on.
pub(super) struct Reader(Arc<Mutex<Course>>);

impl Reader {
    /// Begins to read, in tasks of the runtime.
    pub(super) fn begin(runtime: &tokio::runtime::Runtime, url: &str) -> anyhow::Result<Self> {
        let course = Arc::new(Mutex::new(Course::default()));
        for log in [streams::RESERVATIONS, streams::MACHINES, streams::JOBS] {
            let bus = runtime.block_on(Bus::connect(&BusOptions::insecure_local(url, "bench")))?;
            let state = runtime.block_on(bus.stream_state(log))?;
            ensure!(state.is_some(), "there is no log {log}");
            let reader = bus.read(log, "", state.map_or(1, |state| state.last + 1));
            runtime.spawn(follow(log, reader, Arc::clone(&course)));
        }
        Ok(Self(course))
    }

    /// What was read so far.
    pub(super) fn look(&self) -> Course {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

async fn follow(log: &'static str, mut reader: StreamReader, course: Arc<Mutex<Course>>) {
    loop {
        let message = reader.next().await;
        let mut course = course.lock().expect("nobody panics with it");
        if let Err(error) = course.take(log, message.payload) {
            course.trouble = Some(format!("{log}: {error:#}"));
            return;
        }
    }
}
