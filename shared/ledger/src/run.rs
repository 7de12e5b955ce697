//! A ledger's life: load, follow, lead when nobody does, and load again after leadership was lost.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use muster_bus::Bus;
use muster_model::Position;
use tokio_util::sync::CancellationToken;

use crate::archive::{self, Compared};
use crate::fold::Taken;
use crate::leader::Ended;
use crate::lease::{self, Lease};
use crate::load::{self, Loaded};
use crate::log::Log;
use crate::{Core, LedgerError, LedgerOptions, Shell, genesis, lead, metrics, replica};

/// How long an instance that lost leadership leaves the lease to others.
const STAND_BACK: Duration = Duration::from_millis(500);

/// What all parts of a running ledger share.
pub(crate) struct Context<C: Core> {
    /// The connection.
    pub(crate) bus: Bus,
    /// The log.
    pub(crate) log: Log,
    /// How it runs.
    pub(crate) options: LedgerOptions<C>,
}

/// How following ended.
enum Followed<C: Core> {
    Stopped,
    /// The log is not what was folded any more.
    Reload,
    /// The lease is ours.
    Lease(Box<(Loaded<C>, Lease)>),
}

/// Runs a ledger until `stop`: follows the log, leads when it can.
///
/// # Errors
/// [`LedgerError`]: the service is to stop with an alarm.
pub async fn run<C: Core, S: Shell<C>>(
    bus: Bus,
    options: LedgerOptions<C>,
    shell: Arc<S>,
    stop: CancellationToken,
) -> Result<(), LedgerError> {
    metrics::describe();
    let log = Log::of(&bus, options.service)?;
    let context = Arc::new(Context { bus, log, options });
    let ended = drive(&context, &shell, &stop).await;
    if let Err(error) = &ended {
        tracing::error!(log = context.log.name, %error, "the ledger can not go on");
    }
    ended
}

async fn drive<C: Core, S: Shell<C>>(
    context: &Arc<Context<C>>,
    shell: &Arc<S>,
    stop: &CancellationToken,
) -> Result<(), LedgerError> {
    let mut is_compared = false;
    loop {
        let Some(loaded) = load::load(&context.log, stop).await? else { return Ok(()) };
        if !is_compared {
            genesis::check_system(&context.log, loaded.fold.system).await?;
            is_compared = compare(context, loaded.fold.head.position).await?;
        }
        match follow(context, loaded, stop).await? {
            Followed::Stopped => return Ok(()),
            Followed::Reload => tracing::info!(log = context.log.name, "the log changed under us: loading it again"),
            Followed::Lease(leading) => {
                let (loaded, lease) = *leading;
                let ended = lead::lead(context, loaded, lease, shell, stop, is_compared).await?;
                if ended == Ended::Stopped {
                    return Ok(());
                }
                tracing::info!(log = context.log.name, "leadership lost: the state is discarded and folded again");
                tokio::time::sleep(STAND_BACK).await;
            }
        }
    }
}

async fn compare<C: Core>(context: &Context<C>, at: Position) -> Result<bool, LedgerError> {
    match archive::compare(&context.log, at).await? {
        Compared::Agrees => Ok(true),
        Compared::Nothing(reason) => {
            tracing::warn!(log = context.log.name, reason, "nothing of the archive to compare the log with: later");
            Ok(false)
        }
        Compared::Later(reason) => {
            tracing::warn!(log = context.log.name, reason, "the archive is away: the log is compared with it later");
            Ok(false)
        }
    }
}

async fn follow<C: Core>(
    context: &Context<C>,
    mut loaded: Loaded<C>,
    stop: &CancellationToken,
) -> Result<Followed<C>, LedgerError> {
    let candidate = lease::acquire(&context.bus, context.options.service, &context.options.instance);
    tokio::pin!(candidate);
    let mut asks = replica::listen(context).await?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(Followed::Stopped),
            lease = &mut candidate => return Ok(Followed::Lease(Box::new((loaded, lease)))),
            Some(ask) = asks.next() => replica::answer_following(context, &loaded.fold, ask).await,
            message = loaded.reader.next() => {
                let taken = loaded.fold.take(message.sequence, &message.payload);
                match taken.map_err(|reason| LedgerError::damaged(context.log.name, reason))? {
                    Taken::Applied | Taken::Old => {}
                    Taken::Gap => return Ok(Followed::Reload),
                }
            }
        }
    }
}
