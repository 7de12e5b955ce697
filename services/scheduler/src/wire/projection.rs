//! Values of the bucket `jobs`, for readers.

use bytes::Bytes;
use muster_model::{JobNumber, MachineId};
use muster_proto::v1;
use prost::Message;

use super::plans;
use crate::core::job::{Counts, Job};
use crate::core::{Key, State};

/// The value of a key; none where the state has it no more.
pub fn project(state: &State, key: &Key) -> Vec<(String, Option<Bytes>)> {
    match key {
        Key::Machine(_) => Vec::new(),
        Key::Job(number) => {
            let value = state.jobs.get(number).map(|job| record(job).encode_to_vec().into());
            vec![(format!("job-{number}"), value)]
        }
        Key::Part(number, machine) => {
            let counts = state.jobs.get(number).and_then(|job| job.parts.get(machine));
            let value = counts.map(|counts| part(state, *number, machine, counts).encode_to_vec().into());
            vec![(format!("part-{number}-{machine}"), value)]
        }
    }
}

fn part(state: &State, job: JobNumber, machine: &MachineId, counts: &Counts) -> v1::JobOnMachine {
    v1::JobOnMachine { run: state.run.0, job: job.0, machine: machine.to_string(), by_state: by_state(counts) }
}

/// Counts, indexed by the wire's states: 0 is never used.
pub fn by_state(counts: &Counts) -> Vec<u32> {
    [0].into_iter().chain(counts.0).collect()
}

/// All that is known of a job.
pub fn record(job: &Job) -> v1::JobRecord {
    v1::JobRecord {
        spec: Some((&*job.spec).into()),
        processes: job.processes,
        selector: job.selector.clone(),
        by_state: by_state(&job.by_state),
        started_ns: job.started.0,
        all_running_ns: job.all_running.0,
        ended_ns: job.ended.0,
        stopping: job.stopping,
        by_verdict: job.by_verdict.to_vec(),
        resource_selector: job.resource_selector.clone(),
        plan: job.plan.as_deref().map(plans::summary),
        ..Default::default()
    }
}
