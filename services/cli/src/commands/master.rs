//! `muster master`: which command center gives the commands of job control.

use muster_proto::v1::{self, job_command, job_query, job_reply};

use super::Session;
use crate::arguments::MasterCommand;
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Table};

pub(super) async fn run(session: &Session, command: &MasterCommand) -> Result<(), Failure> {
    let machine = session.client.seat().map_or_else(String::new, |seat| seat.machine.clone());
    let change = match command {
        MasterCommand::Show => {
            let query = job_query::Kind::Master(v1::MasterQuery::default());
            let reply = session.client.job_query("show the master", query).await?;
            return session.print(&table(&taken(reply)?)).await;
        }
        MasterCommand::Take { take_over } => v1::ChangeMaster { release: false, take_over: *take_over, machine },
        MasterCommand::Release => v1::ChangeMaster { release: true, take_over: false, machine },
    };
    let what = if change.release { "release the mastership" } else { "take the mastership" };
    let wants = !change.release;
    if change.release
        && let Some(seat) = session.client.seat()
    {
        // Before it is free, so that this center does not take it again by itself.
        seat.wish(false);
    }
    let master = taken(session.client.job_command(what, job_command::Kind::Master(change)).await?)?;
    if let Some(seat) = session.client.seat() {
        seat.wish(wants);
        seat.hear(master.as_ref());
    }
    session.print(&table(&master)).await
}

fn taken(reply: job_reply::Kind) -> Result<Option<v1::Master>, Failure> {
    match reply {
        job_reply::Kind::Master(reply) => Ok(reply.master),
        _ => Err(unexpected("scheduler")),
    }
}

fn table(master: &Option<v1::Master>) -> Table {
    let text = |text: Option<&String>| text.map_or(Cell::None, Cell::text);
    let master = master.as_ref();
    Table::record(vec![
        ("master", master.map_or_else(|| Cell::text("nobody"), |master| Cell::text(&master.actor))),
        ("machine", text(master.map(|master| &master.machine))),
        ("center", text(master.map(|master| &master.center))),
        ("since_time", master.map_or(Cell::None, |master| Cell::time_ns(master.since_ns))),
    ])
}
