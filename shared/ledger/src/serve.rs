//! Answering requests while leading: commands through the log, queries from acknowledged state.
//!
//! Responsible for the way from a request to its answer, which is the same in every owning service. Not for what is asked and said:
//! a service tells that by [`Requests`].

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use muster_bus::subjects::Service;
use muster_bus::{Authority, Endpoint, Reply, Request, Sender};
use muster_model::text::hex;
use muster_model::{CommandId, PoolTime, Refusal};
use muster_proto::v1::{Envelope, FollowedStatus, ServiceStatus, envelope::Body};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::unconstrained;

use crate::past::{self, Past};
use crate::{Answer, By, Core, Handle, Lead, View};

/// Queries that are answered at once on one verb; more wait on the bus.
const QUERIES_MAX: usize = 1_024;
/// Answers to commands that wait for the connection: more than the ledger decides in two turns.
const ANSWERS_MAX: usize = 65_536;

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
///
/// Commands come by the thousand: they get no task each, but wait in the ledger's queue, and are answered in order by one task.
pub(crate) async fn serve<C: Core, R: Requests<C>>(
    requests: Arc<R>,
    mut endpoint: Endpoint,
    handle: Handle<C>,
    lead: Lead,
    past: Arc<Past<C>>,
) {
    let (decided, mut answers) = mpsc::channel(ANSWERS_MAX);
    let teller = Teller { requests, lead, core: PhantomData };
    let queries = Arc::new(Semaphore::new(QUERIES_MAX));
    let taker = Taker { teller: teller.clone(), handle, decided, queries, past };
    let telling = async move {
        while let Some((reply, answered)) = answers.recv().await {
            teller.tell_decided(reply, answered).await;
        }
    };
    let taking = async move {
        while let Some(request) = endpoint.next().await {
            taker.take(request).await;
        }
    };
    // The budget of a task would end a burst in its middle. Both end their turn when nothing waits, or the queue is full.
    tokio::join!(unconstrained(taking), unconstrained(telling));
}

/// Takes requests.
struct Taker<C: Core, R> {
    teller: Teller<C, R>,
    handle: Handle<C>,
    decided: mpsc::Sender<(Reply, Result<Answer, Refusal>)>,
    queries: Arc<Semaphore>,
    past: Arc<Past<C>>,
}

/// Tells answers.
struct Teller<C, R> {
    requests: Arc<R>,
    lead: Lead,
    core: PhantomData<fn() -> C>,
}

/// A request that was understood.
enum Understood<I, Q> {
    Command { id: CommandId, by: By, input: I },
    Query(Q),
    Answered(Box<Body>),
}

impl<C: Core, R: Requests<C>> Taker<C, R> {
    async fn take(&self, request: Request) {
        let (envelope, sender, reply) = request.split();
        let moment = envelope.as_ref().ok().and_then(past::moment_of);
        match self.understand(envelope, &sender) {
            Ok(Understood::Command { id, by, input }) => {
                let decided = self.decided.clone();
                // An answer that finds no place is lost like one on the wire: a retry is answered from the memory.
                let then = move |answered| drop(decided.try_send((reply, answered)));
                // It is refused when leadership is over: then nothing may be answered.
                drop(self.handle.give(id, by, input, then).await);
            }
            Ok(Understood::Query(query)) => self.look(query, moment, reply).await,
            Ok(Understood::Answered(body)) => {
                let authority = Authority { term: self.teller.lead.term, ..Authority::default() };
                self.teller.tell(reply, Ok((*body, authority))).await;
            }
            Err(refusal) => self.teller.tell(reply, Err(refusal)).await,
        }
    }

    fn understand(
        &self,
        envelope: Result<Envelope, String>,
        sender: &Sender,
    ) -> Result<Understood<C::Input, R::Query>, Refusal> {
        let requests = &self.teller.requests;
        let mut envelope = envelope.map_err(|error| requests.unreadable(&error))?;
        let id = muster_proto::command_id(&envelope);
        let actor = std::mem::take(&mut envelope.actor);
        let body = muster_bus::body(envelope).map_err(|why| requests.unreadable(why))?;
        match requests.open(body)? {
            Asked::Command(command) => {
                let id = id.map_err(|error| requests.unreadable(&error.to_string()))?;
                if actor.is_empty() {
                    return Err(requests.unreadable("it does not say on whose behalf it is given"));
                }
                let input = requests.input(id, &actor, command)?;
                Ok(Understood::Command { id, by: By { actor, sender: sender.as_logged() }, input })
            }
            Asked::Query(query) => Ok(Understood::Query(query)),
            Asked::Answered(body) => Ok(Understood::Answered(body)),
        }
    }

    /// A query waits in a task of its own.
    async fn look(&self, query: R::Query, moment: Option<PoolTime>, reply: Reply) {
        let Ok(place) = self.queries.clone().acquire_owned().await else { return };
        let (teller, handle, past) = (self.teller.clone(), self.handle.clone(), self.past.clone());
        tokio::spawn(async move {
            let looking = teller.requests.clone();
            let looked = match moment {
                Some(at) => past.look(&handle, &*looking, query, at).await,
                None => {
                    let looked = handle.query(move |view| (looking.look(&view, &query), view.now.position)).await;
                    looked.and_then(|(body, position)| Ok((body?, position)))
                }
            };
            let authority = |position| Authority { position, term: teller.lead.term, ..Authority::default() };
            let answered = looked.map(|(body, position)| (body, authority(position)));
            teller.tell(reply, answered).await;
            drop(place);
        });
    }
}

impl<C: Core, R: Requests<C>> Teller<C, R> {
    async fn tell_decided(&self, reply: Reply, answered: Result<Answer, Refusal>) {
        let answered = answered.and_then(|answer| {
            let body = self.requests.reply(answer.reply);
            let body = body.map_err(|error| self.requests.unreadable(&error.to_string()))?;
            Ok((body, Authority { position: answer.position, term: answer.term, ..Authority::default() }))
        });
        self.tell(reply, answered).await;
    }

    async fn tell(&self, reply: Reply, answered: Result<(Body, Authority), Refusal>) {
        if !self.lead.holds() {
            return;
        }
        self.requests.count(answered.is_ok());
        match answered {
            Ok((body, authority)) => reply.answer(body, authority).await,
            Err(refusal) => {
                tracing::debug!(%refusal, "a request was refused");
                reply.refuse(&refusal).await;
            }
        }
    }
}

impl<C, R> Clone for Teller<C, R> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone(), lead: self.lead.clone(), core: PhantomData }
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
            state_hash: hex(&self.state_hash()),
            followed: followed.collect(),
            system: uuid::Uuid::from_bytes(self.system.0).to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            leads: true,
        }
    }
}
