//! Clients of a test: machines that are reserved for this process, and go back when it ends, however it ends.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use muster_model::milliseconds;
use muster_module_protocol::{Asker, Client, ClientWish, environment};

use crate::session::Session;
use crate::words::random;

/// The agent answers within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Which clients are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Selector of machines; empty for any.
    pub selector: &'a str,
    /// How many.
    pub count: u32,
    /// Each for itself, to be used as they become ready; else all of them or none.
    pub each: bool,
    /// For so long; they end with this process in any case.
    pub time: Duration,
}

impl Session {
    /// The clients of this process that are not over, one entry for each reservation. `ready` of each names the machines that can be used.
    ///
    /// # Errors
    /// No agent answers, or it refuses; by hand, there is none.
    pub fn clients(&self) -> io::Result<Vec<Client>> {
        self.ask_for_clients(ClientWish::List)
    }

    /// Asks for machines. They are queued like any request; [`Session::clients`] says how they stand.
    ///
    /// # Errors
    /// As [`Session::clients`], and what no waiting can fulfil.
    pub fn ask_clients(&self, wanted: &Wanted<'_>) -> io::Result<Vec<Client>> {
        self.ask_for_clients(ClientWish::Ask {
            id: id()?,
            selector: wanted.selector.to_owned(),
            count: wanted.count,
            each: wanted.each,
            for_ms: milliseconds(wanted.time),
            priority: 0,
        })
    }

    /// Keeps clients for longer.
    ///
    /// # Errors
    /// As [`Session::clients`], and beyond what its user may have.
    pub fn extend_clients(&self, reservation: u64, by: Duration) -> io::Result<()> {
        let wish = ClientWish::Extend { id: id()?, reservation, by_ms: milliseconds(by) };
        self.ask_for_clients(wish).map(drop)
    }

    /// Gives one machine back.
    ///
    /// # Errors
    /// As [`Session::clients`], and where it is no client of this process.
    pub fn dismiss_client(&self, machine: &str) -> io::Result<()> {
        let wish = ClientWish::Dismiss { id: id()?, reservation: 0, machine: machine.to_owned() };
        self.ask_for_clients(wish).map(drop)
    }

    fn ask_for_clients(&self, wish: ClientWish) -> io::Result<Vec<Client>> {
        let variable = |name| std::env::var(name).map_err(|_| io::Error::new(io::ErrorKind::NotFound, NO_AGENT));
        let (context, token) = (self.context(), variable(environment::TOKEN)?);
        let stream = UnixStream::connect(variable(environment::SOCKET)?)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Asker { run: context.run, dpid: context.dpid.clone(), attempt: context.attempt, token }.ask(stream, wish)
    }
}

const NO_AGENT: &str = "no agent started this process: it has no clients";

fn id() -> io::Result<String> {
    let [high, low] = random::<2>()?;
    Ok(format!("{high:016x}{low:016x}"))
}
