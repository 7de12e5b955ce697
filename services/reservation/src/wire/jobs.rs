//! JOBS, as reservation follows it: masters of groups, and which reservations are in use.

use muster_bus::StoredMessage;
use muster_model::{Dpid, GroupMaster, JobNumber, MachineId, ProcessNumber, ReservationId, RunId, others_than};
use muster_proto::v1;
use prost::Message;

use crate::core::{ClientsWanted, Input};

/// Event type of the followed log.
const JOB_EVENT: &str = "muster.v1.JobEvent";

/// As much of a `JobEvent` as concerns reservations: whatever else it says, mostly of processes and machines, is passed over unread.
#[derive(Clone, PartialEq, Message)]
struct JobEvent {
    /// `JobEvent.job_started`.
    #[prost(message, optional, tag = "4")]
    started: Option<v1::JobStarted>,
    /// `JobEvent.plan_started`.
    #[prost(message, optional, tag = "26")]
    plan: Option<v1::PlanStarted>,
    /// `JobEvent.plan_task_placed`.
    #[prost(message, optional, tag = "28")]
    placed: Option<v1::PlanTaskPlaced>,
    /// `JobEvent.checkout_asked`.
    #[prost(message, optional, tag = "31")]
    checkout: Option<v1::CheckoutAsked>,
    /// `JobEvent.group_ended`.
    #[prost(message, optional, tag = "40")]
    group_ended: Option<v1::GroupEnded>,
}

/// Inputs from one message of JOBS, in order.
///
/// # Errors
/// When it can not be decoded.
pub fn take_jobs(message: &StoredMessage) -> Result<Vec<Input>, String> {
    let turn = muster_ledger::open_turn(&message.payload)?;
    if turn.event_type != JOB_EVENT {
        return Err(format!("it holds {} and not {JOB_EVENT}", turn.event_type));
    }
    let mut inputs = Vec::new();
    for bytes in turn.entries.into_iter().flat_map(|entry| entry.events) {
        let event = JobEvent::decode(bytes).map_err(|error| error.to_string())?;
        inputs.extend(event.group_ended.map(group_ended).transpose()?);
        inputs.extend(event.checkout.map(checkout_of).transpose()?.flatten());
        if let Some(started) = event.started {
            inputs.extend(used(started.spec.as_ref().map_or(0, |spec| spec.reservation)));
            inputs.extend(clients_of(&started).map(Input::ClientsWanted));
        }
        inputs.extend(event.plan.and_then(|plan| used(plan.reservation)));
        inputs.extend(event.placed.iter().flat_map(clients_of_task).map(Input::ClientsWanted));
    }
    Ok(inputs)
}

/// A reservation has a job: whoever asked for it has shown up.
fn used(reservation: u64) -> Option<Input> {
    (reservation > 0).then_some(Input::Used(ReservationId(reservation)))
}

/// A process with clients is over.
fn group_ended(ended: v1::GroupEnded) -> Result<Input, String> {
    let master = GroupMaster::try_from(ended.master.unwrap_or_default()).map_err(|error| error.to_string())?;
    Ok(Input::GroupEnded { master, reason: ended.reason })
}

/// The machines of a task that failed, for the owner of its plan.
fn checkout_of(asked: v1::CheckoutAsked) -> Result<Option<Input>, String> {
    let machines = asked.machines.iter().map(|machine| MachineId::new(machine).map_err(|error| error.to_string()));
    let machines: Vec<MachineId> = machines.collect::<Result<_, _>>()?;
    let (job, task, user) = (JobNumber(asked.job), asked.task, asked.owner);
    Ok((!machines.is_empty()).then_some(Input::CheckoutAsked { user, machines, job, task }))
}

/// The clients that the manifest of a job's module asks for; none where it asks for none, or nobody runs it.
fn clients_of(started: &v1::JobStarted) -> Option<ClientsWanted> {
    let spec = started.spec.as_ref().filter(|spec| !spec.check_out)?;
    let module = spec.module.as_ref().filter(|module| !module.clients.is_empty())?;
    let count = spec.parameters.iter().find(|pair| pair.key == module.clients)?.value.parse().ok()?;
    let masters = || masters((spec.run, spec.job), &started.placements, &module.client_selector);
    (count > 0).then(|| ClientsWanted { masters: masters(), user: spec.actor.clone(), count })
}

/// The same for the parts of a plan's task.
fn clients_of_task(placed: &v1::PlanTaskPlaced) -> impl Iterator<Item = ClientsWanted> {
    placed.parts.iter().filter(|part| part.clients > 0).map(|part| ClientsWanted {
        masters: masters((placed.run, placed.job), &part.placements, &part.client_selector),
        user: placed.actor.clone(),
        count: part.clients,
    })
}

/// Each process of a job that is a master, with the selector of its clients: its own machine is none of them.
fn masters((run, job): (u32, u32), placements: &[v1::MachinePlacement], wanted: &str) -> Vec<(GroupMaster, String)> {
    let master = |process| {
        let dpid = Dpid { job: JobNumber(job), process: ProcessNumber(process) };
        GroupMaster::Process(RunId(run), dpid)
    };
    let all = placements.iter().flat_map(|placement| {
        let selector = others_than(&placement.machine, wanted);
        let last = placement.first.saturating_add(placement.count);
        (placement.first..last).map(move |process| (master(process), selector.clone()))
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::job_event::Kind;

    use super::*;

    fn started(clients: &str, value: &str) -> v1::JobStarted {
        let module = v1::Module { clients: clients.into(), client_selector: "cpus>=4".into(), ..Default::default() };
        let parameters = vec![v1::KeyValue { key: "clients".into(), value: value.into() }];
        let spec = v1::StartSpec {
            module: Some(module),
            parameters,
            run: 1,
            job: 2,
            actor: "user:anna".into(),
            ..Default::default()
        };
        let placements = vec![v1::MachinePlacement { machine: "m1".into(), first: 3, count: 2, ..Default::default() }];
        v1::JobStarted { spec: Some(spec), placements, ..Default::default() }
    }

    #[test]
    fn what_concerns_reservations_is_read_and_nothing_else() {
        let read = |kind: Kind| {
            let bytes = v1::JobEvent { kind: Some(kind) }.encode_to_vec();
            JobEvent::decode(bytes.as_slice()).expect("it is read")
        };
        let (started, nothing) = (started("clients", "4"), JobEvent::default());
        let (checkout, ended) = (v1::CheckoutAsked { job: 7, ..Default::default() }, v1::GroupEnded::default());
        assert_eq!(read(Kind::JobStarted(started.clone())), JobEvent { started: Some(started), ..nothing.clone() });
        let asked = JobEvent { checkout: Some(checkout.clone()), ..nothing.clone() };
        assert_eq!(read(Kind::CheckoutAsked(checkout)), asked);
        assert_eq!(read(Kind::GroupEnded(ended.clone())), JobEvent { group_ended: Some(ended), ..nothing.clone() });
        let (plan, placed) = (v1::PlanStarted { reservation: 7, ..Default::default() }, task_placed(0));
        assert_eq!(read(Kind::PlanStarted(plan.clone())), JobEvent { plan: Some(plan), ..nothing.clone() });
        assert_eq!(read(Kind::PlanTaskPlaced(placed.clone())), JobEvent { placed: Some(placed), ..nothing.clone() });
        assert_eq!(read(Kind::RunStarted(v1::RunStarted { run: 4 })), nothing);
    }

    fn task_placed(clients: u32) -> v1::PlanTaskPlaced {
        let placements = vec![v1::MachinePlacement { machine: "m1".into(), first: 3, count: 2, ..Default::default() }];
        let alone = v1::PartPlacement { placements: placements.clone(), ..Default::default() };
        let part = v1::PartPlacement { placements, clients, client_selector: "cpus>=4".into(), ..Default::default() };
        v1::PlanTaskPlaced { run: 1, job: 2, actor: "user:anna".into(), parts: vec![alone, part], ..Default::default() }
    }

    #[test]
    fn a_task_of_a_plan_asks_for_what_a_job_would() {
        let wanted: Vec<ClientsWanted> = clients_of_task(&task_placed(4)).collect();
        assert_eq!(wanted, [clients_of(&started("clients", "4")).unwrap()]);
        assert_eq!(clients_of_task(&task_placed(0)).count(), 0);
    }

    #[test]
    fn a_manifest_that_counts_clients_by_a_parameter_asks_for_them_for_each_process() {
        let wanted = clients_of(&started("clients", "4")).unwrap();
        let master =
            |process| GroupMaster::Process(RunId(1), Dpid { job: JobNumber(2), process: ProcessNumber(process) });
        let selector = "(cpus>=4) and not m1".to_owned();
        assert_eq!(wanted.masters, [(master(3), selector.clone()), (master(4), selector)]);
        assert_eq!((wanted.count, wanted.user.as_str()), (4, "user:anna"));
        assert_eq!(clients_of(&started("clients", "0")), None);
        assert_eq!(clients_of(&started("", "4")), None);
        let mut by_hand = started("clients", "4");
        by_hand.spec.as_mut().unwrap().check_out = true;
        assert_eq!(clients_of(&by_hand), None, "a person starts it");
    }
}
