//! How identities are written, in paths and to the keeper, and what is made from them.

use muster_model::{Attempt, Dpid, ProcessId, RunId};

/// `<run>-<dpid>-<attempt>`: the name of a process's directory, log, and of the process itself to the keeper.
pub(crate) fn name_of(id: ProcessId) -> String {
    format!("{}-{}-{}", id.run, id.dpid, id.attempt)
}

/// The process that a name names.
pub(crate) fn id_of(name: &str) -> Option<ProcessId> {
    let mut parts = name.split('-');
    let (run, dpid, attempt) = (parts.next()?, parts.next()?, parts.next()?);
    let dpid: Dpid = dpid.parse().ok()?;
    let id = ProcessId { run: RunId(run.parse().ok()?), dpid, attempt: Attempt(attempt.parse().ok()?) };
    parts.next().is_none().then_some(id)
}

/// The seed of a process: splitmix64 of its job's seed and its DPID, the same in every attempt.
pub(crate) fn seed_of(job_seed: u64, dpid: Dpid) -> u64 {
    let number = u64::from(dpid.job.0) << 32 | u64::from(dpid.process.0);
    let mut mixed = job_seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use muster_model::{JobNumber, ProcessNumber};

    use super::*;

    #[test]
    fn a_name_reads_back() {
        let dpid = Dpid { job: JobNumber(1), process: ProcessNumber(100) };
        let id = ProcessId { run: RunId(3), dpid, attempt: Attempt(2) };
        assert_eq!(name_of(id), "3-00010064-2");
        assert_eq!(id_of("3-00010064-2"), Some(id));
        assert_eq!(id_of("3-00010064"), None);
        assert_eq!(id_of("3-00010064-2-1"), None);
    }

    #[test]
    fn seeds_of_one_job_differ() {
        let seed = |process| seed_of(7, Dpid { job: JobNumber(1), process: ProcessNumber(process) });
        assert_ne!(seed(1), seed(2));
        assert_eq!(seed(1), seed(1));
    }
}
