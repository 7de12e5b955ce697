//! One stream's way into PostgreSQL: holds the expected position, and brings each batch to exactly one end.
//!
//! After a failure whose outcome is unknown, the position is read back: it tells whether the batch is stored.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_model::PoolTime;
use muster_store::{Error, Store};
use muster_telemetry::records::{Offset, Origin, Records};
use muster_telemetry::write::{self, KnownLayouts, Outcome};
use tokio_util::sync::CancellationToken;

use crate::config::{CENSUS_MAX, COMMIT_TIMEOUT, REPEATS_MAX, SERIES_BOUNDS, Source};
use crate::core::{Batch, Census, Repeats};
use crate::metrics;
use crate::retry::{Pause, until_available};

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is stored.
    Stored,
    /// Another writer moved the position: read from there.
    Moved,
    /// `stop` came while PostgreSQL was away; nothing is lost, it is read again.
    Stopped,
}

/// The writer of one stream.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    store: &'a Store,
    source: Source,
    offset: Offset,
    known: KnownLayouts,
    repeats: Repeats,
    census: Census,
}

impl<'a> Writer<'a> {
    /// Reads the position; none when `stop` came first.
    ///
    /// # Errors
    /// When PostgreSQL refuses for good.
    pub(crate) async fn load(
        store: &'a Store,
        source: Source,
        epoch: i64,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, Error> {
        let load = || write::load_offset(store, source.stream, epoch);
        let Some(loaded) = until_available(stop, source.stream, load).await? else { return Ok(None) };
        if let Some(earlier) = loaded.earlier {
            tracing::warn!(
                stream = source.stream,
                earlier,
                epoch,
                "a stream was made again: reading it from its beginning"
            );
        }
        let (known, repeats, census) = (KnownLayouts::default(), Repeats::new(), Census::new(SERIES_BOUNDS));
        Ok(Some(Self { store, source, offset: loaded.offset, known, repeats, census }))
    }

    /// Last sequence that is stored.
    pub(crate) fn position(&self) -> u64 {
        self.offset.last
    }

    /// Creation time of the stream.
    pub(crate) fn epoch(&self) -> i64 {
        self.offset.epoch
    }

    /// Its name.
    pub(crate) fn stream(&self) -> &'static str {
        self.source.stream
    }

    /// Stores a batch. One that PostgreSQL can not hold is taken apart, and only the unfit message becomes a reject.
    ///
    /// # Errors
    /// When PostgreSQL refuses for good.
    pub(crate) async fn write(&mut self, mut batch: Batch, stop: &CancellationToken) -> Result<Written, Error> {
        let unfit = match self.store_batch(&mut batch, stop).await {
            Err(error @ Error::Unfit { .. }) => error,
            other => return other,
        };
        tracing::warn!(stream = self.stream(), error = %unfit, messages = batch.len(), "a batch is unfit, storing one by one");
        // A layout or partition that was thought to be there may be what is missing.
        self.known = KnownLayouts::default();
        self.census.forget();
        for mut single in batch.split() {
            let written = match self.store_batch(&mut single, stop).await {
                Err(Error::Unfit { why, .. }) => self.store_batch(&mut single.rejected(&why), stop).await?,
                other => other?,
            };
            if written != Written::Stored {
                return Ok(written);
            }
        }
        Ok(Written::Stored)
    }

    async fn store_batch(&mut self, batch: &mut Batch, stop: &CancellationToken) -> Result<Written, Error> {
        let mut pause = Pause::new();
        loop {
            metrics::lag(self.stream(), age(batch));
            let error = match self.attempt(batch).await {
                Ok(Outcome::Committed) => {
                    pause.over(self.stream());
                    self.offset.last = batch.to();
                    return Ok(Written::Stored);
                }
                Ok(Outcome::Moved) => return self.settle(batch, stop).await,
                Err(error @ (Error::Unavailable { .. } | Error::TimedOut { .. })) => error,
                Err(error @ (Error::Broken { .. } | Error::Unfit { .. })) => return Err(error),
            };
            metrics::retried(self.stream());
            if !pause.after(&error, self.stream(), stop).await {
                return Ok(Written::Stopped);
            }
        }
    }

    /// The position is not where it was expected: our own commit, whose answer was lost, or another writer's.
    async fn settle(&mut self, batch: &Batch, stop: &CancellationToken) -> Result<Written, Error> {
        let load = || write::load_offset(self.store, self.source.stream, self.offset.epoch);
        let Some(loaded) = until_available(stop, self.source.stream, load).await? else { return Ok(Written::Stopped) };
        if loaded.offset.last != batch.to() {
            return Ok(Written::Moved);
        }
        // Whoever wrote it: the same messages give the same rows. What that writer learned of agents is asked for again.
        self.offset = loaded.offset;
        self.repeats.clear();
        self.census.forget();
        Ok(Written::Stored)
    }

    async fn attempt(&mut self, batch: &mut Batch) -> Result<Outcome, Error> {
        assert_eq!(batch.from(), self.offset.last, "a batch begins where the last one ended");
        self.ask_for_repeats(batch).await?;
        let mut records = batch.records(&self.repeats);
        self.count_series(&records).await?;
        self.census.judge(&mut records);
        let commit = write::commit(self.store, &mut self.known, &self.offset, batch.to(), &records);
        let outcome = within(COMMIT_TIMEOUT, "commit", commit).await?;
        if outcome == Outcome::Committed {
            self.learn(batch, records);
        }
        Ok(outcome)
    }

    /// The newest batches of agents that were not met yet.
    async fn ask_for_repeats(&mut self, batch: &Batch) -> Result<(), Error> {
        let is_new = |origin: &&Origin| !self.repeats.contains_key(*origin);
        let origins: BTreeSet<Origin> = batch.origins().iter().filter(is_new).cloned().collect();
        if origins.is_empty() {
            return Ok(());
        }
        self.repeats.extend(write::last_batches(self.store, self.source.stream, &origins).await?);
        for origin in origins {
            self.repeats.entry(origin).or_insert(0);
        }
        Ok(())
    }

    /// Asks the store about series and whose they are, where that is not known.
    async fn count_series(&mut self, records: &Records) -> Result<(), Error> {
        if self.census.len() > CENSUS_MAX {
            self.census.forget();
        }
        let unknown = self.census.unknown(records);
        if !unknown.series.is_empty() {
            let series = write::known_series(self.store, &unknown.series).await?;
            let counts = write::series_counts(self.store, &unknown.scopes).await?;
            self.census.learn(series, unknown.scopes, counts);
        }
        Ok(())
    }

    fn learn(&mut self, batch: &Batch, records: Records) {
        metrics::stored(self.source.stream, batch.len(), batch.samples(), records.rejects.len());
        if self.repeats.len() + records.batches.len() > REPEATS_MAX {
            self.repeats.clear();
        }
        self.repeats.extend(records.batches);
    }
}

/// How long ago the stream stored the first message of a batch, by this machine's clock.
fn age(batch: &Batch) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    batch.oldest().map_or(Duration::ZERO, |oldest| (PoolTime::default() + now).since(oldest))
}

/// The same within a time.
async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| Err(Error::silent(what, limit)))
}
