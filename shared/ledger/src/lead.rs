//! One leadership, from the lease to its end: read to the end of the log, append `LeaderStarted`, then serve.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use muster_bus::subjects;
use muster_model::Position;
use muster_proto::v1;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::append::{Appended, Message, Until, append};
use crate::archive::{self, Compared};
use crate::chain;
use crate::effects::Effects;
use crate::fold::Taken;
use crate::follow::{self, LazyPositions};
use crate::leader::{Ended, Leader, Watched};
use crate::lease::Lease;
use crate::load::{self, LoadError, Loaded};
use crate::log::{Log, RETRY_DELAY};
use crate::projection::Projector;
use crate::run::Context;
use crate::snapshot::Snapshots;
use crate::{Core, Handle, Lead, LedgerError, Shell, metrics, replica};

/// What serves the verbs may take so long to end.
const SHELL_END_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the fill of the store is looked at.
const STORE_CHECK_EVERY: Duration = Duration::from_secs(1);
/// An archive that was away is asked again after so long, then after twice that, and so on:
const ARCHIVE_RETRY_FIRST: Duration = Duration::from_secs(1);
/// at last so often.
const ARCHIVE_RETRY_EVERY: Duration = Duration::from_secs(30);

/// Leads, once the log agrees, until leadership ends.
///
/// # Errors
/// When the log proves to be damaged.
pub(crate) async fn lead<C: Core, S: Shell<C>>(
    context: &Arc<Context<C>>,
    mut loaded: Loaded<C>,
    lease: Lease,
    shell: &Arc<S>,
    stop: &CancellationToken,
    is_compared: bool,
) -> Result<Ended, LedgerError> {
    let lease = Arc::new(lease);
    // Everything that belongs to this leadership ends when this set is dropped, also when this future is.
    let mut tasks = JoinSet::new();
    let keeper = lease.clone();
    tasks.spawn(async move { keeper.keep().await });
    tasks.spawn(answer_probes(context.clone()));
    if start(context, &mut loaded, &lease, &**shell).await? == Appended::Lost {
        return Ok(Ended::Lost);
    }
    context.bus.clock().raise_floor(loaded.fold.head.time);
    let ended = CancellationToken::new();
    let _ends = ended.clone().drop_guard();
    let (handle, intake) = Handle::new(context.options.service);
    let (alarm, mut alarms) = mpsc::channel(1);
    let watched = Arc::new(Watched::default());
    tasks.spawn(watch_store(context.log.clone(), watched.clone()));
    if !is_compared {
        tasks.spawn(compare_later(context.log.clone(), loaded.fold.head.position, alarm));
    }
    for (index, source) in context.options.sources.iter().enumerate() {
        let followed = loaded.fold.followed.get(source.stream).copied().unwrap_or_default();
        tasks.spawn(follow::read(context.clone(), index, followed, handle.clone()));
    }
    tasks.spawn(replica::answer_leading(context.clone(), handle.clone()));
    let lead = Lead { term: loaded.fold.head.term, ended: ended.clone(), lease: lease.clone() };
    let mut serving = JoinSet::new();
    serving.spawn(shell.clone().lead(handle.clone(), lead));
    let mut leader = Leader {
        effects: Effects::new(shell.clone(), handle, lease.clone(), ended.clone()),
        projector: Projector::start(context, &loaded.fold, &mut tasks),
        snapshots: Snapshots::new(loaded.snapshot, context.options.snapshot_every),
        context: context.clone(),
        lease: lease.clone(),
        observed: C::Observed::default(),
        fold: loaded.fold,
        intake,
        waiting: VecDeque::new(),
        lazy: LazyPositions::default(),
        watched,
        stop: stop.clone(),
    };
    note_start(context, &leader.fold.head);
    let result = tokio::select! {
        biased;
        () = lease.lost() => Ok(Ended::Lost),
        Some(error) = alarms.recv() => Err(error),
        result = leader.run() => result,
        _ = serving.join_next() => {
            tracing::error!(log = context.log.name, "what serves the verbs ended by itself: leadership is given up");
            Ok(Ended::Lost)
        }
    };
    ended.cancel();
    drop(leader);
    if tokio::time::timeout(SHELL_END_TIMEOUT, serving.join_next()).await.is_err() {
        tracing::warn!(log = context.log.name, "what served the verbs did not end: it is ended");
    }
    ::metrics::gauge!(metrics::LEADING, "log" => context.log.name).set(0.0);
    if matches!(result, Ok(Ended::Stopped)) {
        lease.release().await;
    }
    result
}

fn note_start<C: Core>(context: &Context<C>, head: &crate::fold::Head) {
    ::metrics::counter!(metrics::LEADER_CHANGES, "log" => context.log.name).increment(1);
    ::metrics::gauge!(metrics::LEADING, "log" => context.log.name).set(1.0);
    tracing::info!(log = context.log.name, term = head.term.0, position = %head.position, "leading");
}

/// Reads to the end and appends `LeaderStarted`; again when somebody else was quicker, for as long as the lease holds. Lost, too, when
/// the log was shortened beyond what was folded, or rebuilt: it has to be loaded again.
async fn start<C: Core, S: Shell<C>>(
    context: &Context<C>,
    loaded: &mut Loaded<C>,
    lease: &Lease,
    shell: &S,
) -> Result<Appended, LedgerError> {
    while lease.is_valid() {
        lease.turned();
        match read_to_end(&context.log, loaded).await {
            Ok(Taken::Gap) => return Ok(Appended::Lost),
            Ok(Taken::Applied | Taken::Old) => {}
            Err(LoadError::Ledger(error)) => return Err(error),
            Err(LoadError::Bus(error)) => {
                let next = loaded.fold.head.position.sequence.0 + 1;
                if let Some(reason) = missing(&context.log, next).await {
                    return Err(LedgerError::damaged(context.log.name, reason));
                }
                tracing::warn!(log = context.log.name, %error, "reading to the end of the log failed, trying again");
                // What was read and not folded is read again.
                loaded.reader = context.bus.read(context.log.name, "", next);
                tokio::time::sleep(RETRY_DELAY).await;
                continue;
            }
        }
        lease.turned();
        shell.prepare(&loaded.fold.state, loaded.fold.head.time).await;
        let blank = chain::blank(&context.bus);
        let sealed = loaded.fold.seal_leader(&context.options.instance, context.bus.now(), &blank);
        let message = Message { kind: "leader", expected: sealed.expected, payload: sealed.payload.clone() };
        if append(&context.log, Until::LeaseEnds(lease), &message).await? == Appended::Landed {
            let taken = loaded.fold.take(sealed.expected + 1, &sealed.payload);
            taken.map_err(|reason| LedgerError::damaged(context.log.name, reason))?;
            return Ok(Appended::Landed);
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
    Ok(Appended::Lost)
}

/// Why a message will never come: the server says that the log goes beyond it, and does not have it.
async fn missing(log: &Log, sequence: u64) -> Option<String> {
    let is_absent = matches!(log.message(sequence).await, Ok(None));
    let ends = log.ends().await.ok().flatten()?;
    let is_within = (ends.first..=ends.last).contains(&sequence);
    (is_absent && is_within).then(|| format!("message {sequence} is not there, and it ends at {}", ends.last))
}

async fn read_to_end<C: Core>(log: &Log, loaded: &mut Loaded<C>) -> Result<Taken, LoadError> {
    let last = log.ends().await?.map_or(0, |ends| ends.last);
    if last < loaded.fold.head.position.sequence.0 {
        let reason = format!("it ends at message {last}, and {} was read", loaded.fold.head.position);
        return Err(LedgerError::damaged(log.name, reason).into());
    }
    load::catch_up(log, &mut loaded.fold, &mut loaded.reader, last).await
}

/// Says that somebody leads. A follower that reaches nobody here three times takes the lease.
async fn answer_probes<C: Core>(context: Arc<Context<C>>) {
    let subject = subjects::leader(context.options.service);
    loop {
        let Ok(mut probes) = context.bus.subscribe(&subject, None).await else {
            tokio::time::sleep(RETRY_DELAY).await;
            continue;
        };
        while let Some(probe) = probes.next().await {
            let Some(reply) = probe.reply else { continue };
            let envelope = v1::Envelope { source: context.options.instance.clone(), ..Default::default() };
            if let Err(error) = context.bus.publish(&reply, &envelope).await {
                tracing::debug!(%error, "a probe was not answered");
            }
        }
    }
}

async fn watch_store(log: Log, watched: Arc<Watched>) {
    loop {
        if let Ok(Some(ends)) = log.ends().await {
            let was = watched.is_nearly_full.swap(ends.is_nearly_full, Ordering::Relaxed);
            if ends.is_nearly_full && !was {
                tracing::error!(log = log.name, "the log's store is 90 % full: only stops and releases are taken");
            }
        }
        tokio::time::sleep(STORE_CHECK_EVERY).await;
    }
}

/// Compares with an archive that was away at the start, or held nothing to compare with, once it can be.
async fn compare_later(log: Log, at: Position, alarm: mpsc::Sender<LedgerError>) {
    let mut delay = ARCHIVE_RETRY_FIRST;
    loop {
        match archive::compare(&log, at).await {
            Ok(Compared::Agrees) => {
                tracing::info!(log = log.name, "the log agrees with its archive");
                return;
            }
            Ok(Compared::Nothing(_) | Compared::Later(_)) => {
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(ARCHIVE_RETRY_EVERY);
            }
            Err(error) => {
                drop(alarm.send(error).await);
                return;
            }
        }
    }
}
