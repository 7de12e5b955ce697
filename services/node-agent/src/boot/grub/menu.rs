//! Our entry in GRUB's menu: a part of `custom.cfg` between two lines of our own. The rest of that file is a person's.

use std::path::PathBuf;

use anyhow::Context;

use super::mounts::Mount;
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
            let mount = Mount::of(mounts, &real).and_then(|mount| mount.inside(&real));
            mount.with_context(|| format!("find the file system of {}", path.display()))
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
}
