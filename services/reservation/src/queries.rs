//! Queries: they look at acknowledged state and change nothing.

use muster_ledger::View;
use muster_model::{GroupMaster, Refusal, RefusalCode, ReservationId};
use muster_proto::v1::{self, reservation_query, reservation_reply::Kind};

use crate::core::{Listed, ReservationCore, explain, records};
use crate::wire;

/// Reservations in one answer; more are asked for by number.
const LISTED_MAX: usize = 2_000;

/// Answers a query.
pub(crate) fn answer(
    query: &reservation_query::Kind,
    view: &View<'_, ReservationCore>,
    instance: &str,
) -> Result<Kind, Refusal> {
    match query {
        reservation_query::Kind::List(list) => listed(view, list).map(Kind::Reservations),
        reservation_query::Kind::Quotas(_) => Ok(Kind::Quotas(quotas(view))),
        reservation_query::Kind::Explain(explain) => explained(view, ReservationId(explain.reservation)),
        reservation_query::Kind::Status(_) => Ok(Kind::Status(view.status(instance))),
    }
}

fn quotas(view: &View<'_, ReservationCore>) -> v1::QuotaList {
    let state = view.state;
    let quotas = state.quotas().iter().map(|(name, quota)| wire::quota_to_wire(name, quota)).collect();
    let used = |user: &str| v1::MachineUse {
        user: user.to_owned(),
        machines: state.had(user),
        machine_hours: state.usage().machine_hours(user, view.now.time),
        share: state.quotas().share_of(user),
    };
    v1::QuotaList { quotas, uses: state.usage().users().map(|(user, _)| used(user)).collect() }
}

fn explained(view: &View<'_, ReservationCore>, id: ReservationId) -> Result<Kind, Refusal> {
    let next = "`muster reservation list` lists them";
    let reservation = view.state.reservation(id).ok_or_else(|| missing("explain a reservation", id, next))?;
    Ok(Kind::Explained(wire::explained_to_wire(&explain(view.state, reservation, view.now.time))))
}

fn listed(view: &View<'_, ReservationCore>, list: &v1::ListReservations) -> Result<v1::ReservationList, Refusal> {
    let wanted = (list.reservation > 0).then_some(ReservationId(list.reservation));
    let whose = Some(list.user.as_str()).filter(|user| !user.is_empty());
    let invalid = |error: muster_proto::WireError| {
        Refusal::new(RefusalCode::Invalid, "list reservations", error.to_string(), "name a process or a reservation")
    };
    let master = list.master.map(GroupMaster::try_from).transpose().map_err(invalid)?;
    let mut found = records(view.state, Listed { wanted, ended: list.ended, whose, master });
    if let (Some(id), true) = (wanted, found.is_empty()) {
        return Err(missing("list reservations", id, "list all of them"));
    }
    let surplus = found.len().saturating_sub(LISTED_MAX);
    found.drain(..surplus);
    Ok(v1::ReservationList { reservations: found.iter().map(wire::record_to_wire).collect() })
}

fn missing(what: &str, id: ReservationId, next: &str) -> Refusal {
    Refusal::new(RefusalCode::NotFound, what, format!("there is no reservation {id}"), next)
}
