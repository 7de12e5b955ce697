//! `muster-idle`: a test process that does nothing but live, cheaply, and that can be made to misbehave: to hang, to stall, to fall
//! silent, to end in any way. Benchmarks and tests of Muster itself run on it.

mod away;
mod errands;

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use away::Trip;
use errands::Errands;
use muster_sdk::{Ending, Live, ParameterError, Parameters, Session, wall_time_ns};

/// Time between two iterations.
const ITERATION: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    muster_sdk::run(include_str!("../module.toml"), test)
}

struct Settings {
    exit_code: u64,
    hang: bool,
    stuck: bool,
    /// Triggers to fire, and when; zero is never.
    triggers: Vec<u8>,
    fire_after: Duration,
    marks: Option<File>,
}

/// What may change while it runs.
struct Times {
    exit_after: Duration,
    metrics_interval: Duration,
}

impl Times {
    fn read(parameters: Parameters<'_>) -> Result<Self, ParameterError> {
        Ok(Self { exit_after: parameters.duration("exit_after")?, metrics_interval: parameters.duration("metrics")? })
    }
}

impl Settings {
    fn read(session: &Session) -> Result<Self, ParameterError> {
        let parameters = session.parameters();
        session.mute(parameters.boolean("silent")?);
        Ok(Self {
            exit_code: parameters.count("exit_code")?,
            hang: parameters.boolean("hang")?,
            stuck: parameters.boolean("stuck")?,
            triggers: parameters.triggers("trigger")?,
            fire_after: parameters.duration("fire_after")?,
            marks: parameters.boolean("marks")?.then(|| marks(session)).flatten(),
        })
    }

    /// Writes down when a pulse let it go on.
    fn mark(&self) {
        let Some(mut file) = self.marks.as_ref() else { return };
        let _: std::io::Result<()> = file.write_all(&wall_time_ns().to_le_bytes());
    }
}

/// The file of marks, 8 bytes each; what can not be made is said.
fn marks(session: &Session) -> Option<File> {
    let file = File::create(session.results().join("marks"));
    file.inspect_err(|error| session.event("no_marks", &error.to_string())).ok()
}

fn test(session: &Session) -> Result<Ending, ParameterError> {
    let settings = Settings::read(session)?;
    let times = Live::new(session, Times::read)?;
    let trip = Trip::read(session.parameters())?;
    session.ready();
    let event = session.parameters().text("emit")?;
    if !event.is_empty()
        && let Err(why) = session.emit(event, &session.context().dpid)
    {
        return Ok(Ending::error(&why));
    }
    if let Some(ending) = Errands::read(session.parameters())?.and_then(|errands| errands.go(session)) {
        return Ok(ending);
    }
    if let Some(trip) = trip {
        return Ok(trip.go(session));
    }
    let begin = Instant::now();
    let iterations = live(session, &settings, times, begin);
    let ending = match settings.exit_code {
        _ if session.stopping() => Ending::pass(),
        0 => Ending::pass(),
        1 => Ending::fail("exit_code 1 was asked for"),
        2 => Ending::error("exit_code 2 was asked for"),
        other => std::process::exit(i32::try_from(other).unwrap_or(255)),
    };
    let seconds = begin.elapsed().as_secs_f64();
    Ok(ending.total("iterations_count", iterations).total("seconds", seconds))
}

/// Iterates until it is time to end.
fn live(session: &Session, settings: &Settings, mut times: Live<Times>, begin: Instant) -> f64 {
    let (mut iterations, mut reported, mut fires) = (0.0, begin, !settings.fire_after.is_zero());
    loop {
        times.follow(session);
        let left = times.exit_after.saturating_sub(begin.elapsed());
        let ends = !times.exit_after.is_zero() && left.is_zero();
        if ends || (session.stopping() && !settings.hang) {
            return iterations;
        }
        pause(session, if times.exit_after.is_zero() { ITERATION } else { ITERATION.min(left) });
        if session.gate() {
            settings.mark();
        }
        if !settings.stuck {
            session.iterate(1);
            iterations += 1.0;
        }
        session.dump_if_asked(|| format!("iterations\n{iterations}\n"));
        if fires && begin.elapsed() >= settings.fire_after {
            fires = false;
            session.fire(&settings.triggers, "fire_after was asked for");
        }
        if !times.metrics_interval.is_zero() && reported.elapsed() >= times.metrics_interval {
            reported = Instant::now();
            session.metric("", &[("iterations_count", iterations)], &[]);
        }
    }
}

/// A pause that a stop or a block cuts short, but for a hung process, which would spin.
fn pause(session: &Session, time: Duration) {
    if session.stopping() {
        std::thread::sleep(time);
    } else {
        session.wait_for_block(time);
    }
}
