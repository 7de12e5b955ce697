//! Requests to reservation, and their answers. Only the leader answers.

use std::sync::Arc;

use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, Endpoint, Request};
use muster_ledger::{Handle, Lead, Shell, View};
use muster_model::{Refusal, RefusalCode, ReservationId};
use muster_proto::v1::{self, envelope::Body, reservation_query, reservation_reply};
use prost::Message;
use tokio::sync::Semaphore;

use crate::core::{Effect, Input, ReservationCore, records};
use crate::{metrics, wire};

/// Requests that are being answered at once; more wait on the bus.
const REQUESTS_MAX: usize = 1_024;
/// Reservations in one answer; more are asked for by number.
const LISTED_MAX: usize = 2_000;

/// What reservation does around its core: it answers, and has nothing else to do outside.
pub(crate) struct Handler {
    bus: Bus,
    instance: String,
}

impl Handler {
    pub(crate) fn new(bus: Bus, instance: String) -> Self {
        Self { bus, instance }
    }

    async fn serve(self: Arc<Self>, mut endpoint: Endpoint, handle: Handle<ReservationCore>, lead: Lead) {
        let places = Arc::new(Semaphore::new(REQUESTS_MAX));
        loop {
            let request = tokio::select! {
                () = lead.ended.cancelled() => return,
                request = endpoint.next() => request,
            };
            let (Some(request), Ok(place)) = (request, places.clone().acquire_owned().await) else { return };
            let (handler, handle, lead) = (self.clone(), handle.clone(), lead.clone());
            tokio::spawn(async move {
                handler.answer(request, handle, lead).await;
                drop(place);
            });
        }
    }

    async fn answer(&self, request: Request, handle: Handle<ReservationCore>, lead: Lead) {
        let answered = match &request.envelope {
            Ok(envelope) => self.decide(envelope.clone(), &handle, &lead).await,
            Err(reason) => Err(undecodable(reason)),
        };
        if lead.ended.is_cancelled() {
            return;
        }
        match answered {
            Ok((reply, authority)) => {
                metrics::taken();
                request.answer(Body::ReservationReply(reply), authority).await;
            }
            Err(refusal) => {
                metrics::refused();
                tracing::debug!(%refusal, "refused");
                request.refuse(&refusal).await;
            }
        }
    }

    async fn decide(
        &self,
        envelope: v1::Envelope,
        handle: &Handle<ReservationCore>,
        lead: &Lead,
    ) -> Result<(v1::ReservationReply, Authority), Refusal> {
        let id = muster_proto::command_id(&envelope);
        let actor = envelope.actor.clone();
        match muster_bus::body(envelope).map_err(undecodable)? {
            Body::ReservationCommand(command) => {
                let id = id.map_err(undecodable)?;
                if actor.is_empty() {
                    return Err(undecodable("the actor is missing"));
                }
                let command = wire::command(command).map_err(undecodable)?;
                let input = Input::Command { user: actor.clone(), command };
                let answer = handle.command(id, actor, input).await?;
                let reply = v1::ReservationReply::decode(answer.reply).map_err(undecodable)?;
                Ok((reply, Authority { position: answer.position, term: answer.term, ..Authority::default() }))
            }
            Body::ReservationQuery(query) => {
                let instance = self.instance.clone();
                let term = lead.term;
                handle
                    .query(move |view| look(view, query, instance))
                    .await?
                    .map(|(reply, position)| (reply, Authority { position, term, ..Authority::default() }))
            }
            _ => Err(undecodable("it is neither a command nor a query to reservation")),
        }
    }
}

impl Shell<ReservationCore> for Handler {
    async fn lead(self: Arc<Self>, handle: Handle<ReservationCore>, lead: Lead) {
        let queue = format!("leader-{}", lead.term);
        let mut served = match self.bus.serve(Service::Reservation, &queue, &["command", "query"]).await {
            Ok(served) => served,
            Err(error) => {
                tracing::error!(%error, "serving requests failed");
                return;
            }
        };
        let endpoints = std::mem::take(&mut served.endpoints);
        let serving = endpoints.into_iter().map(|endpoint| {
            let (handler, handle, lead) = (self.clone(), handle.clone(), lead.clone());
            handler.serve(endpoint, handle, lead)
        });
        futures::future::join_all(serving).await;
        served.stop().await;
    }

    async fn perform(self: Arc<Self>, effect: Effect, _authority: Authority, _handle: Handle<ReservationCore>) {
        match effect {}
    }
}

fn look(
    view: View<'_, ReservationCore>,
    query: v1::ReservationQuery,
    instance: String,
) -> Result<(v1::ReservationReply, muster_model::Position), Refusal> {
    let kind = match query.kind.ok_or_else(|| undecodable("the query has no kind that this version knows"))? {
        reservation_query::Kind::List(list) => reservation_reply::Kind::Reservations(listed(&view, list)?),
        reservation_query::Kind::Status(_) => reservation_reply::Kind::Status(status(&view, instance)),
    };
    Ok((v1::ReservationReply { kind: Some(kind) }, view.now.position))
}

fn listed(view: &View<'_, ReservationCore>, list: v1::ListReservations) -> Result<v1::ReservationList, Refusal> {
    let wanted = (list.reservation > 0).then_some(ReservationId(list.reservation));
    let mut found = records(view.state, wanted, list.ended);
    if let (Some(id), true) = (wanted, found.is_empty()) {
        let why = format!("there is no reservation {id}");
        return Err(Refusal::new(RefusalCode::NotFound, "list reservations", why, "list all of them"));
    }
    let surplus = found.len().saturating_sub(LISTED_MAX);
    found.drain(..surplus);
    Ok(v1::ReservationList { reservations: found.iter().map(wire::record_to_wire).collect() })
}

fn status(view: &View<'_, ReservationCore>, instance: String) -> v1::ServiceStatus {
    let followed = view
        .followed
        .iter()
        .map(|(stream, position)| v1::FollowedStatus { stream: stream.clone(), position: Some((*position).into()) });
    v1::ServiceStatus {
        instance,
        term: view.now.term.0,
        position: Some(view.now.position.into()),
        state_hash: view.state_hash().iter().map(|byte| format!("{byte:02x}")).collect(),
        followed: followed.collect(),
        system: uuid::Uuid::from_bytes(view.system.0).to_string(),
    }
}

/// The refusal of what can not be understood.
fn undecodable(reason: impl ToString) -> Refusal {
    let next = "send what proto/muster/v1/reservation_service.proto describes, with the same version of Muster";
    Refusal::new(RefusalCode::Invalid, "read the request", reason.to_string(), next)
}
