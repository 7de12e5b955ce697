//! The whole life of a module process: from its environment to its exit code.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use muster_module_protocol::{Context, Manifest, ModuleMessage, PROTOCOL, encode_line, environment};

use crate::ending::{EXIT_ERROR, Ending};
use crate::error::SdkError;
use crate::gate;
use crate::link::{Link, RECONNECT_MAX, wait};
use crate::meeting_place::MeetingPlace;
use crate::session::{Agent, Session};
use crate::shared::Shared;
use crate::signals;
use crate::standalone::{Alone, Request, help, request};

/// Stack of the link's thread: it parses short lines.
const LINK_STACK_BYTES: usize = 256 * 1024;
/// Most causes that are printed of an error.
const CAUSES_MAX: usize = 16;

/// Runs a module: reads the context, connects to the agent, calls the test, says done and gives the exit code. An error of the
/// test is done(error). `manifest` is the text of its `module.toml`.
pub fn run<E>(manifest: &str, test: impl FnOnce(&Session) -> Result<Ending, E>) -> ExitCode
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    match begin(manifest) {
        Ok(Some(session)) => finish(&session, test),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("muster: {}", chain(&error));
            ExitCode::from(EXIT_ERROR)
        }
    }
}

fn finish<E>(session: &Session, test: impl FnOnce(&Session) -> Result<Ending, E>) -> ExitCode
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let ending = test(session).unwrap_or_else(|error| Ending::error(&chain(&*error.into())));
    if !session.done(&ending) {
        eprintln!("muster: the agent did not take the end: {:?}", ending.message());
    }
    ending.exit_code()
}

/// A session, or none where the command line only asked for a text.
fn begin(manifest: &str) -> Result<Option<Session>, SdkError> {
    let describes = std::env::args().nth(1).is_some_and(|argument| argument == "describe");
    if let Some(socket) = std::env::var_os(environment::SOCKET).filter(|_| !describes) {
        return with_agent(PathBuf::from(socket)).map(Some);
    }
    let manifest: Manifest = toml::from_str(manifest)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match request(&manifest, &arguments)? {
        Request::Describe => println!("{}", describe(&manifest)),
        Request::Help => print!("{}", help(&manifest)),
        Request::Run(request) => return alone(*request).map(Some),
    }
    Ok(None)
}

fn describe(manifest: &Manifest) -> String {
    serde_json::to_string_pretty(manifest).expect("a manifest has only texts and numbers")
}

fn with_agent(socket: PathBuf) -> Result<Session, SdkError> {
    let path = std::env::var_os(environment::CONTEXT).ok_or(SdkError::Environment(environment::CONTEXT))?;
    connect(socket, read_context(Path::new(&path))?)
}

/// A session with the agent of a socket, once that said start.
pub(crate) fn connect(socket: PathBuf, context: Context) -> Result<Session, SdkError> {
    let shared = Arc::new(Shared::new()?);
    signals::install(shared.wake_fd())?;
    let hello = ModuleMessage::Hello {
        protocol: PROTOCOL,
        run: context.run,
        dpid: context.dpid.clone(),
        attempt: context.attempt,
        pid: std::process::id(),
    };
    let hello = encode_line(&hello).map_err(std::io::Error::other)?;
    let link = Link { shared: Arc::clone(&shared), path: socket.clone(), hello };
    gate::begin(&shared, &context)?;
    spawn(move || link.run())?;
    if !shared.wait_for_start(RECONNECT_MAX) {
        return Err(SdkError::NoAgent(socket));
    }
    Ok(Session::new(context, shared, Agent::Linked))
}

fn alone(request: Alone) -> Result<Session, SdkError> {
    let Alone { context, place } = request;
    let shared = Arc::new(Shared::new()?);
    signals::install(shared.wake_fd())?;
    let watched = Arc::clone(&shared);
    spawn(move || {
        while !watched.stopping() {
            wait(&watched, None, None::<Duration>);
        }
    })?;
    let place = place.map(|place| MeetingPlace::open(place, &context, Arc::clone(&shared))).transpose()?;
    Ok(Session::new(context, shared, Agent::Absent(place)))
}

pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("muster-link".to_owned()).stack_size(LINK_STACK_BYTES).spawn(work).map(drop)
}

fn read_context(path: &Path) -> Result<Context, SdkError> {
    let text = std::fs::read(path).map_err(|error| SdkError::ReadContext(path.to_owned(), error))?;
    serde_json::from_slice(&text).map_err(|error| SdkError::ParseContext(path.to_owned(), error))
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(error) = cause else { break };
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
