//! Following other streams: one reader per source, from the position in our own log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_bus::subjects::Service;
use muster_bus::{Bus, BusError, StoredMessage};
use muster_model::Position;
use muster_proto::v1::RepeatedLineage;

use crate::genesis::genesis_of;
use crate::handle::Delivery;
use crate::log::Log;
use crate::run::Context;
use crate::{Core, Handle, Source, chain, metrics};

/// A position that moved without a decision is noted after so many messages,
const NOTE_AFTER_MESSAGES: u64 = 1_000;
/// or after so long.
const NOTE_AFTER: Duration = Duration::from_secs(5);
/// How long to wait before a stream that can not be looked at is looked at again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Positions that moved without a decision.
#[derive(Debug, Default)]
pub struct LazyPositions {
    passed: BTreeMap<&'static str, Passed>,
}

#[derive(Debug)]
struct Passed {
    position: Position,
    counted: u64,
    since: Instant,
}

impl LazyPositions {
    /// A message decided nothing.
    pub(crate) fn passed(&mut self, stream: &'static str, position: Position, counts: bool) {
        let fresh = Passed { position, counted: 0, since: Instant::now() };
        let passed = self.passed.entry(stream).or_insert(fresh);
        passed.position = position;
        passed.counted += u64::from(counts);
    }

    /// The position stands in an entry.
    pub(crate) fn noted(&mut self, stream: &'static str) {
        self.passed.remove(stream);
    }

    /// Positions to be noted now. Messages that only note a position themselves never make another: two logs that follow each other
    /// would never rest.
    pub(crate) fn due(&mut self) -> Vec<(&'static str, Position)> {
        let is_due = |passed: &Passed| {
            passed.counted >= NOTE_AFTER_MESSAGES || (passed.counted > 0 && passed.since.elapsed() >= NOTE_AFTER)
        };
        let due: Vec<_> =
            self.passed.iter().filter(|(_, p)| is_due(p)).map(|(stream, p)| (*stream, p.position)).collect();
        for (stream, _) in &due {
            self.passed.remove(stream);
        }
        due
    }
}

/// Reads one source until leadership ends.
pub(crate) async fn read<C: Core>(context: Arc<Context<C>>, index: usize, followed: Position, handle: Handle<C>) {
    let source = &context.options.sources[index];
    let mut next =
        if source.is_log { start_in_log(&context.bus, source, followed).await } else { followed.sequence.0 + 1 };
    // A message that can not be opened is counted to the lineage of the one before it.
    let mut lineage = followed.lineage.0;
    let mut reader = context.bus.read(source.stream, source.filter, next);
    loop {
        let message = reader.next().await;
        let delivery = take(source, &message, lineage);
        if source.is_log && lineage != 0 && delivery.position.lineage.0 != lineage {
            // It was rebuilt while it was read: most of what it holds was taken already.
            next = start_in_log(&context.bus, source, Position::new(lineage, next - 1)).await;
            lineage = delivery.position.lineage.0;
            reader = context.bus.read(source.stream, source.filter, next);
            continue;
        }
        if message.sequence > next && source.filter.is_empty() {
            note_gap(context.log.name, source.stream, next, message.sequence);
        }
        next = message.sequence + 1;
        lineage = delivery.position.lineage.0;
        if !handle.deliver(delivery).await {
            return;
        }
    }
}

fn note_gap(log: &'static str, stream: &'static str, expected: u64, found: u64) {
    ::metrics::counter!(metrics::SOURCE_GAPS, "log" => log, "stream" => stream).increment(found - expected);
    tracing::warn!(
        log,
        stream,
        expected,
        found,
        "messages of a followed stream are gone: the full pass has to repair what they said"
    );
}

fn take<C: Core>(source: &Source<C>, message: &StoredMessage, lineage: u64) -> Delivery<C> {
    let stream = source.stream;
    if !source.is_log {
        let position = Position::new(0, message.sequence);
        return Delivery { stream, position, inputs: (source.take)(message).map(VecDeque::from), counts: true };
    }
    let opened = match chain::open(&message.payload) {
        Ok(opened) => opened,
        Err(reason) => {
            return Delivery {
                stream,
                position: Position::new(lineage, message.sequence),
                inputs: Err(reason),
                counts: true,
            };
        }
    };
    let counts = opened.entries.iter().any(|entry| !entry.events.is_empty());
    let position = Position::new(opened.place.position.lineage.0, message.sequence);
    let inputs = if message.subject.ends_with(".turn") { (source.take)(message) } else { Ok(Vec::new()) };
    Delivery { stream, position, inputs: inputs.map(VecDeque::from), counts }
}

/// Where to go on in a decision log. One that was rebuilt begins with a genesis that says which lineages it repeats: what was taken of
/// them is not taken again.
async fn start_in_log<C: Core>(bus: &Bus, source: &Source<C>, followed: Position) -> u64 {
    let log = Log { bus: bus.clone(), name: source.stream, service: Service::Report };
    loop {
        match begin_of(&log).await {
            Ok(Some(begin)) if followed.lineage.0 != 0 && begin.at.lineage != followed.lineage => {
                let next = begin.next_after(followed);
                tracing::warn!(stream = source.stream, begin = %begin.at, %followed, next, "a followed log was rebuilt");
                return next;
            }
            Ok(_) => return followed.sequence.0 + 1,
            Err(error) => {
                tracing::debug!(stream = source.stream, %error, "looking at a followed log failed, trying again");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// The first message that a log still has.
struct Begin {
    at: Position,
    /// What its genesis says that it repeats.
    repeats: Vec<RepeatedLineage>,
}

impl Begin {
    /// Where to go on for who took an older lineage up to `followed`. Without a word about that, everything is taken.
    fn next_after(&self, followed: Position) -> u64 {
        let repeated = self.repeats.iter().find(|older| older.lineage == followed.lineage.0);
        let taken = repeated.map_or(0, |older| (followed.sequence.0.min(older.last) + 1).saturating_sub(older.first));
        self.at.sequence.0 + taken
    }
}

async fn begin_of(log: &Log) -> Result<Option<Begin>, BusError> {
    let Some(ends) = log.ends().await?.filter(|ends| ends.messages > 0) else { return Ok(None) };
    let Some(payload) = log.message(ends.first).await? else { return Ok(None) };
    let Ok(opened) = chain::open(&payload) else { return Ok(None) };
    let at = Position::new(opened.place.position.lineage.0, ends.first);
    Ok(Some(Begin { at, repeats: genesis_of(&payload).map(|genesis| genesis.repeats).unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_followed_any_older_lineage_goes_on_behind_what_is_repeated_of_it() {
        let older = |lineage, first, last| RepeatedLineage { lineage, first, last };
        let begin = Begin { at: Position::new(3, 200), repeats: vec![older(2, 101, 150), older(1, 1, 40)] };
        let next = |lineage, sequence| begin.next_after(Position::new(lineage, sequence));
        assert_eq!(next(1, 40), 240);
        assert_eq!(next(1, 39), 239);
        assert_eq!(next(1, 45), 240, "what came after was not repeated");
        assert_eq!(next(2, 101), 201);
        assert_eq!(next(2, 150), 250);
        assert_eq!(next(2, 155), 250);
        assert_eq!(next(7, 5), 200, "nothing is known of that one");
    }
}
