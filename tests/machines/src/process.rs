//! One simulated process, and what is said of it.

use std::time::Duration;

use muster_model::ProcessId;
use muster_proto::v1::{self, FinalReport, KnownProcess, PingResult, ProcessReport, ProcessState, Verdict, report};

/// Iterations a second that a simulated process claims.
const ITERATIONS_PER_SECOND: u64 = 100;
/// A ping is due this often.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Exit status of wait(2) after SIGKILL.
pub(crate) const KILLED: i32 = 9;

/// How a process ended, or stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) state: ProcessState,
    pub(crate) verdict: Verdict,
    pub(crate) exit_status: Option<i32>,
    pub(crate) reason: &'static str,
}

/// A simulated process.
#[derive(Debug)]
pub(crate) struct Process {
    module: String,
    epoch: u64,
    pid: u32,
    pub(crate) state: ProcessState,
    ending: Option<Ending>,
    iterations: u64,
    /// When its iterations rose last.
    progressed: Duration,
    /// It answers no pings before this.
    mia_until: Duration,
    mia_since: Duration,
    /// It makes no progress before this.
    stalled_until: Duration,
    /// It found corrupt data.
    corrupted: bool,
}

impl Process {
    pub(crate) fn begin(module: String, epoch: u64, pid: u32, now: Duration) -> Self {
        Self {
            module,
            epoch,
            pid,
            state: ProcessState::Running,
            ending: None,
            iterations: 0,
            progressed: now,
            mia_until: Duration::ZERO,
            mia_since: Duration::ZERO,
            stalled_until: Duration::ZERO,
            corrupted: false,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.ending.is_none()
    }

    /// Time passes: it makes progress, unless it is hindered. True when it answers pings again.
    pub(crate) fn pass(&mut self, now: Duration, passed: Duration) -> bool {
        if !self.is_live() {
            return false;
        }
        if now >= self.stalled_until && now >= self.mia_until {
            self.iterations += ITERATIONS_PER_SECOND * u64::try_from(passed.as_millis()).unwrap_or(0) / 1_000;
            self.progressed = now;
        }
        let back = self.state == ProcessState::Mia && now >= self.mia_until;
        if back {
            self.state = ProcessState::Running;
        }
        back
    }

    pub(crate) fn miss_pings(&mut self, now: Duration, until: Duration) {
        (self.state, self.mia_since, self.mia_until) = (ProcessState::Mia, now, until);
    }

    pub(crate) fn stall(&mut self, until: Duration) {
        self.stalled_until = until;
    }

    pub(crate) fn corrupt(&mut self) {
        self.corrupted = true;
    }

    /// It ends; what it found makes a pass a failure.
    pub(crate) fn end(&mut self, mut ending: Ending) {
        if self.corrupted && ending.verdict == Verdict::Pass {
            (ending.verdict, ending.reason) = (Verdict::Fail, "it found corrupt data");
        }
        self.state = ending.state;
        self.ending = Some(ending);
    }

    /// The report of its state.
    pub(crate) fn report(&self, id: ProcessId) -> report::Kind {
        let ending = self.ending.as_ref();
        let exit_status = ending.and_then(|ending| ending.exit_status);
        report::Kind::Process(ProcessReport {
            id: Some(id.into()),
            epoch: self.epoch,
            state: self.state.into(),
            verdict: ending.map_or(Verdict::Unspecified, |ending| ending.verdict).into(),
            exit_status: exit_status.unwrap_or(0),
            exited: exit_status.is_some(),
            reason: ending.map_or("", |ending| ending.reason).into(),
            pid: self.pid,
        })
    }

    /// As it stands in an inventory: all that its last report says.
    pub(crate) fn known(&self, id: ProcessId) -> KnownProcess {
        let report::Kind::Process(said) = self.report(id) else { unreachable!("a process is reported as one") };
        let ProcessReport { id, epoch, state, verdict, exit_status, exited, reason, pid } = said;
        KnownProcess { id, state, verdict, exit_status, exited, reason, pid, epoch }
    }

    /// Its final report, once it has finished.
    pub(crate) fn last_word(&self, id: ProcessId) -> Option<report::Kind> {
        let totals = vec![v1::KeyNumber { key: "iterations".into(), value: self.iterations as f64 }];
        let word = FinalReport { id: Some(id.into()), module: self.module.clone(), totals, ..FinalReport::default() };
        (self.state == ProcessState::Finished).then_some(report::Kind::Final(word))
    }

    /// Its newest ping.
    pub(crate) fn ping(&self, id: ProcessId, now: Duration) -> PingResult {
        let milliseconds = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let missed = now.saturating_sub(self.mia_since).as_secs() / PING_EVERY.as_secs();
        PingResult {
            id: Some(id.into()),
            missed: if self.state == ProcessState::Mia { u32::try_from(missed).unwrap_or(u32::MAX) } else { 0 },
            iterations: self.iterations,
            round_trip_us: 100,
            unchanged_ms: milliseconds(now.saturating_sub(self.progressed)),
        }
    }
}
