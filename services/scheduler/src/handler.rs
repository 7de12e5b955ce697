//! Requests of people and services, and their answers. Only the leader answers.

use std::sync::Arc;

use muster_bus::{Authority, Endpoint, Request};
use muster_ledger::{Handle, Lead};
use muster_model::{Refusal, RefusalCode};
use muster_proto::v1::{self, envelope::Body, job_query, job_reply};
use prost::Message;
use tokio::sync::Semaphore;

use crate::core::JobCore;
use crate::shell::JobShell;
use crate::{metrics, queries, wire};

/// Requests that are answered at once; more wait on the bus.
const REQUESTS_MAX: usize = 1_024;

/// Answers on one verb until leadership ends.
pub(crate) async fn listen(shell: Arc<JobShell>, mut endpoint: Endpoint, handle: Handle<JobCore>, lead: Lead) {
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

async fn answer(shell: &JobShell, mut request: Request, handle: &Handle<JobCore>, lead: &Lead) {
    let envelope = std::mem::replace(&mut request.envelope, Ok(v1::Envelope::default()));
    let answered = match envelope {
        Ok(envelope) => take(shell, envelope, handle, lead).await,
        Err(error) => Err(undecodable(&error)),
    };
    if lead.ended.is_cancelled() {
        return;
    }
    metrics::request(answered.is_ok());
    match answered {
        Ok((reply, authority)) => request.answer(Body::JobReply(reply), authority).await,
        Err(refusal) => request.refuse(&refusal).await,
    }
}

async fn take(
    shell: &JobShell,
    envelope: v1::Envelope,
    handle: &Handle<JobCore>,
    lead: &Lead,
) -> Result<(v1::JobReply, Authority), Refusal> {
    let id = muster_proto::command_id(&envelope);
    let actor = envelope.actor.clone();
    match muster_bus::body(envelope).map_err(undecodable)? {
        Body::JobCommand(command) => {
            let id = id.map_err(|error| undecodable(&error.to_string()))?;
            if actor.is_empty() {
                return Err(undecodable("it does not say on whose behalf it is given"));
            }
            let input = wire::requests::command(id, &actor, command)?;
            let answer = handle.command(id, actor, input).await?;
            let reply = v1::JobReply::decode(answer.reply).map_err(|error| undecodable(&error.to_string()))?;
            Ok((reply, Authority { position: answer.position, term: answer.term, ..Authority::default() }))
        }
        Body::JobQuery(query) => {
            let kind = query.kind.ok_or_else(|| wire::requests::unknown("query"))?;
            let (kind, position) = ask(shell, kind, handle, lead).await?;
            Ok((v1::JobReply { kind: Some(kind) }, Authority { position, term: lead.term, ..Authority::default() }))
        }
        _ => Err(undecodable("it is neither a job command nor a job query")),
    }
}

/// Answers a query from the state; the pool time alone without a turn, so that it is fresh.
async fn ask(
    shell: &JobShell,
    query: job_query::Kind,
    handle: &Handle<JobCore>,
    lead: &Lead,
) -> Result<(job_reply::Kind, muster_model::Position), Refusal> {
    if matches!(query, job_query::Kind::Clock(_)) {
        let clock = v1::ClockReply { pool_time_ns: shell.bus.now().0 };
        return Ok((job_reply::Kind::Clock(clock), muster_model::Position::default()));
    }
    let (instance, term) = (shell.instance.clone(), lead.term);
    let answered = handle.query(move |view| (queries::answer(&query, &view, &instance, term), view.now.position));
    let (answer, position) = answered.await?;
    Ok((answer?, position))
}

fn undecodable(why: &str) -> Refusal {
    metrics::invalid();
    let next = "use a `muster` of the same version as the scheduler";
    Refusal::new(RefusalCode::Invalid, "take a request to the scheduler", why, next)
}
