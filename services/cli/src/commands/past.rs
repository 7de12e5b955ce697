//! `muster at` and `muster diff`: the pool at moments that have passed, as the owning services have it in their logs.
//!
//! What is in no log (heartbeats, pings) is unknown then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_model::PoolTime;
use muster_proto::v1;

use super::limits::moment;
use super::{Session, jobs, machines, processes, reservations};
use crate::arguments::{AtArguments, DiffArguments, PastListing};
use crate::exit::Failure;
use crate::output::{Cell, Column, Record, Table};
use crate::times::Since;

/// Fields that say of themselves when something was, and nothing of what it was.
const UNTOLD: [&str; 3] = ["heartbeat_age_seconds", "iterations", "unchanged_seconds"];

/// Lists a part of the pool as it was.
pub(super) async fn at(session: &Session, arguments: &AtArguments) -> Result<(), Failure> {
    let then = past(session, arguments.time).await;
    let table = listing(&then, arguments.listing, arguments.all).await?;
    then.print(&table).await
}

/// Tells what became otherwise.
pub(super) async fn diff(session: &Session, arguments: DiffArguments) -> Result<(), Failure> {
    let until = arguments.to.unwrap_or(Since::Ago(Duration::ZERO));
    let (before, after) = (past(session, arguments.from).await, past(session, until).await);
    let asked: BTreeSet<PastListing> = arguments.only.into_iter().collect();
    let mut table = Table::new(["what", "name", "change", "field", "from", "to"].map(Column::new).into());
    for what in PastListing::ALL.into_iter().filter(|what| asked.is_empty() || asked.contains(what)) {
        let [key, word] = match what {
            PastListing::Machines => ["machine", "machine"],
            PastListing::Reservations => ["reservation", "reservation"],
            PastListing::Jobs => ["job", "job"],
            PastListing::Ps => ["dpid", "process"],
        };
        let (first, second) = (listing(&before, what, true).await?, listing(&after, what, true).await?);
        changes(word, &first.records(key), &second.records(key)).into_iter().for_each(|row| table.push(row));
    }
    after.print(&table).await
}

/// The same session, asking about a moment. Now is a moment too, so that both sides of a comparison know the same.
async fn past(session: &Session, then: Since) -> Session {
    session.at(PoolTime(moment(session, Some(then)).await))
}

async fn listing(session: &Session, what: PastListing, all: bool) -> Result<Table, Failure> {
    Ok(match what {
        PastListing::Machines => machines::table(&session.client.machines("list machines", "", false).await?),
        PastListing::Reservations => {
            reservations::table(&session.client.reservations("list reservations", 0, all).await?)
        }
        PastListing::Jobs => {
            let (found, run) = session.client.jobs("list jobs", 0, all).await?;
            jobs::table(&found, run)
        }
        PastListing::Ps => {
            let asked = v1::ListProcesses { ended: all, ..Default::default() };
            let (found, _) = session.client.processes("list processes", asked).await?;
            processes::table(&found, session.viewer().await.now)
        }
    })
}

/// One row for each that came or went, and for each field that changed.
fn changes(what: &str, before: &[Record], after: &[Record]) -> Vec<Vec<Cell>> {
    let by_name = |records: &'_ [Record]| -> BTreeMap<String, usize> {
        records.iter().enumerate().map(|(place, record)| (record.name.clone(), place)).collect()
    };
    let (known, still) = (by_name(before), by_name(after));
    let row = |name: &str, change: &str, field: &str, from: &str, to: &str| {
        [what, name, change, field, from, to].map(Cell::text).to_vec()
    };
    let gone = before.iter().filter(|record| !still.contains_key(&record.name));
    let mut rows: Vec<Vec<Cell>> = gone.map(|record| row(&record.name, "gone", "", "", "")).collect();
    for record in after {
        let Some(place) = known.get(&record.name) else {
            rows.push(row(&record.name, "new", "", "", ""));
            continue;
        };
        let pairs = before[*place].fields.iter().zip(&record.fields);
        let changed = pairs.filter(|((name, from), (_, to))| from != to && !UNTOLD.contains(&name.as_str()));
        rows.extend(changed.map(|((name, from), (_, to))| row(&record.name, "changed", name, from, to)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, state: &str) -> Record {
        Record { name: name.into(), fields: vec![("state".into(), state.into()), ("iterations".into(), state.into())] }
    }

    #[test]
    fn what_came_went_and_changed_is_told_and_what_only_counts_is_not() {
        let before = [record("1", "running"), record("2", "running")];
        let after = [record("2", "finished"), record("3", "starting")];
        let told: Vec<Vec<String>> =
            changes("job", &before, &after).iter().map(|row| row.iter().map(Cell::for_csv).collect()).collect();
        assert_eq!(
            told,
            [
                ["job", "1", "gone", "", "", ""],
                ["job", "2", "changed", "state", "running", "finished"],
                ["job", "3", "new", "", "", ""],
            ]
        );
    }
}
