//! Reads beside Muster, as they grow, what JOBS says of processes and pulses, and what TEL holds of samples.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use muster_bus::{Bus, BusOptions, streams};
use muster_model::{PoolTime, ProcessId, ProcessState, Pulse, PulseNumber};
use muster_proto::v1::{self, Envelope, JobEvent, SampleBatch, envelope::Body, job_event};
use prost::Message;

use super::expect::{History, Sample};

/// Samples of a process are kept so far apart, beside the last one.
pub(super) const SAMPLES_APART: Duration = Duration::from_secs(10);
/// The counter of a process that says how long pulses have blocked it.
const BLOCKED: &str = "blocked_seconds";

/// What was read.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) history: History,
    /// How often processes came into each state.
    pub(super) states: BTreeMap<&'static str, usize>,
    pub(super) samples: BTreeMap<ProcessId, Vec<Sample>>,
    /// Samples are taken now.
    sampling: bool,
    trouble: Option<String>,
}

/// The readers.
pub(super) struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    pub(super) fn begin(runtime: &tokio::runtime::Runtime, url: &str) -> anyhow::Result<Self> {
        let watch = Self(Arc::default());
        let bus = runtime.block_on(Bus::connect(&BusOptions::insecure_local(url, "soak")))?;
        watch.read(runtime, &bus, streams::JOBS, Seen::take_turn);
        watch.read(runtime, &bus, streams::TEL, Seen::take_batch);
        Ok(watch)
    }

    fn read(
        &self,
        runtime: &tokio::runtime::Runtime,
        bus: &Bus,
        stream: &str,
        take: fn(&mut Seen, Body) -> anyhow::Result<()>,
    ) {
        let (shared, mut reader) = (Arc::clone(&self.0), bus.read(stream, "", 1));
        runtime.spawn(async move {
            loop {
                let payload: Bytes = reader.next().await.payload;
                let body = Envelope::decode(payload).context("decode an envelope").map(|envelope| envelope.body);
                let mut seen = lock(&shared);
                let taken = body.and_then(|body| body.map_or(Ok(()), |body| take(&mut seen, body)));
                if let Err(error) = taken {
                    seen.trouble = Some(format!("{error:#}"));
                    return;
                }
            }
        });
    }

    /// From here on samples are taken, or are not any more.
    pub(super) fn sample(&self, sampling: bool) {
        lock(&self.0).sampling = sampling;
    }

    /// How often processes came into a state.
    pub(super) fn count(&self, state: ProcessState) -> usize {
        lock(&self.0).states.get(state.as_str()).copied().unwrap_or(0)
    }

    /// What was read so far.
    pub(super) fn seen(&self) -> anyhow::Result<Seen> {
        let seen = lock(&self.0).clone();
        match &seen.trouble {
            Some(trouble) => anyhow::bail!("JOBS or TEL could not be read: {trouble}"),
            None => Ok(seen),
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("nobody panics with it")
}

impl Seen {
    fn take_turn(&mut self, body: Body) -> anyhow::Result<()> {
        let Body::Turn(turn) = body else { return Ok(()) };
        for entry in muster_ledger::open_block(&turn).map_err(anyhow::Error::msg)?.entries {
            for event in &entry.events {
                self.take_event(PoolTime(entry.time_ns), JobEvent::decode(&event[..])?)?;
            }
        }
        Ok(())
    }

    fn take_event(&mut self, time: PoolTime, event: JobEvent) -> anyhow::Result<()> {
        match event.kind {
            Some(job_event::Kind::PulseSet(v1::PulseSet { pulse: Some(pulse) })) => {
                let [block, free, phase] = [pulse.block_ns, pulse.free_ns, pulse.phase_ns].map(Duration::from_nanos);
                self.history.define(time, PulseNumber::try_from(pulse.number)?, Pulse::new(block, free, phase)?);
            }
            Some(job_event::Kind::ProcessesChanged(changed)) => {
                for change in &changed.changes {
                    let state = ProcessState::try_from(change.to()).context("read a state")?;
                    *self.states.entry(state.as_str()).or_default() += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_batch(&mut self, body: Body) -> anyhow::Result<()> {
        let Body::SampleBatch(SampleBatch { layouts, rows, .. }) = body else { return Ok(()) };
        if !self.sampling {
            return Ok(());
        }
        for row in &rows {
            let layout = layouts.get(usize::try_from(row.layout)?).context("find the layout of a row")?;
            let place = layout.metrics.iter().position(|metric| metric.name == BLOCKED);
            let value = place.and_then(|place| row.values.get(place)).copied().filter(|value| !value.is_nan());
            if let (Some(id), Some(blocked_seconds)) = (layout.id, value) {
                let samples = self.samples.entry(id.into()).or_default();
                keep(samples, Sample { time: PoolTime(row.time_ns), blocked_seconds });
            }
        }
        Ok(())
    }
}

/// Keeps a sample, in the place of the last one where that is too near to the one before it.
fn keep(samples: &mut Vec<Sample>, sample: Sample) {
    if let [.., before, last] = samples.as_mut_slice()
        && last.time.since(before.time) < SAMPLES_APART
    {
        *last = sample;
    } else {
        samples.push(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_kept_ten_seconds_apart_and_the_last_one() {
        let mut samples = Vec::new();
        for second in 0..=34 {
            let time = PoolTime(second * 1_000_000_000);
            keep(&mut samples, Sample { time, blocked_seconds: 0.0 });
        }
        let seconds: Vec<i64> = samples.iter().map(|sample| sample.time.0 / 1_000_000_000).collect();
        assert_eq!(seconds, [0, 10, 20, 30, 34]);
    }
}
