//! A file of records, one JSON line each behind a checksum. A crash can tear only what was written last: reading stops at the
//! first line that is not whole, and the file is cut there.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::atomic;

/// Hexadecimal digits of the checksum before each record.
const CHECKSUM_DIGITS: usize = 16;

/// An open journal, appended to at its end.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    /// Something behind its last whole record could not be read.
    was_torn: bool,
}

/// What was appended to a journal, on its way to the disk.
#[derive(Debug)]
pub(crate) struct Syncing(File);

impl Syncing {
    /// Returns when it is on the disk.
    pub(crate) fn wait(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Journal {
    /// Opens a journal, making it where it is missing; gives every whole record.
    pub(crate) fn open<T: DeserializeOwned>(path: &Path) -> io::Result<(Self, Vec<T>)> {
        let file = File::options().create(true).append(true).read(true).open(path)?;
        let content = std::fs::read(path)?;
        let (records, whole_bytes) = decode(&content);
        if whole_bytes < content.len() {
            tracing::warn!(path = %path.display(), cut_bytes = content.len() - whole_bytes, "the last record was torn by a crash");
            file.set_len(whole_bytes as u64)?;
        }
        file.sync_all()?;
        atomic::sync_directory_of(path)?;
        let was_torn = whole_bytes < content.len();
        Ok((Self { path: path.into(), file, size_bytes: whole_bytes as u64, was_torn }, records))
    }

    /// Appends a record; it survives the end of this process, not yet of the machine.
    pub(crate) fn append<T: Serialize>(&mut self, record: &T) -> io::Result<()> {
        self.append_all(std::slice::from_ref(record))
    }

    /// Appends records in one write. A write that fails in its middle is taken back, so that what follows is readable.
    pub(crate) fn append_all<T: Serialize>(&mut self, records: &[T]) -> io::Result<()> {
        let mut lines = Vec::new();
        for record in records {
            encode(record, &mut lines)?;
        }
        if let Err(error) = self.file.write_all(&lines) {
            self.file.set_len(self.size_bytes)?;
            return Err(error);
        }
        self.size_bytes += lines.len() as u64;
        Ok(())
    }

    /// Returns when everything appended is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// As [`Journal::sync`], for another thread: of what is appended by now. A journal that is written anew meanwhile is on the disk.
    pub(crate) fn syncing(&self) -> io::Result<Syncing> {
        self.file.try_clone().map(Syncing)
    }

    /// When it was opened, something behind its last whole record could not be read.
    pub(crate) fn was_torn(&self) -> bool {
        self.was_torn
    }

    /// Its size.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Replaces everything by these records.
    pub(crate) fn rewrite<T: Serialize>(&mut self, records: &[T]) -> io::Result<()> {
        let mut lines = Vec::new();
        for record in records {
            encode(record, &mut lines)?;
        }
        atomic::write(&self.path, &lines)?;
        self.file = File::options().append(true).read(true).open(&self.path)?;
        self.size_bytes = lines.len() as u64;
        Ok(())
    }
}

fn encode<T: Serialize>(record: &T, lines: &mut Vec<u8>) -> io::Result<()> {
    let json = serde_json::to_vec(record)?;
    lines.extend_from_slice(checksum(&json).as_bytes());
    lines.push(b' ');
    lines.extend_from_slice(&json);
    lines.push(b'\n');
    Ok(())
}

fn checksum(json: &[u8]) -> String {
    blake3::hash(json).to_hex()[..CHECKSUM_DIGITS].to_owned()
}

/// Whole records from the beginning on, and how many bytes they take.
fn decode<T: DeserializeOwned>(content: &[u8]) -> (Vec<T>, usize) {
    let mut records = Vec::new();
    let mut whole = 0;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let Some(record) = decode_line(line) else { break };
        records.push(record);
        whole += line.len();
    }
    (records, whole)
}

fn decode_line<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = line.split_at_checked(CHECKSUM_DIGITS)?;
    let json = json.strip_prefix(b" ")?;
    if checksum(json).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_torn_at_any_byte_is_cut_and_the_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, empty) = Journal::open::<String>(&path).unwrap();
        assert!(empty.is_empty());
        journal.append_all(&["one".to_owned(), "two".to_owned()]).unwrap();
        let before = journal.size_bytes();
        journal.append(&"three".to_owned()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for cut in usize::try_from(before).unwrap()..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, records) = Journal::open::<String>(&path).unwrap();
            assert_eq!(records, ["one", "two"], "cut at {cut}");
            journal.append(&"four".to_owned()).unwrap();
            let (_, records) = Journal::open::<String>(&path).unwrap();
            assert_eq!(records, ["one", "two", "four"], "after a cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_reading() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open::<String>(&path).unwrap();
        journal.append_all(&["one".to_owned(), "two".to_owned()]).unwrap();
        let mut content = std::fs::read(&path).unwrap();
        let last = content.len() - 3;
        content[last] ^= 1;
        std::fs::write(&path, content).unwrap();
        assert_eq!(Journal::open::<String>(&path).unwrap().1, ["one"]);
    }

    #[test]
    fn a_rewritten_journal_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open::<u32>(&path).unwrap();
        journal.append_all(&[1, 2, 3]).unwrap();
        journal.rewrite(&[3]).unwrap();
        journal.append(&4).unwrap();
        assert_eq!(Journal::open::<u32>(&path).unwrap().1, [3, 4]);
    }
}
