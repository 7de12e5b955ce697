//! Who had machines, who waited for them, what broke, and what lay idle.

mod ledger;

use std::collections::BTreeMap;

use muster_proto::v1::{ReportReply, Row};
use muster_store::{Client, Error, Result, Store};

use self::ledger::{Change, Hours, Ledger, Told};
use super::cells::{integer, number, number_column, text, text_column};
use super::scope::{ASKED, Scope, machine_wanted};
use super::{ROWS_MAX, cut_note};

/// Events of machines that are read at most.
const EVENTS_MAX: i64 = 500_000;
/// Stretches in which machines worked that are read at most.
const SPANS_MAX: i64 = 500_000;

fn events() -> String {
    let machine = machine_wanted("l.subject");
    format!(
        "{ASKED} SELECT l.subject, (extract(epoch FROM l.at) * 1000000)::bigint, l.kind, \
            coalesce(l.detail ->> 'flag', l.detail ->> 'health', l.detail ->> 'to', l.detail #>> '{{holder,user}}', ''), \
            coalesce((l.detail ->> 'value')::boolean, false), coalesce((l.detail #>> '{{holder,reservation}}')::bigint, 0) \
         FROM asked CROSS JOIN log_event AS l \
         WHERE l.log = 'MACHINES' AND l.kind IN ('added', 'removed', 'flag_changed', 'epoch_raised', 'health_changed', 'quarantined', 'phase_changed') \
           AND l.at < asked.until AND {machine} ORDER BY l.lineage, l.sequence, l.ordinal LIMIT $11"
    )
}

/// When processes ran on each machine, as one list without overlaps.
const BUSY: &str = "\
SELECT machine, (extract(epoch FROM lower(span)) * 1000000)::bigint, (extract(epoch FROM upper(span)) * 1000000)::bigint \
FROM (SELECT p.machine, range_agg(tstzrange(p.running_at, coalesce(p.ended_at, muster_time($11::bigint)))) AS spans \
      FROM asked CROSS JOIN process AS p \
      WHERE p.machine IS NOT NULL AND p.state <> 'replaced' AND p.running_at < coalesce(p.ended_at, muster_time($11)) AND p.running_at < asked.until \
        AND coalesce(p.ended_at, muster_time($11)) > asked.since GROUP BY 1) AS own \
CROSS JOIN LATERAL unnest(own.spans) AS span ORDER BY 1, 2 LIMIT $12";

const WAITS: &str = "\
SELECT r.username, count(*), avg(extract(epoch FROM r.ready_at - r.queued_at))::float8, max(extract(epoch FROM r.ready_at - r.queued_at))::float8 \
FROM asked CROSS JOIN reservation AS r \
WHERE r.username IS NOT NULL AND r.queued_at < asked.until AND coalesce(r.ended_at, 'infinity') > asked.since \
GROUP BY 1 ORDER BY 1 LIMIT 10000";

/// One row for each user and each other use of machines, or for each machine.
///
/// # Errors
/// As the store.
pub async fn usage(store: &Store, scope: &Scope, now_ns: i64, by_machine: bool) -> Result<ReportReply> {
    let client = store.client().await?;
    let (ledger, is_cut) = read(&client, scope, now_ns).await?;
    let title = format!("use of machines in {}", scope.words());
    let mut reply = match by_machine {
        true => machines(&ledger),
        false => users(&ledger, &waits(&client, scope).await?),
    };
    reply.title = title;
    let all = ledger.total();
    reply.notes.push(format!(
        "{:.2} machine hours of active machines, {:.1} % of them available: in the pool and up; held machines and maintenance are out of service",
        all.active(),
        all.availability() * 100.0
    ));
    reply.notes.extend((reply.rows.len() > ROWS_MAX).then(cut_note));
    reply.rows.truncate(ROWS_MAX);
    reply.notes.extend(is_cut.then(|| "there are more events than are read: narrow the time".to_owned()));
    Ok(reply)
}

/// The ledger of the time that is asked for.
async fn read(client: &Client, scope: &Scope, now_ns: i64) -> Result<(Ledger, bool)> {
    let statement = format!(
        "{ASKED} SELECT (extract(epoch FROM nullif(asked.since, '-infinity')) * 1000000)::bigint, \
        (extract(epoch FROM least(asked.until, asked.next, muster_time($11::bigint))) * 1000000)::bigint, \
        (extract(epoch FROM nullif(asked.born, '-infinity')) * 1000000)::bigint FROM asked"
    );
    let row = client.query_one(&statement, &scope.parameters(&[&now_ns])).await;
    let row = row.map_err(Error::doing("find the bounds of the time"))?;
    let from: Option<i64> = row.get::<_, Option<i64>>(0).or(row.get(2));
    let busy = format!("{ASKED} {BUSY}");
    let spans = client.query(&busy, &scope.parameters(&[&now_ns, &SPANS_MAX])).await;
    let spans = spans.map_err(Error::doing("find when machines worked"))?;
    let mut working = BTreeMap::<String, Vec<(i64, i64)>>::new();
    for span in &spans {
        working.entry(span.get(0)).or_default().push((span.get(1), span.get(2)));
    }
    let rows = client.query(&events(), &scope.parameters(&[&EVENTS_MAX])).await;
    let rows = rows.map_err(Error::doing("read what became of machines"))?;
    let begin = from.or_else(|| rows.first().map(|row| row.get(1))).unwrap_or_default();
    let mut ledger = Ledger::new(begin, row.get(1), working);
    for row in &rows {
        let told = Told { word: row.get(3), value: row.get(4), reservation: row.get(5) };
        if let Some(change) = Change::of(row.get(2), told) {
            ledger.take(row.get(0), row.get(1), change);
        }
    }
    ledger.close();
    let is_cut = |rows: usize, max: i64| i64::try_from(rows).is_ok_and(|rows| rows >= max);
    Ok((ledger, is_cut(rows.len(), EVENTS_MAX) || is_cut(spans.len(), SPANS_MAX)))
}

/// How long a user waited.
#[derive(Debug, Clone, Copy, Default)]
struct Wait {
    reservations: i64,
    mean: Option<f64>,
    longest: Option<f64>,
}

async fn waits(client: &Client, scope: &Scope) -> Result<BTreeMap<String, Wait>> {
    let statement = format!("{ASKED} {WAITS}");
    let rows =
        client.query(&statement, &scope.parameters(&[])).await.map_err(Error::doing("find how long users waited"))?;
    let wait = |row: &tokio_postgres::Row| Wait { reservations: row.get(1), mean: row.get(2), longest: row.get(3) };
    Ok(rows.iter().map(|row| (row.get(0), wait(row))).collect())
}

fn users(ledger: &Ledger, waits: &BTreeMap<String, Wait>) -> ReportReply {
    let total = ledger.total();
    let mut columns: Vec<_> = ["use", "user"].map(text_column).into();
    columns.extend(
        ["machine_hours", "percent", "reservations", "wait_mean_seconds", "wait_max_seconds", "breakages"]
            .map(number_column),
    );
    let users = ledger.users();
    let names: std::collections::BTreeSet<&String> = users.keys().chain(waits.keys()).collect();
    let mut rows = Vec::new();
    for name in names {
        let (hours, breakages) = users.get(name).copied().unwrap_or_default();
        let wait = waits.get(name).copied().unwrap_or_default();
        rows.push(use_row("held", name, hours, total.active(), Some(wait), breakages));
    }
    let rest = [("busy", total.busy), ("idle", total.idle), ("down", total.down), ("maintenance", total.maintenance)];
    for (what, hours) in rest {
        let breakages = if what == "down" { ledger.pool_breakages() } else { 0 };
        rows.push(use_row(what, "", hours, total.active(), None, breakages));
    }
    ReportReply { columns, rows, ..Default::default() }
}

fn use_row(what: &str, user: &str, hours: f64, all: f64, wait: Option<Wait>, breakages: i64) -> Row {
    let percent = (all > 0.0).then(|| hours / all * 100.0);
    let mut cells = vec![text(what), text(user), number(Some(hours)), number(percent)];
    cells.push(wait.map_or_else(|| number(None), |wait| integer(wait.reservations)));
    cells.extend([
        number(wait.and_then(|wait| wait.mean)),
        number(wait.and_then(|wait| wait.longest)),
        integer(breakages),
    ]);
    Row { cells }
}

fn machines(ledger: &Ledger) -> ReportReply {
    let mut columns = vec![text_column("machine")];
    columns.extend(
        ["held_hours", "busy_hours", "idle_hours", "down_hours", "maintenance_hours", "breakages", "available_percent"]
            .map(number_column),
    );
    let row = |(machine, hours, breakages): (&str, Hours, i64)| {
        let mut cells = vec![text(machine)];
        cells.extend(
            [hours.held, hours.busy, hours.idle, hours.down, hours.maintenance].map(|hours| number(Some(hours))),
        );
        cells.extend([integer(breakages), number((hours.active() > 0.0).then(|| hours.availability() * 100.0))]);
        Row { cells }
    };
    ReportReply { columns, rows: ledger.machines().map(row).collect(), ..Default::default() }
}
