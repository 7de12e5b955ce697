//! Answering requests: services of the NATS micro API, so that `nats micro ls` shows them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use muster_model::Refusal;
use muster_proto::v1::{Envelope, envelope::Body};
use prost::Message;

use crate::request::is_stored;
use crate::{Authority, Bus, BusError, subjects};

/// A service that answers as long as this is held; [`Served::stop`] takes it off the bus.
#[derive(Debug)]
pub struct Served {
    service: async_nats::service::Service,
    /// Requests, one stream per verb, in the order of the verbs that were asked for.
    pub endpoints: Vec<Endpoint>,
}

/// Requests on one verb.
pub struct Endpoint {
    inner: async_nats::service::endpoint::Endpoint,
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
    /// Subject it came on.
    pub subject: String,
    inner: async_nats::service::Request,
    bus: Arc<Bus>,
}

/// What is left of a request whose envelope was taken out of it: the duty to answer.
#[derive(Debug)]
pub struct Reply {
    inner: async_nats::service::Request,
    bus: Arc<Bus>,
}

impl Bus {
    /// Answers on `muster.v1.svc.<service>.<verb>` for each verb. `queue` is the queue group; a leader uses one of its own, so that
    /// a stopped leader is not fed.
    ///
    /// # Errors
    /// When the connection is gone for good.
    pub async fn serve(&self, service: subjects::Service, queue: &str, verbs: &[&str]) -> Result<Served, BusError> {
        use async_nats::service::ServiceExt;
        let failed = |error: async_nats::Error| BusError::failed(format!("serve {}", service.as_str()), error);
        let built = self.client().service_builder().queue_group(queue).description("Muster");
        let name = format!("muster-{}", service.as_str());
        let running = built.start(name, env!("CARGO_PKG_VERSION")).await.map_err(failed)?;
        let mut endpoints = Vec::new();
        let bus = Arc::new(self.clone());
        for verb in verbs {
            let builder = running.endpoint_builder().name(*verb);
            let inner = builder.add(subjects::service(service, verb)).await.map_err(failed)?;
            endpoints.push(Endpoint { inner, bus: bus.clone() });
        }
        Ok(Served { service: running, endpoints })
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

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Request>> {
        loop {
            let Some(inner) = std::task::ready!(self.inner.poll_next_unpin(context)) else { return Poll::Ready(None) };
            if is_stored(&inner.message) {
                continue;
            }
            let envelope = Envelope::decode(inner.message.payload.clone()).map_err(|error| error.to_string());
            let subject = inner.message.subject.to_string();
            return Poll::Ready(Some(Request { envelope, subject, inner, bus: self.bus.clone() }));
        }
    }
}

impl Request {
    /// Takes the envelope out, so that what waits for the answer is small.
    pub fn split(self) -> (Result<Envelope, String>, Reply) {
        (self.envelope, Reply { inner: self.inner, bus: self.bus })
    }

    /// Answers with a body.
    pub async fn answer(self, body: Body, authority: Authority) {
        self.split().1.answer(body, authority).await;
    }

    /// Answers with an envelope that is encoded already.
    pub async fn answer_encoded(self, envelope: Bytes) {
        self.split().1.answer_encoded(envelope).await;
    }

    /// Answers with a refusal.
    pub async fn refuse(self, refusal: &Refusal) {
        self.split().1.refuse(refusal).await;
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
        if let Err(error) = self.inner.respond(Ok(envelope)).await {
            tracing::debug!(%error, "an answer could not be sent");
        }
    }

    /// Answers with a refusal.
    pub async fn refuse(self, refusal: &Refusal) {
        self.answer(Body::Refusal(refusal.into()), Authority::default()).await;
    }
}
