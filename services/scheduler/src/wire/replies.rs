//! Replies to commands.

use bytes::Bytes;
use muster_proto::v1;
use muster_proto::v1::job_reply::Kind;
use prost::Message;

use super::attached::attached_to_wire;
use super::{plans, test_events, triggers};
use crate::core::Reply;
use crate::core::input::LoadChange;

/// Encodes a reply as `JobReply`.
pub fn encode(reply: &Reply) -> Bytes {
    let kind = match reply {
        Reply::Started(started) => Some(Kind::Started(v1::Started {
            run: started.run.0,
            job: started.job.0,
            placements: started.placements.iter().map(Into::into).collect(),
            balance: started.balance_milli as f64 / 1000.0,
            seed: started.seed,
            loads: started.loads.iter().map(load_change).collect(),
        })),
        Reply::Attached(starts) => Some(Kind::Attached(v1::AttachedList {
            starts: starts.iter().map(|(id, attached)| attached_to_wire(*id, attached)).collect(),
        })),
        Reply::PlanAccepted(accepted) => Some(Kind::PlanAccepted(plans::accepted(accepted))),
        Reply::Stopped { processes, jobs } => {
            Some(Kind::Stopped(v1::Stopped { processes: *processes, jobs: jobs.iter().map(|job| job.0).collect() }))
        }
        Reply::ModuleChanged { name, version, unchanged } => Some(Kind::ModuleChanged(v1::ModuleChanged {
            name: name.to_string(),
            version: version.clone(),
            unchanged: *unchanged,
        })),
        Reply::Master(master) => Some(Kind::Master(v1::MasterReply { master: master.as_ref().map(Into::into) })),
        Reply::RunStarted(run) => Some(Kind::RunStarted(v1::RunStarted { run: run.0 })),
        Reply::Pulses(pulses) => Some(Kind::Pulses(v1::PulseList { pulses: pulses.iter().map(Into::into).collect() })),
        Reply::JobChanged(changed) => Some(Kind::JobChanged(changed.into())),
        Reply::Armed(armed) => Some(Kind::Armed(triggers::armed_reply(armed))),
        Reply::Fired { firing, machines } => Some(Kind::Fired(v1::Fired {
            fired: Some((&**firing).into()),
            machines: machines.iter().map(ToString::to_string).collect(),
        })),
        Reply::Emitted(event, time) => Some(Kind::TestEvent(test_events::to_wire(event, *time))),
        // What the agent is to do is answered from the state after it, not remembered.
        Reply::HelloTaken => None,
    };
    v1::JobReply { kind }.encode_to_vec().into()
}

fn load_change(change: &LoadChange) -> v1::LoadChange {
    v1::LoadChange {
        machine: change.machine.to_string(),
        resource: change.resource.as_ref().map_or_else(String::new, ToString::to_string),
        kind: v1::ResourceKind::from(change.kind).into(),
        processes: change.processes,
        before_milli: change.before_milli,
        after_milli: change.after_milli,
    }
}
