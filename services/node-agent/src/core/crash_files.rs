//! Files that crashes of this machine leave: which of them are new and whole, and which firing they belong to.
//!
//! A file belongs to a firing that crashed the machine where it is found in the boot of the crash or in the one after it. A boot that
//! was too short to find files in does not count: a machine that crashed may be sent away at once, into the kernel that it is to run.
//! What is found later, or without such a firing, is of a crash that nobody asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_model::FiringId;

/// Files that are remembered at most. Beyond them, those that are gone are forgotten.
const KNOWN_MAX: usize = 10_000;
/// What kdump keeps beside its dumps.
const NO_DUMPS: [&str; 2] = ["kexec_cmd", "kdump_lock"];
/// Names of files that are still being written.
const UNFINISHED: [&str; 3] = ["incomplete", ".tmp", ".part"];

/// By what a file is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Size, bytes.
    pub size: u64,
    /// When it was changed, nanoseconds since 1970.
    pub changed_ns: i64,
}

/// A firing that crashed the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crash {
    /// Which.
    pub firing: FiringId,
    /// The boot that it ended.
    pub boot: String,
}

/// What is known of crashes and their files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CrashFiles {
    /// This boot.
    pub boot: String,
    /// The boot before it in which an agent looked for files, or which a firing ended; empty where there is none.
    pub boot_before: String,
    /// What was there in this boot from its begin has been found.
    pub looked: bool,
    /// The last crash by a firing.
    pub crash: Option<Crash>,
    /// Files that were there before anybody asked, or were taken; none before the first look.
    pub known: Option<BTreeMap<PathBuf, Mark>>,
    /// What the last look of this life found; none before the first one.
    seen: Option<BTreeMap<PathBuf, Mark>>,
    /// That was the second one, or a later one: a file is whole only then.
    looks_again: bool,
}

impl CrashFiles {
    /// What an earlier life knew.
    pub(crate) fn read(
        boot: String,
        boot_before: String,
        looked: bool,
        crash: Option<Crash>,
        known: Option<BTreeMap<PathBuf, Mark>>,
    ) -> Self {
        Self { boot, boot_before, looked, crash, known, seen: None, looks_again: false }
    }

    /// A life begins in this boot; the last one had begun a crash by this firing, if any, and did not live to report it.
    pub(crate) fn begin(&mut self, boot: &str, crashed: Option<FiringId>) {
        let last = std::mem::replace(&mut self.boot, boot.to_owned());
        if let Some(firing) = crashed {
            let of = if last.is_empty() { boot.to_owned() } else { last.clone() };
            self.crash = Some(Crash { firing, boot: of });
        }
        if last != boot {
            if self.looked || self.crash.as_ref().is_some_and(|crash| crash.boot == last) {
                self.boot_before = last;
            }
            self.looked = false;
        }
    }

    /// A firing crashed this machine, and it lives: a kernel may leave files without ending.
    pub(crate) fn crashed(&mut self, firing: FiringId) {
        self.crash = Some(Crash { firing, boot: self.boot.clone() });
    }

    /// The firing that files belong to which are found now.
    pub(crate) fn firing(&self) -> Option<FiringId> {
        let crash = self.crash.as_ref()?;
        (crash.boot == self.boot || crash.boot == self.boot_before).then_some(crash.firing)
    }

    /// Files that are new, and were the same at the last look. What the very first look finds was there before.
    pub(crate) fn look(&mut self, found: BTreeMap<PathBuf, Mark>) -> Vec<(PathBuf, Mark)> {
        let Some(known) = &mut self.known else {
            self.known = Some(found);
            return Vec::new();
        };
        if known.len() > KNOWN_MAX {
            known.retain(|path, _| found.contains_key(path));
        }
        let is_new = |path: &Path, mark: &Mark| known.get(path) != Some(mark) && mark.size > 0 && is_dump(path);
        self.looks_again = self.seen.is_some();
        let seen = self.seen.take().unwrap_or_default();
        let due = found.iter().filter(|(path, mark)| is_new(path, mark) && seen.get(*path) == Some(mark));
        let due = due.map(|(path, mark)| (path.clone(), *mark)).collect();
        self.seen = Some(found);
        due
    }

    /// Everything that was due at the last look was tried. True where this boot counts from now on.
    pub(crate) fn end_look(&mut self) -> bool {
        let is_new = self.looks_again && !self.looked;
        self.looked |= self.looks_again;
        is_new
    }

    /// A file is kept, or given up.
    pub(crate) fn take(&mut self, path: PathBuf, mark: Mark) {
        self.known.get_or_insert_default().insert(path, mark);
    }
}

fn is_dump(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    !NO_DUMPS.contains(&name.as_str()) && !UNFINISHED.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRING: FiringId = FiringId([7; 16]);

    fn found(files: &[(&str, u64)]) -> BTreeMap<PathBuf, Mark> {
        files.iter().map(|(path, size)| (PathBuf::from(path), Mark { size: *size, changed_ns: 5 })).collect()
    }

    /// The names of what is due.
    fn look(files: &mut CrashFiles, there: &[(&str, u64)]) -> Vec<String> {
        files.look(found(there)).into_iter().map(|(path, _)| path.display().to_string()).collect()
    }

    fn begun(boot: &str) -> CrashFiles {
        let mut files = CrashFiles::default();
        files.begin(boot, None);
        files
    }

    #[test]
    fn what_is_new_is_due_once_it_is_whole() {
        let mut files = begun("a");
        assert!(look(&mut files, &[("/c/old", 9)]).is_empty() && look(&mut files, &[("/c/old", 9)]).is_empty());
        assert!(look(&mut files, &[("/c/old", 9), ("/c/vmcore", 3)]).is_empty(), "it may grow");
        assert!(look(&mut files, &[("/c/old", 9), ("/c/vmcore", 4)]).is_empty(), "it grew");
        assert_eq!(look(&mut files, &[("/c/old", 9), ("/c/vmcore", 4)]), ["/c/vmcore"]);
        assert_eq!(look(&mut files, &[("/c/vmcore", 4)]), ["/c/vmcore"], "until it is taken");
        files.take("/c/vmcore".into(), Mark { size: 4, changed_ns: 5 });
        assert!(look(&mut files, &[("/c/old", 9), ("/c/vmcore", 4)]).is_empty());
        assert!(look(&mut files, &[("/c/old", 8)]).is_empty());
        assert_eq!(look(&mut files, &[("/c/old", 8)]), ["/c/old"], "another file under a name that is known");
    }

    #[test]
    fn what_is_not_finished_or_empty_or_no_dump_is_left() {
        let mut files = begun("a");
        look(&mut files, &[]);
        let there = [("/c/dump-incomplete.1", 4), ("/c/vmcore.tmp", 4), ("/c/kexec_cmd", 4), ("/c/empty", 0)];
        assert!(look(&mut files, &there).is_empty() && look(&mut files, &there).is_empty());
    }

    #[test]
    fn files_belong_to_the_firing_that_ended_the_boot_or_the_one_before() {
        let mut files = begun("a");
        assert_eq!(files.firing(), None);
        files.begin("b", Some(FIRING));
        assert_eq!(files.crash, Some(Crash { firing: FIRING, boot: "a".into() }));
        assert_eq!(files.firing(), Some(FIRING));
        files.begin("b", None);
        assert_eq!(files.firing(), Some(FIRING), "the agent was started again");
        let look_twice = |files: &mut CrashFiles| {
            look(files, &[]);
            assert!(!files.end_look(), "a file is not whole before the second look");
            look(files, &[]);
            assert!(files.end_look());
        };
        look(&mut files, &[]);
        look_twice(&mut files);
        files.begin("c", None);
        assert_eq!(files.firing(), None, "nobody asked for the crash of boot b");
    }

    #[test]
    fn a_boot_that_was_too_short_to_find_files_in_does_not_count() {
        let mut files = begun("kernel under test");
        look(&mut files, &[]);
        files.begin("stock kernel", Some(FIRING));
        look(&mut files, &[("/c/dmesg", 4)]);
        assert!(!files.end_look());
        files.begin("kernel under test again", None);
        assert_eq!(files.firing(), Some(FIRING), "it was sent away at once");
    }

    #[test]
    fn a_machine_that_lives_on_after_a_crash_has_its_files_in_the_same_boot() {
        let mut files = begun("a");
        files.crashed(FIRING);
        assert_eq!(files.firing(), Some(FIRING));
        files.begin("a", Some(FiringId([8; 16])));
        assert_eq!(files.firing(), Some(FiringId([8; 16])), "the agent ended, and not the machine");
        files.begin("b", None);
        assert_eq!(files.firing(), Some(FiringId([8; 16])));
    }
}
