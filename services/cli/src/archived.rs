//! Jobs of a run that is over, as the archive of JOBS has them: what was started, with the changes that followed, each process where it was last.
//!
//! No I/O: messages of the archive go in, in their order.

use std::collections::BTreeMap;

use bytes::Bytes;
use muster_ledger::open_turn;
use muster_proto::v1::{JobChanged, JobEvent, JobStarted, MachinePlacement, ProcessReplaced, job_event};
use prost::Message;

/// The jobs of one run.
#[derive(Debug, Default)]
pub(crate) struct Archived {
    run: u32,
    jobs: BTreeMap<u32, ArchivedJob>,
}

#[derive(Debug)]
struct ArchivedJob {
    started: JobStarted,
    /// Where each process was last; one process each.
    places: BTreeMap<u32, MachinePlacement>,
}

impl Archived {
    pub(crate) fn of(run: u32) -> Self {
        Self { run, jobs: BTreeMap::new() }
    }

    /// Takes one message of the archive.
    ///
    /// # Errors
    /// When it can not be read.
    pub(crate) fn take(&mut self, payload: &Bytes) -> Result<(), String> {
        for bytes in open_turn(payload)?.entries.iter().flat_map(|entry| &entry.events) {
            match JobEvent::decode(bytes.clone()).map_err(|error| error.to_string())?.kind {
                Some(job_event::Kind::JobStarted(started)) => self.started(started),
                Some(job_event::Kind::JobChanged(changed)) => self.changed(changed),
                Some(job_event::Kind::ProcessReplaced(replaced)) => self.replaced(replaced),
                _ => {}
            }
        }
        Ok(())
    }

    fn started(&mut self, started: JobStarted) {
        let Some(spec) = started.spec.as_ref().filter(|spec| spec.run == self.run) else { return };
        let (job, places) = (spec.job, started.placements.iter().flat_map(each).collect());
        self.jobs.insert(job, ArchivedJob { started, places });
    }

    /// A job number is that of the newest run: what follows a job of this run is about this run, until the next run begins at 1.
    fn changed(&mut self, changed: JobChanged) {
        let Some(spec) = self.jobs.get_mut(&changed.job).and_then(|job| job.started.spec.as_mut()) else { return };
        if let Some(pulses) = changed.pulses {
            spec.pulses = pulses.numbers;
        }
        if !changed.parameters.is_empty() {
            spec.parameters = changed.parameters;
        }
    }

    fn replaced(&mut self, replaced: ProcessReplaced) {
        let Some(id) = replaced.id.filter(|id| id.run == self.run) else { return };
        let job = self.jobs.get_mut(&id.dpid.unwrap_or_default().job);
        if let (Some(job), Some(placement)) = (job, replaced.placement) {
            job.places.extend(each(&placement));
        }
    }

    /// The jobs, in the order of their numbers.
    pub(crate) fn into_jobs(self) -> impl Iterator<Item = (u32, JobStarted)> {
        self.jobs.into_iter().map(|(number, job)| {
            let placements = job.places.into_values().collect();
            (number, JobStarted { placements, ..job.started })
        })
    }
}

/// The processes of a placement, each as a placement of its own.
fn each(placement: &MachinePlacement) -> impl Iterator<Item = (u32, MachinePlacement)> {
    let resources_each = placement.resources_each as usize;
    (0..placement.count).map(move |index| {
        let at = index as usize;
        let number = placement.first + index;
        let resources = placement.resources.iter().skip(at * resources_each).take(resources_each);
        let one = MachinePlacement {
            first: number,
            count: 1,
            resources: resources.cloned().collect(),
            gangs: placement.gangs.get(at).copied().into_iter().collect(),
            roles: placement.roles.get(at).copied().into_iter().collect(),
            machine: placement.machine.clone(),
            resources_each: placement.resources_each,
            ..MachinePlacement::default()
        };
        (number, one)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_proto::v1::{Dpid, KeyValue, ProcessId, StartSpec};

    fn placement(machine: &str, first: u32, resources: &[&str]) -> MachinePlacement {
        MachinePlacement {
            machine: machine.into(),
            first,
            count: u32::try_from(resources.len()).expect("few"),
            resources: resources.iter().map(ToString::to_string).collect(),
            resources_each: 1,
            ..MachinePlacement::default()
        }
    }

    fn started(run: u32, job: u32) -> JobStarted {
        let spec = StartSpec { run, job, seed: 7, ..StartSpec::default() };
        let placements = vec![placement("node-1", 1, &["disk-a", "disk-b"]), placement("node-2", 3, &["disk-c"])];
        JobStarted { spec: Some(spec), placements, ..JobStarted::default() }
    }

    #[test]
    fn a_job_is_found_with_its_changes_and_each_process_where_it_was_last() {
        let mut archived = Archived::of(2);
        archived.started(started(1, 4));
        archived.started(started(2, 5));
        let parameters = vec![KeyValue { key: "size".into(), value: "1".into() }];
        archived.changed(JobChanged { job: 5, parameters: parameters.clone(), ..JobChanged::default() });
        archived.changed(JobChanged { job: 4, parameters: parameters.clone(), ..JobChanged::default() });
        let id = ProcessId { run: 2, dpid: Some(Dpid { job: 5, process: 2 }), attempt: 1 };
        let moved = Some(placement("node-3", 2, &["disk-d"]));
        archived.replaced(ProcessReplaced { id: Some(id), placement: moved, ..ProcessReplaced::default() });
        let jobs: Vec<_> = archived.into_jobs().collect();
        let [(5, job)] = &jobs[..] else { panic!("one job: {jobs:?}") };
        let places: Vec<_> =
            job.placements.iter().map(|p| (p.machine.as_str(), p.first, p.resources[0].as_str())).collect();
        assert_eq!(places, [("node-1", 1, "disk-a"), ("node-3", 2, "disk-d"), ("node-2", 3, "disk-c")]);
        assert_eq!(job.spec.as_ref().map(|spec| &spec.parameters), Some(&parameters));
    }
}
