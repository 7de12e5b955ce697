//! What happens because time passes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_bus::subjects;
use muster_model::{Position, ProcessId, milliseconds};
use muster_proto::v1::{PingBatch, PingResult, envelope::Body};

use super::Agent;
use crate::core::authority::Owner;
use crate::core::life::{Event, Life, Stage};
use crate::link::HelloTo;
use crate::samples::{Kinds, Subject};
use crate::{beneath, probe, workplace};

/// Results of pings are said this often, and sizes of logs looked at.
const PINGS_INTERVAL: Duration = Duration::from_secs(1);
/// A log that is so many times its limit ends its process at once.
const LOG_PATIENCE: u64 = 4;
/// The machine is measured this often.
const MEASURE_INTERVAL: Duration = Duration::from_secs(10);
/// The machine is probed this often.
const PROBE_INTERVAL: Duration = Duration::from_secs(60);

impl Agent {
    pub(super) fn tick(&mut self) {
        let live = self.live();
        for id in &live {
            self.happen(*id, Event::Tick);
        }
        self.changed = true;
        self.sockets.tick();
        self.pulses.follow(&self.connection.clock);
        self.enforce_deadline();
        self.settle_logins();
        self.advance_boot();
        self.advance_storage();
        self.advance_away();
        self.errands_due();
        self.sync_ends();
        if self.pings_said.elapsed() >= PINGS_INTERVAL {
            self.pings_said = Instant::now();
            self.catch_up();
            self.look_at_policy();
            self.look_at_containment();
            self.say_pings();
            self.limit_logs(&live);
            self.limit_work(&live);
            self.compact_intents();
            self.say_refused();
        }
        if self.measured.elapsed() >= MEASURE_INTERVAL {
            self.measured = Instant::now();
            self.measure();
        }
        if self.probing.last.elapsed() >= PROBE_INTERVAL {
            self.probe();
        }
        self.reports.flush_samples(self.identity(), false);
    }

    /// A generation that a service had a while ago and we still do not have was lost on its way.
    fn catch_up(&mut self) {
        let behind: BTreeMap<Owner, Position> = std::mem::take(&mut self.behind);
        let lost = |owner: Owner| behind.get(&owner).is_some_and(|theirs| *theirs > self.generation_of(owner));
        if lost(Owner::MachineLifecycle) {
            self.hello_again(HelloTo::Both);
        } else if lost(Owner::Scheduler) {
            self.hello_again(HelloTo::Scheduler);
        }
    }

    fn say_pings(&self) {
        if !*self.up.borrow() || !self.connection.is_connected() {
            return;
        }
        let live = self.processes.iter().filter(|(_, process)| process.life.is_live());
        let now = self.now();
        let results: Vec<PingResult> =
            live.map(|(id, process)| ping_result(*id, &process.life, process.round_trip_us, now)).collect();
        if results.is_empty() {
            return;
        }
        let batch = PingBatch { machine: self.settings.machine.to_string(), results };
        let envelope = self.connection.envelope(Body::PingBatch(batch), self.identity());
        self.publisher.publish(subjects::ping(&self.connection.machine), envelope);
    }

    /// A log that fills the disk ends its process, not the machine. One that goes on in spite of that has no grace.
    fn limit_logs(&mut self, live: &[ProcessId]) {
        for id in live {
            let log = beneath::open_log(&workplace::log_of(&self.settings.state, *id));
            let size = log.and_then(|log| log.metadata()).map(|meta| meta.len());
            let Some(process) = self.processes.get(id) else { continue };
            let runs = process.life.stage() == Stage::Alive;
            let grace = Duration::from_millis(process.intent.grace_ms);
            match size {
                Ok(size) if size > self.settings.log_bytes_max.saturating_mul(LOG_PATIENCE) => {
                    self.happen(*id, Event::Kill("log over its limit, by far".into()));
                }
                Ok(size) if size > self.settings.log_bytes_max => self.stop(*id, grace, "log over its limit"),
                // What is written to it can not be seen any more.
                Err(_) if runs => self.stop(*id, grace, "its log was taken away"),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn measure(&mut self) {
        let (counters, gauges) = probe::machine_values();
        let machine_type = self.inventory.machine_type.clone();
        let kinds = || Kinds { machine_type, ..Kinds::default() };
        let subject = Subject { id: None, device: String::new() };
        self.reports.gathered.take(subject, kinds, self.connection.clock.now().0, counters, gauges);
    }
}

fn ping_result(id: ProcessId, life: &Life, round_trip_us: u32, now: Duration) -> PingResult {
    PingResult {
        id: Some(id.into()),
        missed: life.missed(),
        iterations: life.iterations(),
        round_trip_us,
        unchanged_ms: milliseconds(life.unchanged(now)),
    }
}
