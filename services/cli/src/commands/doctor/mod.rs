//! `muster doctor`: asks everybody at once, judges what was found, and says what is not well, why, and what to do.
//!
//! Every owning service makes a full pass for it, so what differs is repaired by ordinary events while this looks.

mod found;
mod gather;
mod judge;

use std::fmt::Write;

use self::judge::{Check, Outcome};
use super::Session;
use crate::arguments::DoctorArguments;
use crate::exit::{Failure, one_line};
use crate::output::{Cell, Column, Format, Table};

pub(super) async fn run(session: &Session, arguments: &DoctorArguments) -> Result<(), Failure> {
    let found = gather::gather(&session.client, arguments.wait).await;
    let checks = judge::judge(&found);
    session.print(&table(&checks)).await?;
    if session.format == Format::Table {
        session.write(&explained(&checks))?;
    }
    let limit = if arguments.strict { Outcome::Warn } else { Outcome::Fail };
    let bad: Vec<&str> =
        checks.iter().filter(|check| check.outcome >= limit).map(|check| check.name.as_str()).collect();
    if bad.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(anyhow::anyhow!("{} of {} checks: {}", bad.len(), checks.len(), bad.join(", "))))
}

fn table(checks: &[Check]) -> Table {
    let mut columns: Vec<Column> = ["check", "state", "found"].map(Column::new).into();
    columns.extend(["why", "next"].map(Column::programs));
    let mut table = Table::new(columns);
    for check in checks {
        table.push(vec![
            Cell::text(&check.name),
            Cell::text(check.outcome.as_str()),
            Cell::text(&check.found),
            Cell::text(&check.why),
            Cell::text(&check.next),
        ]);
    }
    table
}

/// For people: why each that is not ok is not, and what to do.
fn explained(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks.iter().filter(|check| check.outcome != Outcome::Ok) {
        let _ = writeln!(text, "\n{} {}: {}", check.outcome.as_str(), one_line(&check.name), one_line(&check.found));
        let _ = writeln!(text, "  why:  {}\n  next: {}", one_line(&check.why), one_line(&check.next));
    }
    text
}
