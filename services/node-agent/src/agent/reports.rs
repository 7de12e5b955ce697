//! Reports and samples on their way into the spools: gathered for one turn of the agent, written as one batch.

use std::time::{Duration, Instant};

use muster_bus::subjects;
use muster_model::ProcessState;
use muster_proto::v1::{Envelope, GapReport, Report, ReportBatch, SampleBatch, envelope::Body, report};
use prost::Message;

use crate::connection::{Connection, Identity};
use crate::core::window::Gap;
use crate::disk::spool::Spool;
use crate::metrics;
use crate::samples::Samples;
use crate::sender::{self, SharedSpool};

/// Reports of one batch at most.
const BATCH_REPORTS_MAX: usize = 500;
/// A batch is closed when its reports are larger than this.
const BATCH_BYTES_MAX: usize = 512 << 10;
/// Reports that wait in memory at most, where the disk does not take them.
const PENDING_MAX: usize = 100_000;
/// Reports are kept up to this; what is beyond is lost, and said.
const REPORT_SPOOL_BYTES_MAX: u64 = 256 << 20;
/// Samples are kept up to this; the oldest leave first.
const SAMPLE_SPOOL_BYTES_MAX: u64 = 64 << 20;
/// Reports wait so long for others: what happens to many processes at once is one batch, with one write to the disk.
const REPORT_WINDOW: Duration = Duration::from_millis(10);
/// Reports of ends wait at most so long while processes are about to end: a stop is one batch for each machine.
const ENDS_WINDOW: Duration = Duration::from_millis(100);
/// What the disk did not take is tried again after this.
const REPORT_RETRY: Duration = Duration::from_millis(250);
/// Nothing waits: look again after this.
const NOTHING_WAITS: Duration = Duration::from_secs(3_600);
/// Samples wait so long for a batch to fill.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Both spools, and what is to go into them.
#[derive(Debug)]
pub(crate) struct Reports {
    connection: Connection,
    reports: SharedSpool,
    samples: SharedSpool,
    pending: Vec<Report>,
    /// When the first of them was said.
    first: Instant,
    /// They can wait for each other: see [`is_patient`].
    patient: bool,
    /// The disk did not take them: not before this again.
    not_before: Instant,
    /// Measured values that wait.
    pub gathered: Samples,
    sampled: Instant,
}

impl Reports {
    /// Opens both spools, and starts what empties them.
    pub(crate) fn start(
        state: &std::path::Path,
        connection: Connection,
        up: &tokio::sync::watch::Receiver<bool>,
    ) -> std::io::Result<Self> {
        let reports = SharedSpool::new(Spool::open(&state.join("spool/rpt"), REPORT_SPOOL_BYTES_MAX)?);
        let samples = SharedSpool::new(Spool::open(&state.join("spool/tel"), SAMPLE_SPOOL_BYTES_MAX)?);
        sender::start(connection.clone(), reports.clone(), subjects::reports(&connection.machine), up.clone());
        sender::start(connection.clone(), samples.clone(), subjects::telemetry(&connection.machine), up.clone());
        let (pending, gathered, now) = (Vec::new(), Samples::default(), Instant::now());
        let (first, not_before, sampled) = (now, now, now);
        Ok(Self { connection, reports, samples, pending, first, patient: true, not_before, gathered, sampled })
    }

    /// Takes a report; it is on the disk after the next [`Reports::flush`].
    pub(crate) fn say(&mut self, kind: report::Kind) {
        if self.pending.len() >= PENDING_MAX {
            tracing::error!("a report is lost: the disk takes none, and too many wait");
            return;
        }
        if self.pending.is_empty() {
            (self.first, self.patient) = (Instant::now(), true);
        }
        self.patient &= is_patient(&kind);
        self.pending.push(Report { time_ns: self.connection.clock.now().0, kind: Some(kind) });
    }

    /// The spool of reports, to be looked at.
    pub(crate) fn spool(&self) -> SharedSpool {
        self.reports.clone()
    }

    /// After how long reports that wait are to be flushed; `more_end` says that more processes are about to end.
    pub(crate) fn due_in(&self, more_end: impl FnOnce() -> bool) -> Duration {
        if self.pending.is_empty() {
            return NOTHING_WAITS;
        }
        let window = if self.patient && more_end() { ENDS_WINDOW } else { REPORT_WINDOW };
        (self.first + window).max(self.not_before).saturating_duration_since(Instant::now())
    }

    /// Number of the newest batch of reports.
    pub(crate) fn last_batch(&self) -> u64 {
        self.reports.lock().last()
    }

    /// Number of the newest batch of reports that was acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.reports.lock().acknowledged()
    }

    /// Writes what waits; true when all of it is on the disk. The last samples of a process go before its final report, so that
    /// who reads after its end finds them.
    pub(crate) fn flush(&mut self, identity: Identity) -> bool {
        if self.pending.iter().any(|report| matches!(report.kind, Some(report::Kind::Final(_)))) {
            self.flush_samples(identity, true);
        }
        while !self.pending.is_empty() {
            let size = batch_size(&self.pending);
            let rest = self.pending.split_off(size);
            let batch = ReportBatch {
                machine: self.connection.machine.to_string(),
                batch: self.reports.lock().last() + 1,
                reports: std::mem::replace(&mut self.pending, rest),
            };
            let envelope = self.connection.envelope(Body::ReportBatch(batch), identity);
            match append(&self.reports, &envelope.encode_to_vec(), metrics::REPORT_BATCHES) {
                Ok(gap) => self.say_gap(gap),
                Err(error) => {
                    self.take_back(envelope);
                    tracing::error!(%error, "reports can not be written: they wait in memory");
                    self.not_before = Instant::now() + REPORT_RETRY;
                    return false;
                }
            }
        }
        true
    }

    /// What the disk did not take waits again, before what came after it.
    fn take_back(&mut self, envelope: Envelope) {
        if let Some(Body::ReportBatch(batch)) = envelope.body {
            let later = std::mem::replace(&mut self.pending, batch.reports);
            self.pending.extend(later);
        }
    }

    /// Writes the samples that wait, when it is time or `full`.
    pub(crate) fn flush_samples(&mut self, identity: Identity, full: bool) {
        if !full && self.sampled.elapsed() < SAMPLE_INTERVAL {
            return;
        }
        self.sampled = Instant::now();
        let Some((layouts, rows)) = self.gathered.batch() else { return };
        let machine = self.connection.machine.to_string();
        let batch = SampleBatch { machine, batch: self.samples.lock().last() + 1, layouts, rows };
        let bytes = self.connection.envelope(Body::SampleBatch(batch), identity).encode_to_vec();
        match append(&self.samples, &bytes, metrics::SAMPLE_BATCHES) {
            Ok(gap) => self.say_gap(gap),
            Err(error) => tracing::error!(%error, "samples are lost: they can not be written"),
        }
    }

    fn say_gap(&mut self, gap: Option<Gap>) {
        if let Some(gap) = gap {
            let reason = "the spool was full: nobody took its batches".into();
            self.say(report::Kind::Gap(GapReport { place: "spool".into(), from: gap.from, to: gap.to, reason }));
        }
    }
}

/// Nobody waits for it alone: an end, that a stop was taken, where a file is.
fn is_patient(kind: &report::Kind) -> bool {
    match kind {
        report::Kind::Process(report) => {
            ProcessState::try_from(report.state()).is_ok_and(|state| state == ProcessState::Fip || state.is_final())
        }
        report::Kind::Final(_) | report::Kind::Artifact(_) => true,
        report::Kind::Fence(_)
        | report::Kind::Error(_)
        | report::Kind::Corruption(_)
        | report::Kind::Gap(_)
        | report::Kind::Inventory(_)
        | report::Kind::Storage(_)
        | report::Kind::AbsenceAnnounced(_)
        | report::Kind::SyncSaid(_)
        | report::Kind::TestEvent(_)
        | report::Kind::Errand(_)
        | report::Kind::TriggerFired(_)
        | report::Kind::TriggerActed(_) => false,
    }
}

fn append(spool: &SharedSpool, bytes: &[u8], counter: &'static str) -> std::io::Result<Option<Gap>> {
    let gap = spool.lock().append(bytes)?;
    spool.appended.notify_one();
    ::metrics::counter!(counter).increment(1);
    if let Some(gap) = gap {
        ::metrics::counter!(metrics::SPOOL_LOST).increment(gap.to - gap.from + 1);
    }
    Ok(gap)
}

/// How many of the reports make the next batch.
fn batch_size(reports: &[Report]) -> usize {
    let mut bytes = 0;
    let fits = reports.iter().take(BATCH_REPORTS_MAX).take_while(|report| {
        bytes += report.encoded_len();
        bytes <= BATCH_BYTES_MAX
    });
    fits.count().max(1)
}
