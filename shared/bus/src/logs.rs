//! Logs of ended processes in their store: each by its own name, or small ones that ended together as one object, for an object
//! costs several requests, and most logs hold a few lines.
//!
//! Responsible for where a log is and how it is found again. Not for which logs go together: that is the agent's.

use muster_model::{Dpid, JobNumber, MachineId, ProcessId, RunId};
use muster_proto::v1::{BundledLog, LogBundle};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{Bucket, Bus, BusError};

/// Bundles of one job on one machine at most.
pub const BUNDLES_MAX: u32 = 64;
/// A bundle larger than this is none of ours.
const BUNDLE_BYTES_MAX: u64 = 8 << 20;

/// A log that was found.
pub enum Log {
    /// An object of its own, to be read.
    Whole(Box<dyn AsyncRead + Unpin + Send>),
    /// From a bundle.
    Bundled(bytes::Bytes),
}

/// Name of the log of a process in the store [`Bucket::Logs`].
#[must_use]
pub fn log_name(id: ProcessId) -> String {
    format!("{}-{}-{}", id.run, id.dpid, id.attempt)
}

fn bundles_of(run: RunId, job: JobNumber) -> String {
    format!("bundle-{run}-{job}-")
}

fn bundle_name(run: RunId, job: JobNumber, machine: &MachineId, number: u32) -> String {
    format!("{}{machine}-{number}", bundles_of(run, job))
}

impl Bus {
    /// Puts small logs of a job that ended on a machine into the store, as bundle `number`; gives its name.
    ///
    /// # Errors
    /// When the store is full or not reachable.
    pub async fn put_logs(
        &self,
        (run, job): (RunId, JobNumber),
        machine: &MachineId,
        number: u32,
        logs: Vec<BundledLog>,
    ) -> Result<String, BusError> {
        let name = bundle_name(run, job, machine, number);
        let bytes = LogBundle { logs }.encode_to_vec();
        self.put_object(Bucket::Logs, &name, &mut bytes.as_slice()).await?;
        Ok(name)
    }

    /// The first number that no bundle of this job on this machine has; at most [`BUNDLES_MAX`].
    ///
    /// # Errors
    /// When the store is not reachable.
    pub async fn next_bundle(&self, (run, job): (RunId, JobNumber), machine: &MachineId) -> Result<u32, BusError> {
        for number in 0..BUNDLES_MAX {
            if !self.has_object(Bucket::Logs, &bundle_name(run, job, machine, number)).await? {
                return Ok(number);
            }
        }
        Ok(BUNDLES_MAX)
    }

    /// The log of a process that ended on a machine; none where the store does not have it.
    ///
    /// # Errors
    /// When the store is not reachable, or a bundle is damaged.
    pub async fn log(&self, id: ProcessId, machine: &MachineId) -> Result<Option<Log>, BusError> {
        if let Some(log) = self.get_object(Bucket::Logs, &log_name(id)).await? {
            return Ok(Some(Log::Whole(Box::new(log))));
        }
        for number in 0..BUNDLES_MAX {
            let Some(logs) = self.bundle(&bundle_name(id.run, id.dpid.job, machine, number)).await? else { break };
            if let Some(log) = logs.into_iter().find(|log| log.id.is_some_and(|of| ProcessId::from(of) == id)) {
                return Ok(Some(Log::Bundled(log.data)));
            }
        }
        Ok(None)
    }

    /// The log of the last attempt of a process, wherever it ran: every object's name is looked at.
    ///
    /// # Errors
    /// When the store is not reachable, or a bundle is damaged.
    pub async fn last_log(&self, run: RunId, dpid: Dpid) -> Result<Option<Log>, BusError> {
        let (own, bundles) = (format!("{run}-{dpid}-"), bundles_of(run, dpid.job));
        let (mut last, mut last_attempt) = (None, 0);
        let names = self.list_objects(Bucket::Logs).await?;
        let attempts = names.iter().filter_map(|name| name.strip_prefix(&own)?.parse::<u32>().ok());
        if let Some(attempt) = attempts.max() {
            let log = self.get_object(Bucket::Logs, &format!("{own}{attempt}")).await?;
            (last, last_attempt) = (log.map(|log| Log::Whole(Box::new(log))), attempt);
        }
        for name in names.iter().filter(|name| name.starts_with(&bundles)) {
            for log in self.bundle(name).await?.unwrap_or_default() {
                let Some(of) = log.id.map(ProcessId::from).filter(|of| (of.run, of.dpid) == (run, dpid)) else {
                    continue;
                };
                if of.attempt.0 > last_attempt {
                    (last, last_attempt) = (Some(Log::Bundled(log.data)), of.attempt.0);
                }
            }
        }
        Ok(last)
    }

    async fn bundle(&self, name: &str) -> Result<Option<Vec<BundledLog>>, BusError> {
        let what = || format!("read {name} from the object store {}", Bucket::Logs.as_str());
        let Some(object) = self.get_object(Bucket::Logs, name).await? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = object.take(BUNDLE_BYTES_MAX).read_to_end(&mut bytes).await;
        read.map_err(|error| BusError::failed(what(), error))?;
        let bundle = LogBundle::decode(bytes.as_slice()).map_err(|error| BusError::failed(what(), error))?;
        Ok(Some(bundle.logs))
    }
}
