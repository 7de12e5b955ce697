//! What a leader listens to: its requests, and what else its service hears. All of it begins and ends together.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use muster_bus::{Authority, Bus, BusError, Inbound, Served, each, question, subjects};
use muster_proto::v1::envelope::Body;
use tokio::task::JoinSet;

use crate::check;
use crate::past::Past;
use crate::serve::serve;
use crate::{Core, Handle, Lead, Requests};

/// The verbs that only a leader answers.
const VERBS: [&str; 2] = ["command", "query"];
/// The verb by which a full pass is asked for.
const CHECK: &str = "check";
/// How long to wait before listening is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The listeners of a leader.
#[derive(Debug)]
pub struct Listening {
    tasks: JoinSet<()>,
    served: Served,
}

impl Listening {
    /// Begins to answer requests.
    ///
    /// # Errors
    /// When the connection is gone for good.
    pub async fn begin<C: Core, R: Requests<C>>(
        bus: &Bus,
        requests: &Arc<R>,
        handle: &Handle<C>,
        lead: &Lead,
    ) -> Result<Self, BusError> {
        // A queue group of its own: the default group would keep feeding a leader that was stopped.
        let queue = format!("{}-{}", R::SERVICE.as_str(), lead.term);
        let mut served = bus.serve(R::SERVICE, &queue, &[VERBS[0], VERBS[1], CHECK]).await?;
        let mut tasks = JoinSet::new();
        let past = Arc::new(Past::of::<R>(bus));
        let checks = served.endpoints.pop();
        tasks.spawn(check::serve(checks, handle.clone(), lead.clone()));
        for endpoint in served.endpoints.drain(..) {
            tasks.spawn(serve(requests.clone(), endpoint, handle.clone(), lead.clone(), past.clone()));
        }
        Ok(Self { tasks, served })
    }

    /// Runs another listener beside.
    pub fn spawn(&mut self, listener: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(listener);
    }

    /// Listens until leadership ends, or one of the listeners does; then all end.
    pub async fn until_ended(mut self, lead: &Lead) {
        tokio::select! {
            () = lead.ended.cancelled() => {}
            _ = self.tasks.join_next() => {}
        }
        self.tasks.shutdown().await;
        self.served.stop().await;
    }
}

/// Listens, and listens again whenever that ends, for as long as leadership lasts.
pub async fn listen_while_leading<F>(lead: &Lead, listen: impl Fn() -> F)
where
    F: Future<Output = Result<(), BusError>>,
{
    while !lead.ended.is_cancelled() {
        if let Err(error) = listen().await {
            tracing::warn!(%error, "listening failed, trying again");
        }
        tokio::select! {
            () = lead.ended.cancelled() => {}
            () = tokio::time::sleep(RETRY_DELAY) => {}
        }
    }
}

/// Answers each message of an agent that is heard, at most `most` at once, as the answer to that message alone. None is silence; so is every answer after leadership ended, so that
/// the one who leads then can answer.
pub async fn answer_each<F>(
    bus: &Bus,
    heard: impl Stream<Item = Inbound> + Unpin,
    most: usize,
    lead: &Lead,
    answer: impl Fn(Inbound) -> F,
) where
    F: Future<Output = Option<(Body, Authority)>> + Send + 'static,
{
    each(heard, most, |inbound| {
        let (bus, lead, reply) = (bus.clone(), lead.clone(), inbound.reply.clone());
        let machine = subjects::machine_of(&inbound.subject);
        let answered = inbound.envelope.as_ref().ok().and_then(question);
        let answering = answer(inbound);
        async move {
            let (Some((body, authority)), Some(reply), Some(machine)) = (answering.await, reply, machine) else {
                return;
            };
            if lead.holds() {
                bus.answer_agent(&machine, &reply, body, Authority { command: answered, ..authority }).await;
            }
        }
    })
    .await;
}
