//! The lock test `lock`: many takers in many processes take locks, shared and exclusive, and verify that the locks keep what they
//! promise: nobody else beside an exclusive holder, and, of a server, the order of asking.
//!
//! The locks are of a server that is a process of the gang, with a table of its own (`core`, `server`), or fcntl locks of a file on a
//! shared directory (`files`). Each lock protects a record in the data pattern: an exclusive holder writes it under its owner tag and
//! its fencing token, and every holder verifies it before it gives the lock back, so two holders at once are seen by data. A taker has
//! one lock at a time: nothing here can be locked dead.

mod client;
mod connection;
mod core;
mod files;
mod finding;
mod frame;
mod history;
mod interrupt;
mod locks;
mod meeting;
mod remote;
mod sabotage;
mod server;
mod settings;
mod taker;
mod tally;
mod trouble;
mod work;

use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, Scope};
use std::time::Duration;

use muster_sdk::{Ending, Live, Session};

use files::LockFile;
use interrupt::Interrupts;
use locks::Locks;
use server::Server;
use settings::{Over, Pace, Settings};
use taker::Taker;
use trouble::Trouble;
use work::Work;

/// How often the process is looked after.
const TICK: Duration = Duration::from_millis(50);

/// Runs the module.
#[must_use]
pub fn main() -> ExitCode {
    muster_sdk::run(include_str!("../module.toml"), test)
}

fn test(session: &Session) -> Result<Ending, Trouble> {
    let settings = Settings::read(session)?;
    let work = Work::new(session, &settings);
    let ending = match run(&work) {
        Ok(()) => Ending::pass(),
        Err(Trouble::Wrong(reason)) => Ending::fail(&reason),
        Err(Trouble::NotMet) => Ending::skip("stopped before it met the lock server"),
        Err(trouble) => Ending::error(&trouble.to_string()),
    };
    Ok(work.tally().finish(session, ending))
}

fn run(work: &Work<'_>) -> Result<(), Trouble> {
    match &work.settings.over {
        Over::Directory(directory) => by_files(work, directory),
        Over::Server(place) => by_server(work, &meeting::named(place)),
        Over::Gang { serves: false } => by_server(work, &meeting::ask(work.session)?),
        Over::Gang { serves: true } => serve(work),
    }
}

fn by_server(work: &Work<'_>, server: &remote::Server) -> Result<(), Trouble> {
    let takers = meeting::connect(work, server)?;
    let pace = Live::new(work.session, Pace::read)?;
    thread::scope(|scope| {
        takers.into_iter().enumerate().for_each(|(number, taker)| start(work, scope, number, taker));
        work.session.ready();
        attend(work, pace, || ());
    });
    work.outcome()
}

fn serve(work: &Work<'_>) -> Result<(), Trouble> {
    let server = Server::open(work)?;
    let (here, place) = (server.here(), server.place()?);
    let pace = Live::new(work.session, Pace::read)?;
    thread::scope(|scope| {
        work.spawn(scope, "muster-lock-server", || server.run());
        match meeting::connect(work, &place) {
            Ok(takers) => {
                takers.into_iter().enumerate().for_each(|(number, taker)| start(work, scope, number, taker));
                work.session.ready();
            }
            // A stop that comes so early is a stop.
            Err(Trouble::NotMet) => work.end(),
            Err(trouble) => work.fail(trouble),
        }
        attend(work, pace, || meeting::answer(work.session, &here));
    });
    work.outcome()
}

fn by_files(work: &Work<'_>, directory: &Path) -> Result<(), Trouble> {
    let interrupts = Interrupts::install().map_err(|error| Trouble::Setting(format!("a signal handler: {error}")))?;
    let file = LockFile::open(work, directory)?;
    let takers =
        (0..work.settings.takers).map(|taker| file.taker(&interrupts, taker)).collect::<Result<Vec<_>, _>>()?;
    let pace = Live::new(work.session, Pace::read)?;
    thread::scope(|scope| {
        takers.into_iter().enumerate().for_each(|(number, taker)| start(work, scope, number, taker));
        work.session.ready();
        attend(work, pace, || interrupts.look(|since| work.is_over() || since.elapsed() >= work.settings.wait_max));
    });
    file.close();
    work.outcome()
}

fn start<'scope>(
    work: &'scope Work<'_>,
    scope: &'scope Scope<'scope, '_>,
    number: usize,
    locks: impl Locks + Send + 'scope,
) {
    work.spawn(scope, "muster-lock-taker", move || Taker::new(work, number, Box::new(locks))?.run());
}

/// Looks after the process until all of its threads have ended.
fn attend(work: &Work<'_>, mut pace: Live<Pace>, more: impl Fn()) {
    while !work.wait_ended(TICK) {
        pace.follow(work.session);
        work.look_after(pace.duration);
        more();
    }
}
