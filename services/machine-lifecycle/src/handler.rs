//! Requests of people and services, and their answers. Only the leader answers.

use std::sync::Arc;

use muster_bus::{Authority, Endpoint, Request};
use muster_ledger::{Handle, Lead};
use muster_model::{Refusal, RefusalCode};
use muster_proto::v1::{self, envelope::Body};
use prost::Message;
use tokio::sync::Semaphore;

use crate::core::{Input, MachineCore};
use crate::shell::MachineShell;
use crate::{metrics, queries, wire};

/// Requests that are answered at once; more wait on the bus.
const REQUESTS_MAX: usize = 1_024;

/// Answers on one verb until leadership ends.
pub(crate) async fn listen(shell: Arc<MachineShell>, mut endpoint: Endpoint, handle: Handle<MachineCore>, lead: Lead) {
    let places = Arc::new(Semaphore::new(REQUESTS_MAX));
    while let Some(request) = endpoint.next().await {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (shell, handle, lead) = (shell.clone(), handle.clone(), lead.clone());
        tokio::spawn(async move {
            answer(&shell, request, &handle, &lead).await;
            drop(place);
        });
    }
}

async fn answer(shell: &MachineShell, mut request: Request, handle: &Handle<MachineCore>, lead: &Lead) {
    let envelope = std::mem::replace(&mut request.envelope, Ok(v1::Envelope::default()));
    let answered = match envelope {
        Ok(envelope) => decide(shell, envelope, handle, lead).await,
        Err(error) => Err(undecodable(&error)),
    };
    if lead.ended.is_cancelled() {
        return;
    }
    metrics::command(answered.is_ok());
    match answered {
        Ok((reply, authority)) => request.answer(Body::MachineReply(reply), authority).await,
        Err(refusal) => request.refuse(&refusal).await,
    }
}

async fn decide(
    shell: &MachineShell,
    envelope: v1::Envelope,
    handle: &Handle<MachineCore>,
    lead: &Lead,
) -> Result<(v1::MachineReply, Authority), Refusal> {
    let id = muster_proto::command_id(&envelope);
    let actor = envelope.actor.clone();
    match muster_bus::body(envelope).map_err(undecodable)? {
        Body::MachineCommand(command) => {
            let id = id.map_err(|error| undecodable(&error.to_string()))?;
            if actor.is_empty() {
                return Err(undecodable("it does not say on whose behalf it is given"));
            }
            let command = wire::command_from_wire(command)?;
            let answer = handle.command(id, actor, Input::Command(command)).await?;
            let reply = v1::MachineReply::decode(answer.reply).map_err(|error| undecodable(&error.to_string()))?;
            Ok((reply, Authority { position: answer.position, term: answer.term, ..Authority::default() }))
        }
        Body::MachineQuery(query) => {
            let query = queries::query_from_wire(query)?;
            let (instance, term) = (shell.instance.clone(), lead.term);
            let (kind, position) =
                handle.query(move |view| (queries::answer(&query, &view, &instance, term), view.now.position)).await?;
            Ok((v1::MachineReply { kind: Some(kind) }, Authority { position, term, ..Authority::default() }))
        }
        _ => Err(undecodable("it is neither a machine command nor a machine query")),
    }
}

fn undecodable(why: &str) -> Refusal {
    metrics::invalid();
    let next = "use a `muster` of the same version as the service";
    Refusal::new(RefusalCode::Invalid, "take a request to machine-lifecycle", why, next)
}
