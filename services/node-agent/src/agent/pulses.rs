//! Pulses on this machine: the page that processes look at, which process has which, and gates of modules that do not map the page.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use muster_bus::Clock;
use muster_model::{ProcessId, Pulse, PulseNumber};
use muster_module_protocol::AgentMessage;
use muster_proto::v1;
use muster_pulse_page::{PulsePage, PulseWriter, monotonic};
use tokio::task::AbortHandle;

use super::{Agent, Input};
use crate::private;
use crate::workplace::page_of;

/// Processes of all users read it.
const PAGE_MODE: u32 = 0o644;

/// A process waits to be told that it is free.
#[derive(Debug)]
struct Gate {
    n: u64,
    /// Looks again at the next edge that matters.
    timer: Option<AbortHandle>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.timer.take().inspect(AbortHandle::abort);
    }
}

/// The page, and who waits for an edge by asking.
#[derive(Debug)]
pub(super) struct Pulses {
    writer: PulseWriter,
    page: PulsePage,
    /// Newest gate of each process that waits.
    gates: BTreeMap<ProcessId, Gate>,
}

impl Pulses {
    /// Opens the page. The one of an earlier boot says nothing: its times are of another clock, and nobody has it mapped.
    pub(super) fn open(state: &Path, same_boot: bool, clock: &Clock) -> anyhow::Result<Self> {
        let path = page_of(state);
        if !same_boot && path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        let writer = PulseWriter::open(&path, || offset(clock)).with_context(|| format!("make {}", path.display()))?;
        private::open_to_tests(&path, PAGE_MODE).with_context(|| format!("let processes to {}", path.display()))?;
        let page = PulsePage::open(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(Self { writer, page, gates: BTreeMap::new() })
    }

    /// Takes the pool time. Before it was heard by this life of the agent, what the last one wrote is better.
    pub(super) fn follow(&mut self, clock: &Clock) {
        if clock.is_set() {
            self.writer.set_offset(offset(clock));
        }
    }

    /// A process is not connected any more: it asks again when it is.
    pub(super) fn forget(&mut self, id: ProcessId) {
        self.gates.remove(&id);
    }
}

fn offset(clock: &Clock) -> i64 {
    let before = monotonic();
    let now = clock.now().0;
    now - before - (monotonic() - before) / 2
}

/// Numbers of pulses; what is none is left out.
pub(super) fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().filter_map(|number| u8::try_from(*number).ok()).collect()
}

fn definition(pulse: &v1::Pulse) -> Option<(PulseNumber, Pulse)> {
    let [block, free, phase] = [pulse.block_ns, pulse.free_ns, pulse.phase_ns].map(std::time::Duration::from_nanos);
    Some((PulseNumber::try_from(pulse.number).ok()?, Pulse::new(block, free, phase).ok()?))
}

impl Agent {
    /// The whole list of pulses that jobs on this machine have.
    pub(super) fn take_pulses(&mut self, pulses: &[v1::Pulse]) {
        let list: Vec<(PulseNumber, Pulse)> = pulses.iter().filter_map(definition).collect();
        if list.len() < pulses.len() {
            tracing::warn!(
                count = pulses.len() - list.len(),
                "pulses that this agent does not understand are free here"
            );
        }
        self.pulses.follow(&self.connection.clock);
        if self.pulses.writer.set(&list) {
            self.open_all_free();
        }
    }

    /// Its pulses block a process now.
    pub(super) fn is_blocked(&self, id: ProcessId) -> bool {
        let Some(process) = self.processes.get(&id).filter(|process| !process.intent.pulses.is_empty()) else {
            return false;
        };
        let numbers: Vec<PulseNumber> = process.intent.pulses.iter().copied().map(PulseNumber).collect();
        let seen = self.pulses.page.look(&numbers);
        seen.blocks(seen.now())
    }

    /// A process asks to be told when its pulses are free. A newer gate takes the place of an older one.
    pub(super) fn gate(&mut self, id: ProcessId, n: u64) {
        if self.processes.contains_key(&id) {
            self.pulses.gates.insert(id, Gate { n, timer: None });
            self.open_if_free(id);
        }
    }

    /// Opens the gate of a process, or looks again at the next time at which it may be free.
    pub(super) fn open_if_free(&mut self, id: ProcessId) {
        let Some(n) = self.pulses.gates.get(&id).map(|gate| gate.n) else { return };
        let Some(process) = self.processes.get(&id).filter(|process| process.life.is_live()) else {
            return self.pulses.forget(id);
        };
        let numbers: Vec<PulseNumber> = process.intent.pulses.iter().copied().map(PulseNumber).collect();
        let seen = self.pulses.page.look(&numbers);
        let now = seen.now();
        let free = seen.free_from(now);
        if free == now {
            self.pulses.forget(id);
            return self.send(id, &AgentMessage::Open { n });
        }
        let (inputs, rest) = (self.inputs.clone(), free.since(now));
        let timer = tokio::spawn(async move {
            tokio::time::sleep(rest).await;
            // It fails only when the agent ends.
            let _ = inputs.send(Input::Edge(id)).await;
        });
        self.pulses.gates.insert(id, Gate { n, timer: Some(timer.abort_handle()) });
    }

    fn open_all_free(&mut self) {
        let waiting: Vec<ProcessId> = self.pulses.gates.keys().copied().collect();
        waiting.into_iter().for_each(|id| self.open_if_free(id));
    }
}
