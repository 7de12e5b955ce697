//! `muster admin audit`: whether the decision logs are as they were written, and who did what.

use std::collections::VecDeque;

use bytes::Bytes;
use muster_bus::streams;
use muster_ledger::{AuditOptions, Audited, Seal};
use muster_model::PoolTime;
use muster_model::text::hex;
use serde_json::Value;

use super::Session;
use super::admin::{OWNERS, refused};
use super::limits::moment;
use crate::arguments::{AuditCommand, AuditListArguments, AuditVerifyArguments};
use crate::decode::{EventLine, lines_of};
use crate::exit::{Failure, one_line};
use crate::output::{Cell, Column, Format, Table};

pub(super) async fn run(session: &Session, command: &AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify(arguments) => verify(session, arguments).await,
        AuditCommand::List(arguments) => list(session, arguments).await,
    }
}

async fn verify(session: &Session, arguments: &AuditVerifyArguments) -> Result<(), Failure> {
    let since = PoolTime(moment(session, arguments.since).await);
    let mut all = Vec::new();
    for service in OWNERS {
        let log = streams::log_of(service).unwrap_or_default();
        let seals = arguments.seals.iter().filter(|seal| seal.log == log).map(|seal| seal.seal.clone()).collect();
        let options = AuditOptions { seals, since };
        let audited = muster_ledger::audit(session.client.bus(), service, options, &mut |_, _, _| {}).await;
        all.push((log, audited.map_err(|error| refused("audit", error))?));
    }
    session.print(&verified(&all)).await?;
    if session.format == Format::Table {
        session.write(&explained(&all))?;
    }
    let broken: Vec<&str> = all.iter().filter(|(_, audited)| !audited.breaks.is_empty()).map(|(log, _)| *log).collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(anyhow::anyhow!(
        "{} not as written; the other copy, a backup or a seal says what was there: see docs/operations.md",
        broken.join(", ")
    )))
}

fn verified(all: &[(&'static str, Audited)]) -> Table {
    let names = ["log", "messages", "commands", "proven", "from", "to", "first", "last", "archived", "breaks"];
    let mut columns: Vec<Column> = names.into_iter().map(Column::new).collect();
    columns.extend(["first_break", "archive_away", "seal"].map(Column::programs));
    let mut table = Table::new(columns);
    let position =
        |position: Option<muster_model::Position>| position.map_or(Cell::None, |at| Cell::text(at.to_string()));
    for (log, audited) in all {
        let (from, to) = audited.times.unwrap_or_default();
        let breaks = audited.breaks.len() as u64 + audited.breaks_more;
        table.push(vec![
            Cell::text(*log),
            Cell::Integer(audited.messages),
            Cell::Integer(audited.commands),
            Cell::Integer(audited.proven),
            Cell::time_ns(from.0),
            Cell::time_ns(to.0),
            position(audited.first),
            position(audited.head.as_ref().map(|head| head.position)),
            position(audited.archived),
            Cell::Integer(breaks),
            audited.breaks.first().map_or(Cell::None, |first| Cell::text(break_text(first))),
            Cell::text(&audited.archive_away),
            audited.head.as_ref().map_or(Cell::None, |head| Cell::text(seal_text(log, head))),
        ]);
    }
    table
}

fn break_text(broken: &muster_ledger::Break) -> String {
    format!("{} at {}: {}", broken.copy, broken.position, broken.what)
}

fn seal_text(log: &str, seal: &Seal) -> String {
    format!("{log}:{}:{}", seal.position, hex(&seal.hash))
}

/// For people: each break, what could not be looked at, and the seals to keep.
fn explained(all: &[(&'static str, Audited)]) -> String {
    let mut text = String::from("\n");
    for (log, audited) in all {
        for broken in &audited.breaks {
            text.push_str(&format!("{log}: {}\n", one_line(&break_text(broken))));
        }
        if audited.breaks_more > 0 {
            text.push_str(&format!("{log}: and {} more\n", audited.breaks_more));
        }
        if !audited.archive_away.is_empty() {
            let away = one_line(&audited.archive_away);
            text.push_str(&format!("{log}: not compared with its copy in PostgreSQL ({away}): what only that has is not verified, and a cut end not seen\n"));
        }
    }
    text.push_str("kept elsewhere, these find a log that was written anew in both copies:\n");
    for (log, audited) in all {
        text.extend(audited.head.as_ref().map(|head| format!("  --seal {}\n", seal_text(log, head))));
    }
    text
}

/// What is listed, and what of it.
struct Listing<'a> {
    by: Option<&'a str>,
    machine: Option<&'a str>,
    since: PoolTime,
    limit: usize,
    lines: VecDeque<EventLine>,
    more: u64,
}

async fn list(session: &Session, arguments: &AuditListArguments) -> Result<(), Failure> {
    let since = PoolTime(moment(session, arguments.since).await);
    let (by, machine) = (arguments.by.as_deref(), arguments.machine.as_deref());
    let (limit, mut listed, mut more) = (arguments.limit as usize, Vec::new(), 0);
    for service in OWNERS {
        let mut listing = Listing { by, machine, since, limit, lines: VecDeque::new(), more: 0 };
        let options = AuditOptions { since, ..AuditOptions::default() };
        let mut see = |log: &'static str, sequence: u64, payload: &Bytes| listing.take(log, sequence, payload);
        let audited = muster_ledger::audit(session.client.bus(), service, options, &mut see).await;
        let audited = audited.map_err(|error| refused("audit", error))?;
        tell_trouble(streams::log_of(service).unwrap_or_default(), &audited);
        more += listing.more;
        listed.extend(listing.lines);
    }
    listed.sort_by_key(|line| line.pool_time);
    more += listed.len().saturating_sub(limit) as u64;
    let newest = listed.split_off(listed.len().saturating_sub(limit));
    if more > 0 {
        eprintln!(
            "muster: {more} older ones are not shown; narrow it (--by, --machine, --since), or give a greater --limit"
        );
    }
    session.print(&table(&newest)).await
}

/// A list that leaves something out says so.
fn tell_trouble(log: &str, audited: &Audited) {
    if !audited.archive_away.is_empty() {
        let away = one_line(&audited.archive_away);
        eprintln!("muster: {log}: what only its copy in PostgreSQL still has is left out ({away})");
    }
    if !audited.breaks.is_empty() {
        eprintln!("muster: {log} is not as it was written: `muster admin audit verify` says where");
    }
}

impl Listing<'_> {
    fn take(&mut self, log: &'static str, sequence: u64, payload: &Bytes) {
        match lines_of(log, sequence, payload) {
            Ok(lines) => lines.into_iter().filter(|line| line.cause == "command").for_each(|line| self.line(line)),
            Err(error) => eprintln!("muster: {log} {sequence}: {}", one_line(&error.to_string())),
        }
    }

    fn line(&mut self, line: EventLine) {
        let is_by = self.by.is_none_or(|by| is_of(&line, by));
        let is_on = self.machine.is_none_or(|machine| names(&line, machine));
        if line.pool_time < self.since || !is_by || !is_on {
            return;
        }
        if self.lines.len() == self.limit {
            self.lines.pop_front();
            self.more += 1;
        }
        self.lines.push_back(line);
    }
}

/// Whether somebody gave a command, or it was given in their name.
fn is_of(line: &EventLine, by: &str) -> bool {
    [line.actor.as_str(), line.sender.as_str()].into_iter().any(|who| {
        who == by
            || who.strip_prefix("user").is_some_and(|rest| rest.strip_prefix([':', '/']).is_some_and(|name| name == by))
    })
}

fn names(line: &EventLine, machine: &str) -> bool {
    line.about.values().any(|value| value_names(value, machine)) || value_names(&line.fields, machine)
}

fn value_names(value: &Value, machine: &str) -> bool {
    match value {
        Value::String(text) => text == machine,
        Value::Array(values) => values.iter().any(|value| value_names(value, machine)),
        Value::Object(values) => values.values().any(|value| value_names(value, machine)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn table(lines: &[EventLine]) -> Table {
    let mut columns: Vec<Column> = ["time", "log", "position", "by", "proven", "what", "about"].map(Column::new).into();
    columns.push(Column::programs("fields"));
    let mut table = Table::new(columns);
    for line in lines {
        let about = line.about.values().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        table.push(vec![
            Cell::Time(line.pool_time),
            Cell::text(&line.log),
            Cell::text(&line.position),
            Cell::text(&line.actor),
            if line.sender.is_empty() { Cell::None } else { Cell::text(&line.sender) },
            Cell::text(&line.kind),
            Cell::List(about.collect()),
            Cell::text(line.fields.to_string()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn line(actor: &str, sender: &str, fields: Value) -> EventLine {
        EventLine {
            log: "JOBS".into(),
            position: "1/2".into(),
            index: 0,
            time: None,
            actor: actor.into(),
            sender: sender.into(),
            cause: "command",
            kind: "job_started".into(),
            about: Map::new(),
            fields,
            pool_time: PoolTime(1),
        }
    }

    #[test]
    fn who_did_it_is_found_by_the_name_that_was_said_and_by_the_proven_one() {
        let line = line("user:anna", "agent/node-1", Value::Null);
        for by in ["anna", "user:anna", "agent/node-1"] {
            assert!(is_of(&line, by), "{by}");
        }
        for by in ["ann", "node-1", "user", "bert", ""] {
            assert!(!is_of(&line, by), "{by}");
        }
    }

    #[test]
    fn a_machine_is_found_wherever_it_is_named_and_no_part_of_another_is() {
        let line = line("user:anna", "", json!({"placements": [{"machine": "node-12"}, {"machine": "node-2"}]}));
        assert!(names(&line, "node-2") && names(&line, "node-12") && !names(&line, "node-1"));
    }
}
