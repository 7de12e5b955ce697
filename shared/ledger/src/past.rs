//! The state as it was at a moment of the past, for queries: the log is folded again up to there, from the log where it is whole, else
//! from its archive and what the log has beyond it.
//!
//! Responsible for finding and folding the messages. What was volatile then (heartbeats) is not in any log, and not answered. One fold
//! at a time, and the last two are kept, since a listing is asked for in pages and a comparison asks for two moments.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_bus::{Bus, BusError};
use muster_model::{PoolTime, Position, Refusal, RefusalCode};
use muster_proto::v1::{Envelope, envelope::Body};
use tokio::sync::Mutex;

use crate::archive;
use crate::chain;
use crate::fold::{Fold, Head};
use crate::log::Log;
use crate::{Core, Handle, Now, Requests, View, genesis};

/// Moments that are kept.
const KEPT_MAX: usize = 2;
/// The asker's clock may be ahead by so much: that is now.
const AHEAD_MAX: Duration = Duration::from_secs(5);
/// How long one fold may take: the asker waits.
const FOLD_MAX: Duration = Duration::from_secs(10);

/// Folds of the past.
pub(crate) struct Past<C: Core> {
    log: Option<Log>,
    /// Held while one is folded, so that many questions can not take the leader's memory and time.
    kept: Mutex<VecDeque<(PoolTime, Arc<Fold<C>>)>>,
}

/// Why there is no answer.
enum Missing {
    /// The log or its archive does not answer.
    Away(String),
    /// What is there can not be folded.
    Damaged(String),
}

impl From<BusError> for Missing {
    fn from(error: BusError) -> Self {
        Self::Away(error.to_string())
    }
}

impl<C: Core> Past<C> {
    pub(crate) fn of<R: Requests<C>>(bus: &Bus) -> Self {
        Self { log: Log::of(bus, R::SERVICE).ok(), kept: Mutex::new(VecDeque::new()) }
    }

    /// Answers a query from the state of a moment, and says where the log was then.
    pub(crate) async fn look<R: Requests<C>>(
        &self,
        handle: &Handle<C>,
        requests: &R,
        query: R::Query,
        at: PoolTime,
    ) -> Result<(Body, Position), Refusal> {
        let now = handle.query(|view| view.now).await?;
        if at > now.time + AHEAD_MAX {
            let next = "ask for a time that has passed, or leave it out";
            return Err(Refusal::new(RefusalCode::Invalid, "look at the past", "that time has not come", next));
        }
        let at = at.min(now.time);
        let fold = self.fold(now.position, at).await?;
        let Head { position, term, .. } = fold.head;
        let observed = C::Observed::default();
        let now = Now { time: at, position, term };
        let view = View { state: &fold.state, observed: &observed, now, followed: &fold.followed, system: fold.system };
        Ok((requests.look(&view, &query)?, position))
    }

    async fn fold(&self, end: Position, at: PoolTime) -> Result<Arc<Fold<C>>, Refusal> {
        let mut kept = self.kept.lock().await;
        if let Some((_, fold)) = kept.iter().find(|(time, _)| *time == at) {
            return Ok(fold.clone());
        }
        let Some(log) = &self.log else { return Err(refused(RefusalCode::Unavailable, "the service owns no log")) };
        let folded = tokio::time::timeout(FOLD_MAX, fold_until(log, end, at)).await;
        let folded = folded.map_err(|_| {
            let why = format!("the log is longer than can be folded within {FOLD_MAX:?}");
            Refusal::new(
                RefusalCode::Limit,
                "look at the past",
                why,
                "`muster events` and `muster report` tell of that time",
            )
        })?;
        let fold = Arc::new(folded.map_err(|missing| match missing {
            Missing::Away(why) => refused(RefusalCode::Unavailable, &why),
            Missing::Damaged(why) => refused(RefusalCode::NotFound, &why),
        })?);
        kept.push_back((at, fold.clone()));
        while kept.len() > KEPT_MAX {
            kept.pop_front();
        }
        Ok(fold)
    }
}

/// The moment that a query asks for; none for now.
pub(crate) fn moment_of(envelope: &Envelope) -> Option<PoolTime> {
    (envelope.asked_at_ns != 0).then_some(PoolTime(envelope.asked_at_ns))
}

fn refused(code: RefusalCode, why: &str) -> Refusal {
    Refusal::new(code, "look at the past", why, "`muster admin status` shows how the log and its archive are")
}

/// Folds the lineage of `end` up to the last message that was begun at or before a moment.
async fn fold_until<C: Core>(log: &Log, end: Position, at: PoolTime) -> Result<Fold<C>, Missing> {
    let mut course = Course { fold: None, at };
    let first = log.ends().await?.map_or(0, |ends| ends.first);
    let message = log.message(first).await?;
    let is_whole = message.as_ref().is_some_and(|payload| begins(payload, end));
    let mut goes_on = true;
    if !is_whole {
        goes_on = course.archived(log, end).await?;
    }
    let next = course.fold.as_ref().map_or(first, |fold| fold.head.position.sequence.0 + 1);
    if goes_on && next <= end.sequence.0 {
        let mut reader = log.bus.read(log.name, "", next);
        for _ in next..=end.sequence.0 {
            let message = reader.next().await;
            if !course.take(message.sequence, &message.payload)? {
                break;
            }
        }
    }
    course.fold.ok_or_else(|| Missing::Damaged("neither the log nor its archive goes back so far".into()))
}

/// Whether a message is the first of the lineage.
pub(crate) fn begins(payload: &Bytes, of: Position) -> bool {
    let lineage = chain::open(payload).map(|opened| opened.place.position.lineage);
    genesis::genesis_of(payload).is_some() && lineage.is_ok_and(|lineage| lineage == of.lineage)
}

/// A fold on its way to a moment.
struct Course<C: Core> {
    fold: Option<Fold<C>>,
    at: PoolTime,
}

impl<C: Core> Course<C> {
    /// Takes what the archive has of the lineage. False when the moment was reached.
    async fn archived(&mut self, log: &Log, end: Position) -> Result<bool, Missing> {
        let mut next = Position::new(end.lineage.0, 0);
        loop {
            let rows = archive::rows(log, next).await.map_err(|away| Missing::Away(away.to_string()))?;
            let mut of_lineage = 0;
            for row in &rows {
                let position: Position = row.position.unwrap_or_default().into();
                if position.lineage != end.lineage || position > end {
                    return Ok(false);
                }
                if !self.take(position.sequence.0, &row.payload)? {
                    return Ok(false);
                }
                of_lineage += 1;
                next = Position::new(position.lineage.0, position.sequence.0 + 1);
            }
            if of_lineage == 0 {
                return Ok(true);
            }
        }
    }

    /// Folds a message, unless it was begun after the moment. The first of a lineage is always folded.
    fn take(&mut self, sequence: u64, payload: &Bytes) -> Result<bool, Missing> {
        let Some(fold) = &mut self.fold else {
            self.fold = Some(Fold::begin(sequence, payload).map_err(Missing::Damaged)?);
            return Ok(true);
        };
        let opened = chain::open(payload).map_err(Missing::Damaged)?;
        if opened.begun().is_some_and(|time| time > self.at) {
            return Ok(false);
        }
        match fold.take_opened(sequence, Ok(opened)).map_err(Missing::Damaged)? {
            crate::fold::Taken::Applied | crate::fold::Taken::Old => Ok(true),
            crate::fold::Taken::Gap => {
                Err(Missing::Damaged(format!("message {sequence} does not follow the one before")))
            }
        }
    }
}
