//! Rates of processes, from the pings that agents say once a second: nobody is asked for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use muster_bus::{Bus, BusError, subjects};
use muster_model::{PoolTime, ProcessId};
use muster_proto::v1::{PingBatch, envelope::Body};
use tokio::task::JoinHandle;

/// A process that was in no ping for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// The newest ping of one process, and what follows from it and the one before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pinged {
    /// Its machine.
    pub(crate) machine: String,
    /// When its agent said so, by the agent's pool time.
    at: PoolTime,
    iterations: u64,
    /// Iterations a second between the newest two pings; none before the second.
    pub(crate) per_second: Option<f64>,
    /// How long its iterations have not changed.
    pub(crate) unchanged: Duration,
}

/// What the newest pings say of every process.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    processes: BTreeMap<ProcessId, Pinged>,
    newest: PoolTime,
}

impl Pings {
    /// Takes what one agent said at `at`.
    fn take(&mut self, batch: PingBatch, at: PoolTime) {
        self.newest = self.newest.max(at);
        for result in batch.results {
            let Some(id) = result.id.map(ProcessId::from) else { continue };
            let before = self.processes.get(&id);
            let per_second = before.and_then(|before| rate(before, result.iterations, at));
            let unchanged = Duration::from_millis(result.unchanged_ms);
            let (machine, iterations) = (batch.machine.clone(), result.iterations);
            self.processes.insert(id, Pinged { machine, at, iterations, per_second, unchanged });
        }
    }

    /// Forgets what no ping names any more.
    fn forget_old(&mut self) {
        let newest = self.newest;
        self.processes.retain(|_, pinged| newest.since(pinged.at) <= FORGOTTEN_AFTER);
    }

    /// Every process that pings name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ProcessId, &Pinged)> {
        self.processes.iter()
    }

    /// Iterations a second of the processes of some jobs; none before any of them was pinged twice.
    pub(crate) fn of_jobs(&self, jobs: &[u32]) -> Option<f64> {
        let of_jobs = self.all().filter(|(id, _)| jobs.contains(&id.dpid.job.0));
        of_jobs.filter_map(|(_, pinged)| pinged.per_second).reduce(|sum, rate| sum + rate)
    }
}

/// A process that was started again counts from its beginning, under another attempt; a fall is no rate.
fn rate(before: &Pinged, iterations: u64, at: PoolTime) -> Option<f64> {
    let seconds = at.since(before.at).as_secs_f64();
    if seconds <= 0.0 {
        return before.per_second;
    }
    Some(iterations.checked_sub(before.iterations)? as f64 / seconds)
}

/// Listens to the pings for as long as it lives.
#[derive(Debug)]
pub(crate) struct Rates {
    pings: Arc<Mutex<Pings>>,
    listening: JoinHandle<()>,
}

impl Rates {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(crate) async fn listen(bus: &Bus) -> Result<Self, BusError> {
        let mut said = bus.subscribe(subjects::EVERY_PING, None).await?;
        let pings = Arc::new(Mutex::new(Pings::default()));
        let shared = Arc::clone(&pings);
        let listening = tokio::spawn(async move {
            while let Some(inbound) = said.next().await {
                let Ok(envelope) = inbound.envelope else { continue };
                let at = PoolTime(envelope.time_ns);
                if let Some(Body::PingBatch(batch)) = envelope.body {
                    shared.lock().expect("nobody panics with it").take(batch, at);
                }
            }
        });
        Ok(Self { pings, listening })
    }

    /// Looks at what the pings say now.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Pings) -> T) -> T {
        let mut pings = self.pings.lock().expect("nobody panics with it");
        pings.forget_old();
        look(&pings)
    }

    /// Iterations a second of some jobs in words, led by a comma; nothing before they are known.
    pub(crate) fn words(&self, jobs: &[u32]) -> String {
        let rate = self.look(|pings| pings.of_jobs(jobs));
        rate.map_or_else(String::new, |rate| format!(", {rate:.0} iterations/s"))
    }
}

impl Drop for Rates {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

#[cfg(test)]
mod tests {
    use muster_proto::v1;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn batch(results: &[(u32, u32, u64)]) -> PingBatch {
        let result = |(job, process, iterations): &(u32, u32, u64)| v1::PingResult {
            id: Some(v1::ProcessId { run: 1, dpid: Some(v1::Dpid { job: *job, process: *process }), attempt: 1 }),
            iterations: *iterations,
            ..Default::default()
        };
        PingBatch { machine: "node-1".into(), results: results.iter().map(result).collect() }
    }

    #[test]
    fn rates_add_up_by_job_and_a_fall_is_none() {
        let mut pings = Pings::default();
        pings.take(batch(&[(1, 1, 100), (1, 2, 50), (2, 1, 7)]), PoolTime(10 * SECOND));
        assert_eq!(pings.of_jobs(&[1]), None, "one ping is no rate");
        pings.take(batch(&[(1, 1, 300), (1, 2, 60), (2, 1, 3)]), PoolTime(12 * SECOND));
        assert_eq!(pings.of_jobs(&[1]), Some(105.0));
        assert_eq!(pings.of_jobs(&[2]), None);
        assert_eq!(pings.of_jobs(&[1, 2]), Some(105.0));
        pings.take(batch(&[(1, 1, 300)]), PoolTime(12 * SECOND));
        assert_eq!(pings.of_jobs(&[1]), Some(105.0), "said twice, it is the same");
    }

    #[test]
    fn what_is_not_pinged_any_more_is_forgotten() {
        let mut pings = Pings::default();
        pings.take(batch(&[(1, 1, 100), (1, 2, 100)]), PoolTime(10 * SECOND));
        pings.take(batch(&[(1, 2, 200)]), PoolTime(16 * SECOND));
        pings.forget_old();
        assert_eq!(pings.all().map(|(id, _)| id.dpid.process.0).collect::<Vec<_>>(), [2]);
    }
}
