//! `muster quota`: what users may have at once, for how long and how urgently, and what they have had.

use muster_model::{nanoseconds, quantity};
use muster_proto::v1::{self, reservation_command, reservation_query, reservation_reply};

use super::Session;
use crate::arguments::{QuotaCommand, QuotaSetArguments};
use crate::client::unexpected;
use crate::exit::Failure;
use crate::output::{Cell, Column, Table};

pub(super) async fn run(session: &Session, command: QuotaCommand) -> Result<(), Failure> {
    match command {
        QuotaCommand::List => list(session).await,
        QuotaCommand::Set(arguments) => set(session, &arguments).await,
    }
}

async fn asked(session: &Session) -> Result<v1::QuotaList, Failure> {
    let kind = reservation_query::Kind::Quotas(v1::ListQuotas {});
    match session.client.reservation_query("list quotas", kind).await? {
        reservation_reply::Kind::Quotas(list) => Ok(list),
        _ => Err(unexpected("reservation")),
    }
}

async fn set(session: &Session, arguments: &QuotaSetArguments) -> Result<(), Failure> {
    let name = full_name(&arguments.name);
    let known = asked(session).await?.quotas.into_iter().find(|set| set.name == name);
    let mut quota = known.and_then(|set| set.quota).unwrap_or_default();
    for setting in &arguments.settings {
        change(&mut quota, setting).map_err(|why| Failure::Usage(format!("set the quota of {name}: {why}")))?;
    }
    let kind = reservation_command::Kind::SetQuota(v1::QuotaSet { name: name.clone(), quota: Some(quota) });
    session.client.reservation_commanded(&format!("set the quota of {name}"), None, kind).await?;
    list(session).await
}

/// `anna` is `user:anna`.
fn full_name(name: &str) -> String {
    if name == "*" || name.contains(':') { name.to_owned() } else { format!("user:{name}") }
}

fn change(quota: &mut v1::Quota, setting: &str) -> Result<(), String> {
    let (name, value) = setting.split_once('=').ok_or_else(|| format!("`{setting}` is not NAME=VALUE"))?;
    let number = || match value {
        "" => Ok(None),
        text => text.parse::<u32>().map(Some).map_err(|_| format!("`{setting}`: `{text}` is no whole number")),
    };
    let span = || match value {
        "" => Ok(0),
        text => {
            quantity::parse_duration(text).map(nanoseconds).map_err(|error| format!("`{setting}`: {}", error.reason))
        }
    };
    match name {
        "machines" => {
            let machines = number()?;
            (quota.machines, quota.no_machines) = (machines.unwrap_or(0), machines == Some(0));
        }
        "length" => quota.length_ns = span()?,
        "ahead" => quota.ahead_ns = span()?,
        "priority" => quota.priority_and_one = number()?.map_or(0, |priority| priority.saturating_add(1)),
        "no-deadline" => quota.no_deadline = flag(setting, value)?,
        "share" => quota.share = number()?.unwrap_or(0),
        "members" => {
            let members = value.split(',').map(str::trim).filter(|name| !name.is_empty());
            quota.members = members.map(full_name).collect();
            quota.members.sort();
        }
        other => return Err(format!("there is no `{other}`; `muster quota set --help` shows what can be set")),
    }
    Ok(())
}

fn flag(setting: &str, value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" | "" => Ok(false),
        other => Err(format!("`{setting}`: `{other}` is neither yes nor no")),
    }
}

/// Quotas first, then users who have none of their own and have had machines.
async fn list(session: &Session) -> Result<(), Failure> {
    let list = asked(session).await?;
    let names =
        ["name", "machines", "length", "ahead", "priority", "share", "no_deadline", "members", "has", "machine_hours"];
    let mut table = Table::new(names.into_iter().map(Column::new).collect());
    let use_of = |name: &str| list.uses.iter().find(|used| used.user == name);
    for set in &list.quotas {
        table.push(row(&set.name, set.quota.as_ref().unwrap_or(&v1::Quota::default()), use_of(&set.name)));
    }
    let is_listed = |user: &str| list.quotas.iter().any(|set| set.name == user);
    for used in list.uses.iter().filter(|used| !is_listed(&used.user)) {
        table.push(row(&used.user, &v1::Quota::default(), Some(used)));
    }
    session.print(&table).await
}

fn row(name: &str, quota: &v1::Quota, used: Option<&v1::MachineUse>) -> Vec<Cell> {
    let span = |ns: i64| u64::try_from(ns).ok().filter(|ns| *ns > 0).map(std::time::Duration::from_nanos);
    let number = |set: bool, number: u32| if set { Cell::Integer(number.into()) } else { Cell::None };
    vec![
        Cell::text(name),
        number(quota.machines > 0 || quota.no_machines, quota.machines),
        span(quota.length_ns).map_or(Cell::None, Cell::Span),
        span(quota.ahead_ns).map_or(Cell::None, Cell::Span),
        number(quota.priority_and_one > 0, quota.priority_and_one.saturating_sub(1)),
        Cell::Integer(quota.share.max(1).into()),
        Cell::Flag(quota.no_deadline),
        Cell::List(quota.members.clone()),
        Cell::Integer(used.map_or(0, |used| used.machines).into()),
        Cell::Number(used.map_or(0.0, |used| used.machine_hours)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_taken_away() {
        let mut quota = v1::Quota::default();
        for setting in ["machines=0", "length=48h", "priority=0", "share=2", "members=ben, anna"] {
            change(&mut quota, setting).expect(setting);
        }
        assert!(quota.no_machines && quota.priority_and_one == 1 && quota.share == 2);
        assert_eq!(quota.members, ["user:anna", "user:ben"]);
        change(&mut quota, "machines=").expect("taken away");
        assert!(!quota.no_machines);
        for (wrong, why) in [("machines", "NAME=VALUE"), ("machines=-1", "whole number"), ("speed=9", "--help")] {
            assert!(change(&mut quota, wrong).expect_err(wrong).contains(why), "{wrong}");
        }
    }
}
