//! Requests of people and services: what machine-lifecycle is asked, and how it answers.

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_ledger::{Asked, Requests, View};
use muster_model::{CommandId, Refusal, RefusalCode};
use muster_proto::v1::{self, envelope::Body};
use prost::Message;

use crate::core::{Input, MachineCore};
use crate::queries::Query;
use crate::shell::MachineShell;
use crate::{metrics, queries, wire};

impl Requests<MachineCore> for MachineShell {
    type Command = v1::MachineCommand;
    type Query = Query;

    const SERVICE: Service = Service::MachineLifecycle;

    fn open(&self, body: Body) -> Result<Asked<v1::MachineCommand, Query>, Refusal> {
        match body {
            Body::MachineCommand(command) => Ok(Asked::Command(command)),
            Body::MachineQuery(query) => queries::query_from_wire(query).map(Asked::Query),
            _ => Err(self.unreadable("it is neither a machine command nor a machine query")),
        }
    }

    fn input(&self, _id: CommandId, actor: &str, command: v1::MachineCommand) -> Result<Input, Refusal> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        wire::command_from_wire(command, actor, &nonce).map(Input::Command)
    }

    fn look(&self, view: &View<'_, MachineCore>, query: &Query) -> Result<Body, Refusal> {
        let kind = queries::answer(query, view, &self.instance);
        Ok(Body::MachineReply(v1::MachineReply { kind: Some(kind) }))
    }

    fn reply(&self, reply: Bytes) -> Result<Body, prost::DecodeError> {
        v1::MachineReply::decode(reply).map(Body::MachineReply)
    }

    fn unreadable(&self, why: &str) -> Refusal {
        metrics::invalid();
        let next = "use a `muster` of the same version as the service";
        Refusal::new(RefusalCode::Invalid, "take a request to machine-lifecycle", why, next)
    }

    fn count(&self, answered: bool) {
        metrics::command(answered);
    }
}
