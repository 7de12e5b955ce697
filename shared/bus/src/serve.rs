//! Answering requests: services of the NATS micro API, so that `nats micro ls` shows them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use muster_model::Refusal;
use muster_proto::v1::{Envelope, envelope::Body};
use prost::Message;
use tokio::task::JoinSet;

use crate::intake::{InHand, Intake};
use crate::{Authority, Bus, BusError, Sender, subjects};

/// A service that answers as long as this is held; [`Served::stop`] takes it off the bus.
#[derive(Debug)]
pub struct Served {
    service: async_nats::service::Service,
    /// Requests, one stream per verb, in the order of the verbs that were asked for.
    pub endpoints: Vec<Endpoint>,
}

/// Requests on one verb.
pub struct Endpoint {
    intake: Arc<Intake>,
    /// Ends with this.
    _taking: JoinSet<()>,
    /// Shared: a clone of a client costs an allocation, and requests come by the thousand.
    bus: Arc<Bus>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

/// One request, to be answered exactly once.
#[derive(Debug)]
pub struct Request {
    /// What was asked, or why it can not be decoded.
    pub envelope: Result<Envelope, String>,
    /// Who sent it, as far as the bus can tell. In whose name the envelope says that it is given was held against that.
    pub sender: Sender,
    reply: Reply,
}

/// What is left of a request whose envelope was taken out of it: the duty to answer.
#[derive(Debug)]
pub struct Reply {
    inner: async_nats::service::Request,
    bus: Arc<Bus>,
    _in_hand: InHand,
}

impl Bus {
    /// Answers on `muster.v1.svc.<service>.<verb>` for each verb, where the bus knows identities on that of each of them alone. Each waits
    /// in a line of its own, and is refused beyond its rate. `queue` is the queue group; a leader uses one of its own, so that
    /// a stopped leader is not fed.
    ///
    /// # Errors
    /// When the connection is gone for good.
    pub async fn serve(&self, service: subjects::Service, queue: &str, verbs: &[&str]) -> Result<Served, BusError> {
        use async_nats::service::ServiceExt;
        let failed = |error: async_nats::Error| BusError::failed(format!("serve {}", service.as_str()), error);
        // It lives as long as what is served.
        let front = if self.identity.is_some() { self.connect_beside().await? } else { self.clone() };
        let built = front.client().service_builder().queue_group(queue).description("Muster");
        let name = format!("muster-{}", service.as_str());
        let running = built.start(name, env!("CARGO_PKG_VERSION")).await.map_err(failed)?;
        let mut endpoints = Vec::new();
        let bus = Arc::new(self.clone());
        for verb in verbs {
            let builder = running.endpoint_builder().name(*verb);
            let (subject, has_identities) = (subjects::service(service, verb), self.identity.is_some());
            let intake = Arc::new(Intake::new(self.limits, &subject, has_identities));
            let heard = if has_identities { subjects::service_from_everybody(service, verb) } else { subject };
            let coming = builder.add(heard).await.map_err(failed)?;
            let mut taking = JoinSet::new();
            taking.spawn(intake.clone().run(coming, bus.clone()));
            endpoints.push(Endpoint { intake, _taking: taking, bus: bus.clone() });
        }
        // What is asked on other connections from here on is heard.
        if self.identity.is_some() {
            front.settled().await?;
        }
        Ok(Served { service: running, endpoints })
    }

    /// Refuses what was asked.
    pub(crate) async fn refuse(&self, asked: &async_nats::service::Request, refusal: &Refusal) {
        let answer = self.envelope(Body::Refusal(refusal.into()), Authority::default());
        self.respond(asked, answer.encode_to_vec().into()).await;
    }

    /// Answers on this connection, not on the one that it was asked on: what comes in there is no reason for what goes out to wait.
    async fn respond(&self, asked: &async_nats::service::Request, answer: Bytes) {
        let Some(reply) = asked.message.reply.clone() else { return };
        if let Err(error) = self.client().publish(reply, answer).await {
            tracing::debug!(%error, "an answer could not be sent");
        }
    }
}

impl Served {
    /// Takes the service off the bus.
    pub async fn stop(self) {
        if let Err(error) = self.service.stop().await {
            tracing::debug!(%error, "stopping a service failed: its connection is gone");
        }
    }
}

impl Endpoint {
    /// The next request; none when the service is stopped.
    pub async fn next(&mut self) -> Option<Request> {
        StreamExt::next(self).await
    }
}

impl Stream for Endpoint {
    type Item = Request;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Request>> {
        loop {
            let next = std::task::ready!(self.intake.poll_next(context));
            let Some((inner, sender, in_hand)) = next else { return Poll::Ready(None) };
            let envelope = Envelope::decode(inner.message.payload.clone()).map_err(|error| error.to_string());
            let checked = envelope.as_ref().map_or(Ok(()), |envelope| sender.check(&envelope.actor));
            let reply = Reply { inner, bus: self.bus.clone(), _in_hand: in_hand };
            match checked {
                Ok(()) => return Poll::Ready(Some(Request { envelope, sender, reply })),
                Err(refusal) => {
                    tracing::warn!(%refusal, "somebody spoke in another's name");
                    // Not more of them at once than an identity may have in hand.
                    tokio::spawn(async move { reply.refuse(&refusal).await });
                }
            }
        }
    }
}

impl Request {
    /// Takes the envelope out, so that what waits for the answer is small.
    pub fn split(self) -> (Result<Envelope, String>, Sender, Reply) {
        (self.envelope, self.sender, self.reply)
    }

    /// Answers with a body.
    pub async fn answer(self, body: Body, authority: Authority) {
        self.reply.answer(body, authority).await;
    }

    /// Answers with an envelope that is encoded already.
    pub async fn answer_encoded(self, envelope: Bytes) {
        self.reply.answer_encoded(envelope).await;
    }

    /// Answers with a refusal.
    pub async fn refuse(self, refusal: &Refusal) {
        self.reply.refuse(refusal).await;
    }
}

impl Reply {
    /// Answers with a body.
    pub async fn answer(self, body: Body, authority: Authority) {
        let bytes = self.bus.envelope(body, authority).encode_to_vec();
        self.answer_encoded(bytes.into()).await;
    }

    /// Answers with an envelope that is encoded already.
    pub async fn answer_encoded(self, envelope: Bytes) {
        self.bus.respond(&self.inner, envelope).await;
    }

    /// Answers with a refusal.
    pub async fn refuse(self, refusal: &Refusal) {
        self.answer(Body::Refusal(refusal.into()), Authority::default()).await;
    }
}
