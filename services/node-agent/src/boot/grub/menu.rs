//! Our entry in GRUB's menu: a part of `custom.cfg` between two lines of our own. The rest of that file is a person's.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::boot::command_line::words;
use crate::boot::files::Installed;

const BEGIN: &str = "# BEGIN muster: written by muster-agent, which replaces everything down to END\n";
const END: &str = "# END muster\n";
/// What our entries begin with.
const PREFIX: &str = "muster-";

/// The entry of a kernel. Paths are those that GRUB sees: it knows file systems, and no mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MenuEntry {
    name: String,
    image: String,
    initrd: Option<String>,
    command_line: String,
}

impl MenuEntry {
    /// The entry of an installed kernel, with the mounts of /proc/self/mountinfo.
    pub(super) fn new(kernel: &Installed, command_line: &str, mounts: &str) -> anyhow::Result<Self> {
        let seen = |path: &PathBuf| {
            let real = path.canonicalize().with_context(|| format!("find {}", path.display()))?;
            on_file_system(mounts, &real).with_context(|| format!("find the file system of {}", path.display()))
        };
        Ok(Self {
            name: kernel.name.clone(),
            image: seen(&kernel.image)?,
            initrd: kernel.initrd.as_ref().map(seen).transpose()?,
            command_line: command_line.to_owned(),
        })
    }

    /// By what `next_entry` names it.
    pub(super) fn id(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    fn text(&self) -> String {
        let (id, image) = (quoted(&self.id()), quoted(&self.image));
        // GRUB quotes a word with a blank again; quotes within a word it would pass on as letters.
        let line: Vec<_> = words(&self.command_line).iter().map(|word| quoted(&word.replace('"', ""))).collect();
        let initrd = self.initrd.as_ref().map(|initrd| format!("\tinitrd {}\n", quoted(initrd))).unwrap_or_default();
        format!(
            "menuentry {id} --id {id} --unrestricted {{\n\tsearch --no-floppy --file --set=root {image}\n\tlinux {image} {}\n{initrd}}}\n",
            line.join(" ")
        )
    }
}

/// Whether an entry is one of ours.
pub(super) fn is_ours(id: &str) -> bool {
    id.starts_with(PREFIX)
}

/// The configuration with this entry instead of what was ours before.
pub(super) fn with_entry(before: &str, entry: &MenuEntry) -> String {
    let theirs = match (before.find(BEGIN), before.find(END)) {
        (Some(begin), Some(end)) if begin < end => format!("{}{}", &before[..begin], &before[end + END.len()..]),
        _ => before.to_owned(),
    };
    let feed = if theirs.is_empty() || theirs.ends_with('\n') { "" } else { "\n" };
    format!("{theirs}{feed}{BEGIN}{}{END}", entry.text())
}

/// A word that GRUB's shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A path below the root of its file system, by the longest mount that it is below.
fn on_file_system(mounts: &str, path: &Path) -> Option<String> {
    let mut found: Option<(PathBuf, PathBuf)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(3).map(unescaped);
        let (Some(root), Some(mount)) = (fields.next(), fields.next()) else { continue };
        // Of mounts one above the other the last is seen.
        let is_better = found.as_ref().is_none_or(|(_, best)| mount.components().count() >= best.components().count());
        if path.starts_with(&mount) && is_better {
            found = Some((root, mount));
        }
    }
    let (root, mount) = found?;
    Some(root.join(path.strip_prefix(mount).ok()?).to_str()?.to_owned())
}

/// A path of mountinfo, which has blanks and backslashes as octal numbers.
fn unescaped(field: &str) -> PathBuf {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => text.push_str(&format!("{}{}", char::from(byte), &part[3..])),
            None => text.push_str(&format!("\\{part}")),
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, command_line: &str) -> MenuEntry {
        let image = format!("/muster/{name}/vmlinuz");
        let initrd = Some(format!("/muster/{name}/initrd"));
        MenuEntry { name: name.into(), image, initrd, command_line: command_line.into() }
    }

    #[test]
    fn an_entry_replaces_ours_and_nothing_else() {
        let first = with_entry("set a=1", &entry("old", "quiet"));
        assert_eq!(
            first,
            format!(
                "set a=1\n{BEGIN}menuentry 'muster-old' --id 'muster-old' --unrestricted {{\n\
                 \tsearch --no-floppy --file --set=root '/muster/old/vmlinuz'\n\
                 \tlinux '/muster/old/vmlinuz' 'quiet'\n\tinitrd '/muster/old/initrd'\n}}\n{END}"
            )
        );
        let second = with_entry(&format!("{first}set b=2\n"), &entry("new", ""));
        assert!(second.starts_with("set a=1\nset b=2\n") && !second.contains("old"), "{second}");
        assert_eq!(with_entry(&second, &entry("new", "")), second);
    }

    #[test]
    fn words_come_through_the_shell_of_grub_as_they_are() {
        let text = entry("k", "memmap=1M$0x7000000 dyndbg=\"file a.c +p\" x='y'").text();
        assert!(text.contains(r"'memmap=1M$0x7000000' 'dyndbg=file a.c +p' 'x='\''y'\'''"), "{text}");
    }

    #[test]
    fn paths_are_those_of_the_file_system() {
        let mounts = "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
                      30 22 254:2 / /boot rw - ext4 /dev/vda2 rw\n\
                      31 22 0:30 /@boot /mnt/a\\040b rw - btrfs /dev/vdb rw\n";
        let seen = |path: &str| on_file_system(mounts, Path::new(path));
        assert_eq!(seen("/boot/muster/k/vmlinuz").as_deref(), Some("/muster/k/vmlinuz"));
        assert_eq!(seen("/bootx/vmlinuz").as_deref(), Some("/bootx/vmlinuz"));
        assert_eq!(seen("/mnt/a b/vmlinuz").as_deref(), Some("/@boot/vmlinuz"));
    }
}
