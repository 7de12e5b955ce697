//! The digest that scheduler and agents compare: which processes live.

use muster_model::ProcessId;

/// BLAKE3-64 of an identity: the first 8 bytes, little-endian, of the hash over run, job, process and attempt as 4 little-endian
/// bytes each. `Heartbeat.processes_digest` is the exclusive-or of it over all live processes.
#[must_use]
pub fn process_digest(id: &ProcessId) -> u64 {
    let mut bytes = [0; 16];
    for (place, number) in [id.run.0, id.dpid.job.0, id.dpid.process.0, id.attempt.0].into_iter().enumerate() {
        bytes[place * 4..place * 4 + 4].copy_from_slice(&number.to_le_bytes());
    }
    let hash = blake3::hash(&bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_model::{Attempt, Dpid, JobNumber, ProcessNumber, RunId};

    #[test]
    fn attempts_of_one_process_differ() {
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(2) };
        let id = |attempt| ProcessId { run: RunId(1), dpid, attempt: Attempt(attempt) };
        assert_ne!(process_digest(&id(1)), process_digest(&id(2)));
        assert_eq!(process_digest(&id(1)) ^ process_digest(&id(1)), 0);
    }
}
