//! The program while it runs: started, waited for, stopped, and what is left of it removed.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use muster_sdk::Session;
use rustix::process::Signal;

use crate::format::{Parser, Verdict};
use crate::group::Group;
use crate::output::{News, follow, log};
use crate::settings::Settings;

/// How soon a stop or a time-out is noticed.
const NOTICE: Duration = Duration::from_millis(50);
/// Between SIGTERM and SIGKILL after a time-out, and the most after a stop.
const GRACE_MAX: Duration = Duration::from_secs(5);
/// Lines that wait to be read; the program waits when there are more.
const NEWS_MAX: usize = 1024;
/// How long the rest of the output is waited for after the program's end.
const REST_MAX: Duration = Duration::from_secs(2);
/// Rounds of killing what the program left behind: each finds what was forked during the one before.
const SWEEPS_MAX: u32 = 20;

/// Why the program was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The agent stopped the process.
    Stop,
    /// It took too long.
    Timeout,
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) elapsed: Duration,
    pub(crate) usage: Usage,
    pub(crate) told: Option<Told>,
    /// What its output says, in a format that is known.
    pub(crate) verdict: Option<Verdict>,
}

/// What the program and all that it waited for used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) user_seconds: f64,
    pub(crate) system_seconds: f64,
    pub(crate) memory_bytes: f64,
}

/// Whether the program could be started.
pub(crate) enum Start {
    Running(Child),
    /// There is no such program here.
    Missing,
}

/// The program.
pub(crate) struct Child {
    group: Option<Group>,
    begin: Instant,
    news: Receiver<News>,
    /// Reads its output; none where only its exit code counts.
    parser: Option<Box<dyn Parser>>,
}

impl Child {
    pub(crate) fn start(settings: &Settings) -> anyhow::Result<Start> {
        let parser = settings.format.parser(settings.warnings);
        let mut command = Command::new(&settings.program);
        command.args(&settings.arguments).stdin(Stdio::null());
        if parser.is_some() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        } else {
            // Messages may go to our stdout, so what the program prints goes to stderr; under an agent both are the log.
            command.stdout(log()?);
        }
        let own = Group::own();
        if own.is_none() {
            command.process_group(0);
        }
        let begin = Instant::now();
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Start::Missing),
            Err(error) => return Err(error).with_context(|| format!("start program `{}`", settings.program)),
        };
        let group = own.or_else(|| Group::led_by(child.id()));
        let (sender, news) = sync_channel(NEWS_MAX);
        follow(child.stdout.take(), &sender)?;
        follow(child.stderr.take(), &sender)?;
        wait_for_end(child, sender)?;
        Ok(Start::Running(Self { group, begin, news, parser }))
    }

    /// Waits for its end, and brings that about when it is told to.
    pub(crate) fn wait(mut self, session: &Session, settings: &Settings) -> anyhow::Result<End> {
        let (over, group) = (AtomicBool::new(false), self.group);
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| follow_pulses(group, session, &over));
            let ended = self.wait_for_status(session, settings);
            over.store(true, Ordering::Release);
            ended
        });
        let (status, told) = ended?;
        let elapsed = self.begin.elapsed();
        let usage = Usage::of_children();
        self.sweep(session);
        self.read_rest(session);
        let verdict = self.parser.as_mut().map(|parser| parser.finish(status.code()));
        Ok(End { status, elapsed, usage, told, verdict })
    }

    fn wait_for_status(
        &mut self,
        session: &Session,
        settings: &Settings,
    ) -> anyhow::Result<(ExitStatus, Option<Told>)> {
        let (mut told, mut kill_at) = (None, None);
        let mut noticed = Instant::now();
        loop {
            match self.news.recv_timeout(NOTICE) {
                Ok(News::Ended(status)) => return Ok((status.context("wait for the program")?, told)),
                Ok(News::Line(line)) => self.read(session, &line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the thread that waits for the program is gone"),
            }
            if noticed.elapsed() < NOTICE {
                continue;
            }
            noticed = Instant::now();
            session.iterate(u64::from(!session.is_blocked()));
            if told.is_none() {
                told = self.told(session, settings);
                kill_at = told.map(|told| Instant::now() + grace(session, told));
                told.inspect(|_| self.signal(Signal::TERM));
            } else if kill_at.is_some_and(|at| Instant::now() >= at) {
                self.signal(Signal::KILL);
            }
        }
    }

    fn read(&mut self, session: &Session, line: &str) {
        if let Some(sample) = self.parser.as_mut().and_then(|parser| parser.line(line)) {
            session.metric("", &pairs(&sample.counters), &pairs(&sample.gauges));
        }
    }

    /// Reads what was printed before the end: until nobody holds the pipes any more, or for a short while where somebody outside
    /// of the group does.
    fn read_rest(&mut self, session: &Session) {
        let deadline = Instant::now() + REST_MAX;
        while let Ok(news) = self.news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let News::Line(line) = news {
                self.read(session, &line);
            }
        }
    }

    fn told(&self, session: &Session, settings: &Settings) -> Option<Told> {
        if session.stopping() {
            Some(Told::Stop)
        } else {
            settings.timeout.filter(|timeout| self.begin.elapsed() >= *timeout).map(|_| Told::Timeout)
        }
    }

    fn signal(&self, signal: Signal) {
        self.group.map(|group| group.signal(signal));
    }

    /// Kills what the program left running in its group.
    fn sweep(&self, session: &Session) {
        let Some(group) = self.group else { return };
        let left = group.signal(Signal::KILL);
        if left == 0 {
            return;
        }
        session.event("left_behind", &format!("{left} processes that the program left running were killed"));
        for _ in 0..SWEEPS_MAX {
            std::thread::sleep(Duration::from_millis(1));
            if group.signal(Signal::KILL) == 0 {
                return;
            }
        }
    }
}

fn pairs(values: &[(String, f64)]) -> Vec<(&str, f64)> {
    values.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

/// Waits in a thread of its own, as a program may end without closing what it prints to.
fn wait_for_end(mut child: std::process::Child, sender: SyncSender<News>) -> std::io::Result<()> {
    let wait = move || {
        // The receiver lives until the end was received.
        let _ = sender.send(News::Ended(child.wait()));
    };
    std::thread::Builder::new().name("wait".into()).stack_size(64 * 1024).spawn(wait).map(drop)
}

/// Stops the program and all that is in its group while pulses block, and lets it go on at their edges.
fn follow_pulses(group: Option<Group>, session: &Session, over: &AtomicBool) {
    let signal = |signal| {
        group.map(|group| group.signal(signal));
    };
    while !over.load(Ordering::Acquire) && !session.stopping() {
        if session.is_blocked() {
            signal(Signal::STOP);
            while !session.gate_within(NOTICE) && !over.load(Ordering::Acquire) {}
            signal(Signal::CONT);
        } else {
            session.wait_for_block(NOTICE);
        }
    }
}

/// Time between SIGTERM and SIGKILL: three quarters of what the agent gives, so that done can still be said.
fn grace(session: &Session, told: Told) -> Duration {
    match (told, session.stop_deadline()) {
        (Told::Stop, Some(deadline)) => deadline.saturating_duration_since(Instant::now()) * 3 / 4,
        (Told::Stop, None) | (Told::Timeout, _) => GRACE_MAX,
    }
}

impl Usage {
    fn of_children() -> Self {
        // SAFETY: getrusage writes to a struct of integers that is valid when zeroed, and that lives until it returns.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
            usage
        };
        Self {
            user_seconds: seconds(usage.ru_utime),
            system_seconds: seconds(usage.ru_stime),
            memory_bytes: float(usage.ru_maxrss) * 1024.0,
        }
    }
}

fn seconds(time: libc::timeval) -> f64 {
    float(time.tv_sec) + float(time.tv_usec) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "seconds and kilobytes are far below 2^53")]
fn float(value: i64) -> f64 {
    value as f64
}
