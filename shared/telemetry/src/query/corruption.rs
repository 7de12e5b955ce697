//! Corruptions: all of a run, or one word by word with its owner and how to read the place again.

use muster_model::ProcessId;
use muster_pattern::{Expectation, SECTOR_BYTES, WrongWord, classify, decode_header, explain_header, wrong_words};
use muster_proto::v1::{Column, ReportReply, Row};
use muster_store::{Client, Error, Result, Store};

use super::cells::{integer, number_column, text, text_column};
use super::fetch::fetch;
use super::scope::{ASKED, PICKED, Scope, report_wanted};
use super::{artifact, owner};

/// What can not be read again has this persistence.
const PASSED: &str = "PASSED";

const COLUMNS: &str = "c.id, muster_text(c.at), c.run, c.job, c.process, c.attempt, coalesce(p.module, ''), c.machine, \
    c.resource, c.byte_offset::text, c.class, c.persistence, c.owner_run, c.owner_job, c.owner_process, c.actual, \
    c.expected, c.target, c.detail";

const FROM: &str = "FROM corruption_report AS c LEFT JOIN process AS p USING (run, job, process, attempt)";

/// One corruption as the store has it.
struct Stored {
    number: i64,
    time: String,
    finder: ProcessId,
    module: String,
    machine: String,
    device: String,
    offset: u64,
    class: String,
    persistence: String,
    /// Whose data they are, and whether the attempt is known.
    owner: Option<(ProcessId, bool)>,
    actual: Vec<u8>,
    expected: Vec<u8>,
    target: String,
    detail: String,
}

impl Stored {
    fn of(row: &tokio_postgres::Row) -> Self {
        let actual: Vec<u8> = row.get(15);
        let named: (Option<i64>, Option<i64>, Option<i64>) = (row.get(12), row.get(13), row.get(14));
        let owner = match named {
            (Some(run), Some(job), Some(process)) => Some(owner::named(run, job, process, &actual)),
            _ => None,
        };
        Self {
            number: row.get(0),
            time: row.get(1),
            finder: owner::process_id(row.get(2), row.get(3), row.get(4), row.get(5)),
            module: row.get(6),
            machine: row.get(7),
            device: row.get(8),
            offset: row.get::<_, String>(9).parse().unwrap_or(u64::MAX),
            class: row.get(10),
            persistence: row.get(11),
            owner,
            actual,
            expected: row.get(16),
            target: row.get(17),
            detail: row.get(18),
        }
    }

    /// The sector that was found and what was expected of it; none where they are no sectors of the pattern.
    fn sector(&self) -> Option<(&[u8; SECTOR_BYTES], Expectation)> {
        let (_, header) = decode_header(self.expected.as_slice().try_into().ok()?)?;
        Some((self.actual.as_slice().try_into().ok()?, header.stamp.expectation))
    }

    /// How its files begin in the object store.
    fn files(&self) -> String {
        let pass = self.sector().map_or(0, |(_, expectation)| expectation.sequence);
        let ProcessId { run, dpid, attempt } = self.finder;
        format!("{run}-{dpid}-{attempt}/corruption-{}-{pass}-", self.offset)
    }
}

/// One row for each corruption of a run or period.
///
/// # Errors
/// As the store.
pub async fn corruptions(store: &Store, scope: &Scope) -> Result<ReportReply> {
    let client = store.client().await?;
    let wanted = report_wanted("c");
    let statement = format!("{ASKED}, {PICKED} SELECT {COLUMNS} {FROM} CROSS JOIN asked WHERE {wanted} ORDER BY c.id");
    let fetched = fetch(&client, "list the corruptions", &statement, &scope.parameters(&[])).await?;
    let found: Vec<Stored> = fetched.rows.iter().map(Stored::of).collect();
    let wanted: Vec<(i64, i64)> =
        found.iter().filter_map(|stored| Some((stored.number, i64::from(stored.owner?.0.attempt.0)))).collect();
    let owners = owner::resolve(&client, &wanted).await?;
    let mut rows = found.iter().map(|stored| {
        let known = owners.get(&stored.number).cloned();
        row(stored, known.or_else(|| stored.owner.map(|(id, known)| unknown(id, known))).unwrap_or_default())
    });
    let title = format!("corruptions of {}", scope.words());
    let mut reply = fetched.answer(title, columns(), |_| rows.next().unwrap_or_default());
    reply.notes.push(match found.len() {
        0 => "none was found".to_owned(),
        _ => "`muster report corruption ID` shows one word by word".to_owned(),
    });
    Ok(reply)
}

fn columns() -> Vec<Column> {
    let mut columns = vec![number_column("id"), text_column("time"), number_column("run")];
    columns.extend(["dpid", "module", "machine", "device"].map(text_column));
    columns.push(number_column("offset"));
    columns.extend(["class", "persistence", "owner"].map(text_column));
    columns
}

fn row(stored: &Stored, owner: String) -> Row {
    let Stored { number, time, finder, module, machine, device, offset, class, persistence, .. } = stored;
    let offset = i64::try_from(*offset).unwrap_or(i64::MAX);
    let mut cells = vec![integer(*number), text(time), integer(finder.run.0.into()), text(finder.dpid.to_string())];
    cells.extend([text(module), text(machine), text(device), integer(offset)]);
    cells.extend([text(class), text(persistence), text(owner)]);
    Row { cells }
}

/// The wrong words of a corruption, one row each; none where there is no such corruption.
///
/// # Errors
/// As the store.
pub async fn corruption(store: &Store, number: u64) -> Result<Option<ReportReply>> {
    let Ok(number) = i64::try_from(number) else { return Ok(None) };
    let client = store.client().await?;
    let statement = format!("SELECT {COLUMNS} {FROM} WHERE c.id = $1::bigint");
    let row = client.query_opt(&statement, &[&number]).await.map_err(Error::doing("read the corruption"))?;
    let Some(row) = row else { return Ok(None) };
    let stored = Stored::of(&row);
    let Stored { class, persistence, target, offset, .. } = &stored;
    let title = format!("corruption {number}: {class}, {persistence}, in {target} at {offset}");
    let words = stored.sector().map(|(actual, expectation)| wrong_words(actual, &expectation)).unwrap_or_default();
    let translates = words.iter().any(|word| word.translated.is_some());
    let rows = words.iter().map(|word| word_row(word, &stored, translates)).collect();
    let notes = notes(&client, &stored, translates).await?;
    Ok(Some(ReportReply { title, columns: word_columns(translates), rows, notes }))
}

fn word_columns(translates: bool) -> Vec<Column> {
    let mut columns = vec![number_column("offset"), number_column("word")];
    columns.extend(["expected", "actual", "difference", "flag"].map(text_column));
    columns.extend(translates.then(|| text_column("translated")));
    columns.push(text_column("meaning"));
    columns
}

fn word_row(word: &WrongWord, stored: &Stored, translates: bool) -> Row {
    let place = i64::try_from(word.place).unwrap_or_default();
    let offset = i64::try_from(stored.offset).unwrap_or(i64::MAX).saturating_add(place * 8);
    let mut cells = vec![integer(offset), integer(place)];
    cells.extend([word.expected, word.actual, word.difference()].map(|value| text(format!("{value:016x}"))));
    cells.push(text(word.flag));
    let translated = || word.translated.map_or_else(String::new, |value| format!("{value:016x}"));
    cells.extend(translates.then(|| text(translated())));
    cells.push(text(&word.meaning));
    Row { cells }
}

async fn notes(client: &Client, stored: &Stored, translates: bool) -> Result<Vec<String>> {
    let Stored { finder, module, machine, device, time, detail, .. } = stored;
    let mut notes = Vec::new();
    if translates {
        notes.push(
            "translated: the same in true form, where the word is complemented, as in every other pass".to_owned(),
        );
    }
    match stored.sector() {
        Some((actual, _)) => notes.push(explain_header(actual)),
        None => notes.push("the sector is not one of Muster's pattern: the files hold all that is known".to_owned()),
    }
    notes.push(format!("found by {finder} {module} on {machine}, device {device}, at {time}"));
    notes.extend(detail.lines().next().map(|line| format!("it says: {line}")));
    notes.extend(owner_note(client, stored).await?);
    notes.push(format!("what ran then: `muster report together --corruption {}`", stored.number));
    notes.push(read_again(stored));
    notes.push(match artifact::count(client, &stored.files()).await? {
        0 => "files: none was stored (yet)".to_owned(),
        count => format!("files: {count}, `muster artifact get --corruption {}`", stored.number),
    });
    Ok(notes)
}

/// Who wrote what is there, where it is another: named by the header, or by the tag that every word carries.
async fn owner_note(client: &Client, stored: &Stored) -> Result<Option<String>> {
    if let Some((id, known)) = stored.owner {
        let owners = owner::resolve(client, &[(stored.number, i64::from(id.attempt.0))]).await?;
        let owner = owners.into_values().next();
        return Ok(Some(format!("owner: {}", owner.unwrap_or_else(|| unknown(id, known)))));
    }
    let finding = stored.sector().and_then(|(actual, expectation)| {
        let source = classify(actual, &expectation)?.source?;
        (source.tag != expectation.owner.tag()).then_some(source.tag)
    });
    let Some(tag) = finding else { return Ok(None) };
    let (found, more) = owner::of_tag(client, stored.number, tag).await?;
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Ok(Some(match found.is_empty() {
        true => format!("owner: tag {tag:04x}, which no process of this run carries"),
        false => format!("owner: tag {tag:04x}, which these of the run carry: {}{more}", found.join(", ")),
    }))
}

fn unknown(id: ProcessId, attempt_known: bool) -> String {
    let attempt = if attempt_known { format!(" attempt {}", id.attempt) } else { String::new() };
    format!("{}/{}{attempt}, which this store does not know", id.run, id.dpid)
}

/// The command that reads the place once more. A module knows best how: high-io, whether past the cache.
fn read_again(stored: &Stored) -> String {
    let Stored { machine, target, offset, persistence, detail, .. } = stored;
    let said = detail.lines().next().and_then(|line| Some(line.split_once("read again: ")?.1));
    match said {
        _ if persistence == PASSED => "read again: it passed once, on the network; only the files have it".to_owned(),
        Some(command) => format!("read again, on {machine}: {command}"),
        None if target.starts_with('/') => {
            let (sector, target) = (offset / SECTOR_BYTES as u64, quoted(target));
            format!(
                "read again, on {machine}: dd if={target} bs={SECTOR_BYTES} skip={sector} count=1 iflag=direct | xxd"
            )
        }
        None => format!("read again: {target} was memory of the process, which has ended; only the files have it"),
    }
}

/// As a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    if path.bytes().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// How the files of a corruption begin in the object store; none where there is no such corruption.
pub(super) async fn files_of(client: &Client, number: u64) -> Result<Option<String>> {
    let Ok(number) = i64::try_from(number) else { return Ok(None) };
    let statement = format!("SELECT {COLUMNS} {FROM} WHERE c.id = $1::bigint");
    let row = client.query_opt(&statement, &[&number]).await.map_err(Error::doing("read the corruption"))?;
    Ok(row.map(|row| Stored::of(&row).files()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(quoted("/data/muster-1-00010001-1.dat"), "/data/muster-1-00010001-1.dat");
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
        assert_eq!(quoted("/a;rm"), "'/a;rm'");
    }
}
