//! The command line of an ordered boot: the machine's own one, what its kernel adds, and the word that proves the boot.
//!
//! Words are those of the kernel: parted by blanks, except between double quotes.

use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_model::boot::nonce_in;

use crate::disk::atomic;

/// Words that boot loaders add of themselves.
const LOADERS: [&str; 2] = ["BOOT_IMAGE=", "initrd="];

fn path_in(state: &Path) -> PathBuf {
    state.join("stock-command-line")
}

/// Remembers the machine's own command line. An ordered boot has the words of its kernel too, and says nothing of it.
///
/// # Errors
/// The disk does not take it.
pub(crate) fn note_stock(state: &Path, running: &str) -> std::io::Result<()> {
    let own = own_words(running);
    let path = path_in(state);
    if nonce_in(running).is_some() || std::fs::read_to_string(&path).is_ok_and(|known| known == own) {
        return Ok(());
    }
    atomic::write(&path, own.as_bytes())
}

fn own_words(running: &str) -> String {
    let own = words(running).into_iter().filter(|word| !LOADERS.iter().any(|loader| word.starts_with(loader)));
    own.collect::<Vec<_>>().join(" ")
}

/// The command line of a boot.
///
/// # Errors
/// When the machine's own one is not known, or something is no part of a line.
pub(super) fn of_boot(state: &Path, added: &str, nonce_word: &str) -> anyhow::Result<String> {
    let path = path_in(state);
    let own = std::fs::read_to_string(&path).with_context(|| {
        format!("read {}, the machine's own command line; boot the stock kernel once with this agent", path.display())
    })?;
    let parts = [own.as_str(), added, nonce_word].map(str::trim);
    let line = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ");
    anyhow::ensure!(!line.chars().any(char::is_control), "use a command line: it has a control character");
    Ok(line)
}

/// The words of a command line, with their quotes.
pub(super) fn words(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let parted = line.split(|c: char| {
        quoted ^= c == '"';
        c.is_ascii_whitespace() && !quoted
    });
    parted.filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_under_test_added_is_not_taken_for_the_machines_own() {
        let state = tempfile::tempdir().unwrap();
        of_boot(state.path(), "", "muster.boot=a.1").unwrap_err();
        note_stock(state.path(), "BOOT_IMAGE=/vmlinuz root=/dev/vda1 initrd=\\a quiet\n").unwrap();
        note_stock(state.path(), "root=/dev/vda1 quiet panic=1 muster.boot=a.1").unwrap();
        let line = of_boot(state.path(), " panic=1", "muster.boot=a.2").unwrap();
        assert_eq!(line, "root=/dev/vda1 quiet panic=1 muster.boot=a.2");
        of_boot(state.path(), "panic=1\nmenuentry", "muster.boot=a.2").unwrap_err();
    }

    #[test]
    fn quotes_keep_blanks_together() {
        assert_eq!(words("a  dyndbg=\"file x +p\" \"b c\" d\n"), ["a", "dyndbg=\"file x +p\"", "\"b c\"", "d"]);
    }
}
