//! Requests to reservation, and their answers. Only the leader answers.

use std::sync::Arc;

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Bus, BusError};
use muster_ledger::{Asked, Handle, Lead, Listening, Requests, Shell, View, listen_while_leading};
use muster_model::{CommandId, Refusal, RefusalCode};
use muster_proto::v1::{self, envelope::Body, reservation_query};
use prost::Message;

use crate::config::Config;
use crate::core::{Effect, Input, ReservationCore};
use crate::notices::Notices;
use crate::{metrics, queries, wire};

/// What reservation does around its core: it answers, and tells people.
pub(crate) struct Handler {
    bus: Bus,
    instance: String,
    config: Config,
    notices: Notices,
}

impl Handler {
    pub(crate) fn new(bus: Bus, instance: String, config: Config) -> Self {
        Self { bus, instance, config, notices: Notices::default() }
    }

    async fn listen(self: &Arc<Self>, handle: &Handle<ReservationCore>, lead: &Lead) -> Result<(), BusError> {
        Listening::begin(&self.bus, self, handle, lead).await?.until_ended(lead).await;
        Ok(())
    }
}

impl Requests<ReservationCore> for Handler {
    type Command = v1::ReservationCommand;
    type Query = reservation_query::Kind;

    const SERVICE: Service = Service::Reservation;

    fn open(&self, body: Body) -> Result<Asked<v1::ReservationCommand, reservation_query::Kind>, Refusal> {
        match body {
            Body::ReservationCommand(command) => Ok(Asked::Command(command)),
            Body::ReservationQuery(query) => {
                let none = || self.unreadable("the query has no kind that this version knows");
                query.kind.ok_or_else(none).map(Asked::Query)
            }
            _ => Err(self.unreadable("it is neither a command nor a query to reservation")),
        }
    }

    fn input(&self, _id: CommandId, actor: &str, command: v1::ReservationCommand) -> Result<Input, Refusal> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let mut command = wire::command(command, &nonce).map_err(|error| self.unreadable(&error.to_string()))?;
        self.config.complete(actor, &mut command)?;
        Ok(Input::Command { user: actor.to_owned(), command: Box::new(command) })
    }

    fn look(&self, view: &View<'_, ReservationCore>, query: &reservation_query::Kind) -> Result<Body, Refusal> {
        let kind = queries::answer(query, view, &self.instance)?;
        Ok(Body::ReservationReply(v1::ReservationReply { kind: Some(kind) }))
    }

    fn reply(&self, reply: Bytes) -> Result<Body, prost::DecodeError> {
        v1::ReservationReply::decode(reply).map(Body::ReservationReply)
    }

    fn unreadable(&self, why: &str) -> Refusal {
        let next = "send what proto/muster/v1/reservation_service.proto describes, with the same version of Muster";
        Refusal::new(RefusalCode::Invalid, "read the request", why, next)
    }

    fn count(&self, answered: bool) {
        if answered { metrics::taken() } else { metrics::refused() }
    }
}

impl Shell<ReservationCore> for Handler {
    async fn lead(self: Arc<Self>, handle: Handle<ReservationCore>, lead: Lead) {
        listen_while_leading(&lead, || self.listen(&handle, &lead)).await;
    }

    async fn perform(self: Arc<Self>, effect: Effect, _authority: Authority, handle: Handle<ReservationCore>) {
        match effect {
            Effect::Tell(letter) => handle.submit(self.notices.tell(&self.config, &letter).await).await,
        }
    }
}
