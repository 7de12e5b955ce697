//! `muster client`: inside a test, through the agent of its machine. Needs no bus: the token of the process is what permits it.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use muster_model::{PoolTime, Refusal, RefusalCode, milliseconds};
use muster_module_protocol::{Asker, Client, ClientWish, HolderWish, ask_as_holder, environment};
use uuid::Uuid;

use crate::arguments::{ClientCommand, Command};
use crate::exit::Failure;
use crate::output::{self, Cell, Column, Format, Layout, Table};
use crate::times::{Viewer, short};

/// The agent answers within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How often clients are looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Where the agent of a machine listens, where nothing else is said.
const AGENT_SOCKET: &str = "/var/lib/muster/agent/agent.sock";
const WHAT: &str = "ask the agent";

/// Performs a command for who holds this machine, which its agent answers. None for any other.
pub(super) fn performed_here(command: &Command, format: Format) -> Option<Result<(), Failure>> {
    let wish = match command {
        Command::Extend(extend) if extend.number.here => {
            HolderWish::Extend { id: id(), by_ms: extend.by.map_or(0, milliseconds) }
        }
        Command::Checkin(check_in) if check_in.number.here => HolderWish::CheckIn { id: id() },
        _ => return None,
    };
    Some(here(wish, format))
}

/// Runs one.
///
/// # Errors
/// Outside a test, or refused.
pub(super) fn run(command: &ClientCommand, format: Format) -> Result<(), Failure> {
    let asker = asker()?;
    let clients = match command {
        ClientCommand::Ask(asked) => ask(
            &asker,
            ClientWish::Ask {
                id: id(),
                selector: asked.selector.clone(),
                count: asked.count,
                each: !asked.together,
                for_ms: milliseconds(asked.duration),
                priority: asked.priority,
            },
        )?,
        ClientCommand::List => ask(&asker, ClientWish::List)?,
        ClientCommand::Wait { ready, within } => wait(&asker, *ready, *within)?,
        ClientCommand::Extend { reservation, by } => {
            ask(&asker, ClientWish::Extend { id: id(), reservation: *reservation, by_ms: milliseconds(*by) })?
        }
        ClientCommand::Dismiss { machine } => {
            ask(&asker, ClientWish::Dismiss { id: id(), reservation: 0, machine: machine.clone() })?
        }
    };
    print(&clients, format)
}

fn print(clients: &[Client], format: Format) -> Result<(), Failure> {
    let layout = Layout { format, viewer: Viewer::here(PoolTime::NEVER) };
    output::write(&layout.render(&table(clients))?)
}

fn here(wish: HolderWish, format: Format) -> Result<(), Failure> {
    let stream = connect()?;
    print(&ask_as_holder(stream, wish).map_err(unreachable)?, format)
}

/// The process in whose name it is asked.
fn asker() -> Result<Asker, Failure> {
    let variable = |name: &str| {
        let missing = || {
            let next = "reserve in your own name with `muster reserve`, for a reservation of yours with `--master`";
            Refusal::new(RefusalCode::Refused, WHAT, format!("{name} is not set: this is no test"), next)
        };
        std::env::var(name).map_err(|_| Failure::from(missing()))
    };
    let number = |name: &str| -> Result<u32, Failure> {
        variable(name)?.parse().map_err(|error| anyhow::anyhow!("read {name}: {error}").into())
    };
    Ok(Asker {
        run: number(environment::RUN)?,
        dpid: variable(environment::DPID)?,
        attempt: number(environment::ATTEMPT)?,
        token: variable(environment::TOKEN)?,
    })
}

fn ask(asker: &Asker, wish: ClientWish) -> Result<Vec<Client>, Failure> {
    asker.ask(connect()?, wish).map_err(unreachable)
}

/// A connection to the agent of this machine.
fn connect() -> Result<UnixStream, Failure> {
    let socket = std::env::var(environment::SOCKET).unwrap_or_else(|_| AGENT_SOCKET.to_owned());
    let stream = UnixStream::connect(&socket).and_then(|stream| {
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(stream)
    });
    stream.map_err(|error| Failure::Unreachable(format!("no agent answers at {socket}: {error}")))
}

fn unreachable(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            Refusal::new(RefusalCode::Refused, WHAT, error.to_string(), "`muster reservation list` shows who has what")
                .into()
        }
        _ => Failure::Unreachable(format!("the agent of this machine does not answer: {error}; ask again")),
    }
}

/// Waits until so many machines are ready, or all that were asked for.
fn wait(asker: &Asker, wanted: Option<u32>, within: Duration) -> Result<Vec<Client>, Failure> {
    let begun = Instant::now();
    loop {
        let clients = ask(asker, ClientWish::List)?;
        let ready: usize = clients.iter().map(|client| client.ready.len()).sum();
        let asked: u32 = clients.iter().map(|client| client.count).sum();
        let wanted = wanted.unwrap_or(asked) as usize;
        if ready >= wanted {
            return Ok(clients);
        }
        if begun.elapsed() >= within {
            let within = short(within);
            return Err(Failure::TimedOut(format!("wait for clients: {ready} of {wanted} are ready after {within}")));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn table(clients: &[Client]) -> Table {
    let names = ["reservation", "state", "count", "ready", "machines", "deadline_time", "reason"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    for client in clients {
        table.push(vec![
            Cell::Integer(client.reservation),
            Cell::text(&client.state),
            Cell::Integer(client.count.into()),
            Cell::List(client.ready.clone()),
            Cell::List(client.machines.clone()),
            Cell::time_ns(client.deadline_ns),
            Cell::text(&client.reason),
        ]);
    }
    table
}

fn id() -> String {
    Uuid::now_v7().simple().to_string()
}
