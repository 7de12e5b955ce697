//! What went wrong: errors that processes and agents reported, corruptions, and ends that were none of a pass.

use std::collections::BTreeMap;

use muster_proto::v1::{ReportReply, Row};
use muster_store::{Result, Store};

use super::cells::{integer, number_column, text, text_column};
use super::fetch::fetch;
use super::scope::{ASKED, PICKED, Scope, report_wanted};

/// Modules that the note names.
const NAMED_MAX: usize = 5;

fn statement() -> String {
    let (errors, corruptions) = (report_wanted("e"), report_wanted("c"));
    format!(
        "{ASKED}, {PICKED} \
        SELECT muster_text(at), kind, run, dpid, attempt, module, machine, message FROM ( \
            SELECT e.at, 'error' AS kind, e.run, e.dpid, e.attempt, e.module, e.machine, e.message \
            FROM asked CROSS JOIN error AS e WHERE {errors} \
            UNION ALL \
            SELECT c.at, 'corruption', c.run, c.dpid, c.attempt, c.module, c.machine, c.class || ' on ' || c.target || ', corruption ' || c.id \
            FROM asked CROSS JOIN corruption AS c WHERE {corruptions} \
            UNION ALL \
            SELECT p.ended_at, CASE WHEN p.state = 'finished' THEN p.verdict ELSE p.state END, p.run, p.dpid, p.attempt, p.module, p.machine, \
                   p.reason || CASE WHEN p.exit_status <> 0 THEN ' (exit status ' || p.exit_status || ')' ELSE '' END \
            FROM asked CROSS JOIN picked AS p \
            WHERE p.ended_at >= asked.since AND p.ended_at < asked.until \
              AND (p.state IN ('dead', 'lost') OR p.verdict IN ('fail', 'error'))) AS told \
        ORDER BY at DESC, run, dpid, attempt, kind"
    )
}

/// One row for each trouble, the newest first.
///
/// # Errors
/// As the store.
pub async fn errors(store: &Store, scope: &Scope) -> Result<ReportReply> {
    let client = store.client().await?;
    let fetched = fetch(&client, "list the errors", &statement(), &scope.parameters(&[])).await?;
    let mut columns = vec![text_column("time"), text_column("kind"), number_column("run"), text_column("dpid")];
    columns.extend([number_column("attempt"), text_column("module"), text_column("machine"), text_column("message")]);
    let title = format!("errors of {}", scope.words());
    let mut reply = fetched.answer(title, columns, |row| {
        let text_of = |column: usize| text(row.get::<_, String>(column));
        let mut cells = vec![text_of(0), text_of(1), integer(row.get(2)), text_of(3), integer(row.get(4))];
        cells.extend((5..8).map(text_of));
        Row { cells }
    });
    let kinds = fetched.rows.iter().map(|row| (row.get::<_, String>(1), row.get::<_, String>(5)));
    reply.notes.insert(0, counted(kinds));
    Ok(reply)
}

/// `3 errors: 2 error of high-io, 1 dead of tcp`, the most frequent first.
fn counted(kinds: impl Iterator<Item = (String, String)>) -> String {
    let mut counts = BTreeMap::<(String, String), usize>::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    let all: usize = counts.values().sum();
    let mut parts: Vec<_> = counts.into_iter().collect();
    parts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let of = |module: &str| if module.is_empty() { "agents".to_owned() } else { module.to_owned() };
    let named = parts.iter().take(NAMED_MAX).map(|((kind, module), count)| format!("{count} {kind} of {}", of(module)));
    match all {
        0 => "nothing went wrong".to_owned(),
        _ => format!("{all} in all: {}", named.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_counted_by_kind_and_module() {
        let told = [("error", "tcp"), ("dead", "high-io"), ("error", "tcp"), ("error", "")];
        let kinds = told.into_iter().map(|(kind, module)| (kind.to_owned(), module.to_owned()));
        assert_eq!(counted(kinds), "4 in all: 2 error of tcp, 1 dead of high-io, 1 error of agents");
        assert_eq!(counted(std::iter::empty()), "nothing went wrong");
    }
}
