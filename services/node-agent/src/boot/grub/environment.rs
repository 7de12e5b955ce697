//! GRUB's environment block: a file of a fixed size that GRUB writes in place, by the blocks of the disk, before any file system is
//! mounted. So it is written in place here too, and never gets another size.
//!
//! Its lines are `name=value`, with a backslash before each backslash and line feed of a value; the rest is filled with `#`.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, ensure};

use crate::disk::atomic;

/// The first line of every block.
const HEADER: &str = "# GRUB Environment Block\n";
/// Size of a new block, bytes; GRUB's own programs make no other.
const BLOCK_BYTES: usize = 1024;
/// Larger than any block.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// What fills the rest.
const PADDING: u8 = b'#';

/// A variable; none where it is not set, or there is no block.
///
/// # Errors
/// When the file can not be read, or is no block.
pub(super) fn get(path: &Path, name: &str) -> anyhow::Result<Option<String>> {
    let Some(block) = read(path)? else { return Ok(None) };
    let value = value_in(lines_of(&block).with_context(|| format!("read {}", path.display()))?, name);
    Ok(value.map(unescaped))
}

/// Sets a variable, or takes it away, and reads it back. Every other line stays as it is.
///
/// # Errors
/// When the block is none or full, or what is read back is not what was written.
pub(super) fn set(path: &Path, name: &str, value: Option<&str>) -> anyhow::Result<()> {
    let changed = match read(path)? {
        Some(block) => {
            let changed = with(&block, name, value).with_context(|| format!("change {}", path.display()))?;
            write_in_place(path, &changed).with_context(|| format!("write {}", path.display()))?;
            changed
        }
        None => {
            let changed = with(&empty(), name, value)?;
            atomic::write(path, &changed).with_context(|| format!("write {}", path.display()))?;
            changed
        }
    };
    ensure!(read(path)?.as_deref() == Some(&changed), "write {}: another content is read back", path.display());
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => Ok(Some(read.with_context(|| format!("read {}", path.display()))?)),
    }
}

fn write_in_place(path: &Path, block: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(block)?;
    file.sync_all()
}

fn empty() -> Vec<u8> {
    let mut block = HEADER.as_bytes().to_vec();
    block.resize(BLOCK_BYTES, PADDING);
    block
}

/// The lines of a block, without its header and what fills it.
fn lines_of(block: &[u8]) -> anyhow::Result<&[u8]> {
    let torn = "it is no environment block of GRUB; make a new one with `grub-editenv FILE create`";
    ensure!(block.len() <= BLOCK_BYTES_MAX, torn);
    let lines = block.strip_prefix(HEADER.as_bytes()).context(torn)?;
    let end = lines.iter().rposition(|byte| *byte != PADDING).map_or(0, |last| last + 1);
    let lines = &lines[..end];
    ensure!(lines.is_empty() || (lines.ends_with(b"\n") && !lines.contains(&0)), torn);
    Ok(lines)
}

/// Lines with their ends. A line feed behind a backslash is part of a value.
fn split(lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut escaped = false;
    lines.split_inclusive(move |byte| {
        let ends = *byte == b'\n' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

fn value_in<'a>(lines: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = split(lines).find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    value.strip_suffix(b"\n")
}

fn unescaped(value: &[u8]) -> String {
    let mut escaped = false;
    let plain = value.iter().copied().filter(|byte| {
        escaped = *byte == b'\\' && !escaped;
        !escaped
    });
    String::from_utf8_lossy(&plain.collect::<Vec<u8>>()).into_owned()
}

/// A block with a variable set, or taken away.
fn with(block: &[u8], name: &str, value: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let assigned = format!("{name}=");
    let others = split(lines_of(block)?).filter(|line| !line.starts_with(assigned.as_bytes()));
    let mut changed: Vec<u8> = HEADER.as_bytes().to_vec();
    changed.extend(others.flatten());
    if let Some(value) = value {
        let escaped = value.replace('\\', "\\\\").replace('\n', "\\\n");
        changed.extend(format!("{assigned}{escaped}\n").bytes());
    }
    ensure!(
        changed.len() <= block.len(),
        "it is full; take variables out of it with `grub-editenv FILE unset NAME`, or make a new one"
    );
    changed.resize(block.len(), PADDING);
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &str) -> Vec<u8> {
        let mut block = format!("{HEADER}{lines}").into_bytes();
        block.resize(BLOCK_BYTES, PADDING);
        block
    }

    #[test]
    fn a_variable_is_set_read_and_taken_away_and_others_stay() {
        let others = "# WARNING: Do not edit this file\nsaved_entry=1>2\nodd=a\\\\b\\\nnext_entry=no\n";
        let changed = with(&block(others), "next_entry", Some("muster-6.1")).unwrap();
        assert_eq!(changed, block(&format!("{others}next_entry=muster-6.1\n")));
        let lines = lines_of(&changed).unwrap();
        assert_eq!(value_in(lines, "next_entry").map(unescaped).as_deref(), Some("muster-6.1"));
        assert_eq!(value_in(lines, "odd").map(unescaped).as_deref(), Some("a\\b\nnext_entry=no"));
        assert_eq!(value_in(lines, "entry"), None);
        let again = with(&changed, "next_entry", Some("muster-6.2")).unwrap();
        assert_eq!(with(&again, "next_entry", None).unwrap(), block(others));
    }

    #[test]
    fn a_full_or_torn_block_is_left_alone() {
        let room = BLOCK_BYTES - HEADER.len();
        let filled = |spare: usize| block(&format!("a={}\n", "x".repeat(room - 3 - spare)));
        let line = "next_entry=m\n".len();
        with(&filled(line), "next_entry", Some("m")).unwrap();
        let error = with(&filled(line - 1), "next_entry", Some("m")).unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        let torn: [&[u8]; 4] = [b"", b"# GRUB Env", &[0; BLOCK_BYTES], &block("saved_entry=a")];
        for block in torn {
            let error = with(block, "next_entry", None).unwrap_err();
            assert!(error.to_string().contains("no environment block"), "{error}");
        }
    }

    #[test]
    fn the_file_is_written_in_place_and_made_where_there_is_none() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("grubenv");
        assert_eq!(get(&path, "next_entry").unwrap(), None);
        set(&path, "next_entry", Some("a")).unwrap();
        let before = std::fs::metadata(&path).unwrap();
        set(&path, "next_entry", Some("b")).unwrap();
        let after = std::fs::metadata(&path).unwrap();
        assert_eq!((before.ino(), before.len()), (after.ino(), after.len()), "GRUB knows it by its blocks");
        assert_eq!(after.len(), 1024);
        assert_eq!(get(&path, "next_entry").unwrap().as_deref(), Some("b"));
    }
}
