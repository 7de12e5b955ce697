//! Queries: they look at acknowledged state and change nothing.

use std::cell::LazyCell;

use muster_ledger::View;
use muster_model::{MachineId, Refusal, RefusalCode, Selector};
use muster_proto::v1::{self, machine_query, machine_reply::Kind};

use crate::core::health::{Health, health};
use crate::core::rails::{Rails, waits_for};
use crate::core::{Machine, MachineCore};
use crate::wire;

/// Machines of one page without their inventories.
const PAGE_BRIEF: usize = 1_000;
/// Machines of one page.
const PAGE: usize = 100;
/// Encoded size of a page, bytes: it must fit a message.
const PAGE_SIZE_MAX: usize = 700_000;

/// A query that was understood.
#[derive(Debug)]
pub(crate) enum Query {
    List { selector: Selector, brief: bool, after: String },
    LoadNumbers,
    Status,
    Kernels { name: String },
}

/// Reads a query.
///
/// # Errors
/// The refusal for its sender.
pub(crate) fn query_from_wire(query: v1::MachineQuery) -> Result<Query, Refusal> {
    match query.kind {
        Some(machine_query::Kind::List(list)) => {
            let selector = wire::selector_from_wire("list machines", &list.selector)?;
            Ok(Query::List { selector, brief: list.brief, after: list.after })
        }
        Some(machine_query::Kind::LoadNumbers(_)) => Ok(Query::LoadNumbers),
        Some(machine_query::Kind::Status(_)) => Ok(Query::Status),
        Some(machine_query::Kind::Kernels(list)) => Ok(Query::Kernels { name: list.name }),
        None => {
            let next = "use a `muster` of the same version as the service";
            Err(Refusal::new(RefusalCode::Invalid, "answer a query", "it asks nothing that is known here", next))
        }
    }
}

/// Answers a query.
pub(crate) fn answer(query: &Query, view: &View<'_, MachineCore>, instance: &str) -> Kind {
    match query {
        Query::List { selector, brief, after } => Kind::Machines(list(view, selector, *brief, after)),
        Query::LoadNumbers => {
            let numbers = view.state.all_load_numbers();
            let numbers = numbers.iter().map(|(key, load)| wire::load_number_to_wire(key, *load)).collect();
            Kind::LoadNumbers(v1::LoadNumberList { numbers })
        }
        Query::Status => Kind::Status(view.status(instance)),
        Query::Kernels { name } => {
            let named = view.state.kernels.values().filter(|kernel| name.is_empty() || kernel.name.as_str() == name);
            Kind::Kernels(v1::KernelList { kernels: named.map(wire::kernel_to_wire).collect() })
        }
    }
}

/// A page of machines, bounded by count and by size.
fn list(view: &View<'_, MachineCore>, selector: &Selector, brief: bool, after: &str) -> v1::MachineList {
    let limit = if brief { PAGE_BRIEF } else { PAGE };
    let hold = view.state.hold.as_ref().map(wire::hold_to_wire);
    let mut page = v1::MachineList { hold, ..v1::MachineList::default() };
    let mut size = 0;
    let rails = LazyCell::new(|| Rails::of(view.state, view.now.time));
    for (id, machine) in view.state.selected(selector).filter(|(id, _)| id.as_str() > after) {
        let mut status = status(view, id, machine, brief);
        if machine.power_order.is_some() {
            status.switch_waits_for = waits_for(&rails, machine, view.now.time);
        }
        size += prost::Message::encoded_len(&status);
        if page.machines.len() == limit || (size > PAGE_SIZE_MAX && !page.machines.is_empty()) {
            page.more = true;
            break;
        }
        page.machines.push(status);
    }
    page
}

fn status(view: &View<'_, MachineCore>, id: &MachineId, machine: &Machine, brief: bool) -> v1::MachineStatus {
    let mut record = wire::record_to_wire(id, machine);
    if brief {
        record.inventory = None;
    }
    let health = match health(view.observed, id, view.now.time) {
        Health::Unknown => v1::Health::Unspecified,
        Health::Up => v1::Health::Up,
        Health::Silent => v1::Health::Silent,
        Health::Down => v1::Health::Down,
    };
    let newest = view.observed.newest(id);
    let age = newest.map_or(0, |seen| view.now.time.since(seen.at).as_millis());
    v1::MachineStatus {
        record: Some(record),
        health: health.into(),
        heartbeat_age_ms: u64::try_from(age).unwrap_or(u64::MAX),
        switch_waits_for: String::new(),
        ssh_key: newest.map_or_else(String::new, |seen| seen.heartbeat.ssh_key.clone()),
        storage: newest.and_then(|seen| seen.heartbeat.storage).map(Into::into),
        processes_live: newest.map_or(0, |seen| seen.heartbeat.processes_live),
        agent_generation: newest.map(|seen| seen.heartbeat.generation.into()),
    }
}
