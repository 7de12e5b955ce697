//! `muster emit` and `muster wait-event`: events of tests, also for whoever runs on no machine of the pool.

use std::time::{Duration, Instant};

use muster_model::{Dpid, PoolTime};
use muster_proto::v1::{self, job_command, job_query, job_reply};

use super::Session;
use crate::arguments::{EmitArguments, WaitEventArguments};
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

/// How often is looked.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Says an event.
pub(super) async fn emit(session: &Session, arguments: EmitArguments) -> Result<(), Failure> {
    let EmitArguments { name, data } = arguments;
    let what = format!("emit {name}");
    let command = job_command::Kind::Emit(v1::EmitTestEvent { name, data });
    match session.client.job_command(&what, command).await? {
        job_reply::Kind::TestEvent(event) => session.print(&table(&[event])).await,
        _ => Err(unexpected("scheduler")),
    }
}

/// Waits for the first event that is asked for.
pub(super) async fn wait(session: &Session, arguments: WaitEventArguments) -> Result<(), Failure> {
    let what = format!("wait for the event {}", arguments.name);
    let begun = Instant::now();
    let mut asked = first_question(session, &what, &arguments).await?;
    loop {
        let list = ask(session, &what, asked.clone()).await?;
        if let Some(event) = list.events.into_iter().next() {
            return session.print(&table(&[event])).await;
        }
        if begun.elapsed() >= arguments.within {
            let of = arguments.job.map_or_else(String::new, |job| format!(" of job {job}"));
            let within = arguments.within;
            return Err(Failure::TimedOut(format!(
                "{what}: none{of} was said within {within:?}; `muster events --log jobs` shows what was"
            )));
        }
        if list.newest < asked.after {
            // A new run began: its events are numbered from 1.
            asked.after = 0;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// From where on events count: from now, unless the user says otherwise.
async fn first_question(
    session: &Session,
    what: &str,
    arguments: &WaitEventArguments,
) -> Result<v1::ListTestEvents, Failure> {
    let (name, job) = (arguments.name.clone(), arguments.job.unwrap_or_default());
    let asked = v1::ListTestEvents { name, job, after: arguments.after.unwrap_or_default(), since_ns: 0 };
    if arguments.after.is_some() {
        return Ok(asked);
    }
    match arguments.since {
        Some(since) => {
            let since_ns = session.client.viewer().await.now.0.saturating_sub(muster_model::nanoseconds(since));
            Ok(v1::ListTestEvents { since_ns, ..asked })
        }
        None => {
            let after = ask(session, what, asked.clone()).await?.newest;
            Ok(v1::ListTestEvents { after, ..asked })
        }
    }
}

async fn ask(session: &Session, what: &str, asked: v1::ListTestEvents) -> Result<v1::TestEventList, Failure> {
    match session.client.job_query(what, job_query::Kind::TestEvents(asked)).await? {
        job_reply::Kind::TestEvents(list) => Ok(list),
        _ => Err(unexpected("scheduler")),
    }
}

fn table(events: &[v1::TestEvent]) -> Table {
    let mut table =
        Table::new(["number", "time", "name", "data", "dpid", "machine", "actor"].map(Column::new).to_vec());
    for event in events {
        let dpid = event.id.as_ref().and_then(|id| id.dpid).map(|dpid| Dpid::from(dpid).to_string());
        table.push(vec![
            Cell::Integer(event.number),
            Cell::Time(PoolTime(event.time_ns)),
            Cell::text(&event.name),
            Cell::text(&event.data),
            dpid.map_or(Cell::None, Cell::Text),
            Cell::text(&event.machine),
            Cell::text(&event.actor),
        ]);
    }
    table
}
