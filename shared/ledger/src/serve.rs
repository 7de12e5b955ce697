//! Answering requests while leading: commands through the log, queries from acknowledged state.
//!
//! Responsible for the way from a request to its answer, which is the same in every owning service. Not for what is asked and said:
//! a service tells that by [`Requests`].

use std::sync::Arc;

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Endpoint, Request, each};
use muster_model::{CommandId, Refusal, Term};
use muster_proto::v1::{Envelope, FollowedStatus, ServiceStatus, envelope::Body};

use crate::{Core, Handle, Lead, View};

/// Requests that are answered at once on one verb; more wait on the bus.
const REQUESTS_MAX: usize = 1_024;

/// What a request asks for.
#[derive(Debug)]
pub enum Asked<C, Q> {
    /// To decide something.
    Command(C),
    /// To look at the state.
    Query(Q),
    /// What needs no turn, with its answer.
    Answered(Box<Body>),
}

/// What a service is asked, and how it says its answers.
pub trait Requests<C: Core>: Send + Sync + 'static {
    /// A command as it came.
    type Command: Send;
    /// A query that was understood.
    type Query: Send + 'static;

    /// The service.
    const SERVICE: Service;

    /// What a request asks for.
    ///
    /// # Errors
    /// The refusal of what is no request to this service.
    fn open(&self, body: Body) -> Result<Asked<Self::Command, Self::Query>, Refusal>;

    /// The input that a command is.
    ///
    /// # Errors
    /// The refusal of what can not be understood.
    fn input(&self, id: CommandId, actor: &str, command: Self::Command) -> Result<C::Input, Refusal>;

    /// Answers a query.
    ///
    /// # Errors
    /// The refusal for its sender.
    fn look(&self, view: &View<'_, C>, query: &Self::Query) -> Result<Body, Refusal>;

    /// Says a reply that [`Core::encode_reply`] encoded.
    ///
    /// # Errors
    /// When something newer encoded it.
    fn reply(&self, reply: Bytes) -> Result<Body, prost::DecodeError>;

    /// The refusal of what can not be read.
    fn unreadable(&self, why: &str) -> Refusal;

    /// Counts a request that was answered, or refused.
    fn count(&self, answered: bool);
}

/// Answers on one verb until it is taken off the bus.
pub(crate) async fn serve<C: Core, R: Requests<C>>(
    requests: Arc<R>,
    endpoint: Endpoint,
    handle: Handle<C>,
    lead: Lead,
) {
    each(endpoint, REQUESTS_MAX, |request| answer(requests.clone(), request, handle.clone(), lead.clone())).await;
}

async fn answer<C: Core, R: Requests<C>>(requests: Arc<R>, mut request: Request, handle: Handle<C>, lead: Lead) {
    let envelope = std::mem::replace(&mut request.envelope, Ok(Envelope::default()));
    let answered = match envelope {
        Ok(envelope) => take(&requests, envelope, &handle, lead.term).await,
        Err(error) => Err(requests.unreadable(&error)),
    };
    if lead.ended.is_cancelled() {
        return;
    }
    requests.count(answered.is_ok());
    match answered {
        Ok((body, authority)) => request.answer(body, authority).await,
        Err(refusal) => {
            tracing::debug!(%refusal, "a request was refused");
            request.refuse(&refusal).await;
        }
    }
}

async fn take<C: Core, R: Requests<C>>(
    requests: &Arc<R>,
    envelope: Envelope,
    handle: &Handle<C>,
    term: Term,
) -> Result<(Body, Authority), Refusal> {
    let id = muster_proto::command_id(&envelope);
    let actor = envelope.actor.clone();
    let body = muster_bus::body(envelope).map_err(|why| requests.unreadable(why))?;
    match requests.open(body)? {
        Asked::Command(command) => {
            let id = id.map_err(|error| requests.unreadable(&error.to_string()))?;
            if actor.is_empty() {
                return Err(requests.unreadable("it does not say on whose behalf it is given"));
            }
            let input = requests.input(id, &actor, command)?;
            let answer = handle.command(id, actor, input).await?;
            let body = requests.reply(answer.reply).map_err(|error| requests.unreadable(&error.to_string()))?;
            Ok((body, Authority { position: answer.position, term: answer.term, ..Authority::default() }))
        }
        Asked::Query(query) => {
            let looking = requests.clone();
            let looked = handle.query(move |view| (looking.look(&view, &query), view.now.position));
            let (body, position) = looked.await?;
            Ok((body?, Authority { position, term, ..Authority::default() }))
        }
        Asked::Answered(body) => Ok((*body, Authority { term, ..Authority::default() })),
    }
}

impl<C: Core> View<'_, C> {
    /// The status of the service, told by an instance that leads.
    #[must_use]
    pub fn status(&self, instance: &str) -> ServiceStatus {
        let followed = self
            .followed
            .iter()
            .map(|(stream, position)| FollowedStatus { stream: stream.clone(), position: Some((*position).into()) });
        ServiceStatus {
            instance: instance.to_owned(),
            term: self.now.term.0,
            position: Some(self.now.position.into()),
            state_hash: self.state_hash().iter().map(|byte| format!("{byte:02x}")).collect(),
            followed: followed.collect(),
            system: uuid::Uuid::from_bytes(self.system.0).to_string(),
        }
    }
}
