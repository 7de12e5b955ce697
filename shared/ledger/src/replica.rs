//! What each replica says of itself, leader or not: so a standby's state can be compared with the leader's.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use muster_bus::{Authority, BusError, Inbound, subjects};
use muster_proto::v1::{ServiceStatus, envelope::Body};

use crate::fold::Fold;
use crate::log::RETRY_DELAY;
use crate::run::Context;
use crate::{Core, Handle, Now, View};

/// Hears who asks all replicas.
///
/// # Errors
/// When the connection is gone for good.
pub(crate) async fn listen<C: Core>(
    context: &Context<C>,
) -> Result<impl Stream<Item = Inbound> + Send + Unpin + use<C>, BusError> {
    context.bus.subscribe(&subjects::replicas(context.options.service), None).await
}

/// Answers for the leader, until this is dropped.
pub(crate) async fn answer_leading<C: Core>(context: Arc<Context<C>>, handle: Handle<C>) {
    loop {
        if let Ok(mut asks) = listen(&context).await {
            while let Some(ask) = asks.next().await {
                let instance = context.options.instance.clone();
                if let Ok(status) = handle.query(move |view| view.status(&instance)).await {
                    answer(&context, ask, status).await;
                }
            }
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// Answers for a standby, from what it has folded.
pub(crate) async fn answer_following<C: Core>(context: &Context<C>, fold: &Fold<C>, ask: Inbound) {
    let head = fold.head;
    let observed = C::Observed::default();
    let now = Now { time: head.time, position: head.position, term: head.term };
    let view =
        View::<C> { state: &fold.state, observed: &observed, now, followed: &fold.followed, system: fold.system };
    let status = ServiceStatus { leads: false, ..view.status(&context.options.instance) };
    answer(context, ask, status).await;
}

async fn answer<C: Core>(context: &Context<C>, ask: Inbound, status: ServiceStatus) {
    if let Some(reply) = ask.reply {
        context.bus.answer(&reply, Body::ReplicaStatus(status), Authority::default()).await;
    }
}
