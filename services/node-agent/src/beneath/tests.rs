//! Attacks on what root opens for test processes: by paths, by links, and by exchanging one for the other meanwhile.

use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{RenameFlags, renameat_with};

use super::*;
use crate::users;

/// What must never be read.
const SECRET: &str = "the secret of the agent";
/// Rounds of the race, of each kind.
const ROUNDS: usize = 5_000;

/// A state directory with a secret, and the work directory of a process in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let state = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(state.path().join("secret")).unwrap();
    std::fs::write(state.path().join("secret/tokens"), SECRET).unwrap();
    let work = state.path().join("work/1-00010001-1");
    std::fs::create_dir_all(work.join("results/deep")).unwrap();
    for name in ["mine", "results/mine", "results/deep/mine"] {
        std::fs::write(work.join(name), "mine").unwrap();
    }
    if users::can_be_given() {
        std::os::unix::fs::chown(&work, Some(70_001), None).unwrap();
    }
    (state, work)
}

fn read(opened: io::Result<File>) -> Option<String> {
    let mut text = String::new();
    opened.ok()?.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Links in a work directory, each of which leads to the secret in its own way.
fn lay_traps(work: &Path) -> Vec<String> {
    let secret = work.join("../../secret");
    let up = |count: usize| "../".repeat(count);
    let targets = [
        ("to_file", secret.join("tokens")),
        ("to_folder", secret),
        ("to_root", PathBuf::from("/")),
        ("to_self", PathBuf::from("/proc/self/root")),
        ("to_cwd", PathBuf::from("/proc/self/cwd")),
        ("relative", PathBuf::from(format!("{}secret/tokens", up(2)))),
        ("relative_folder", PathBuf::from(up(2))),
        ("chain", PathBuf::from("to_file")),
        ("loop", PathBuf::from("loop")),
        ("results/deep/out", PathBuf::from(format!("{}secret", up(4)))),
    ];
    for (name, target) in &targets {
        symlink(target, work.join(name)).unwrap();
    }
    if users::can_be_given() {
        // Of one user, who may link what is theirs, it would be their own.
        std::fs::hard_link(work.join("../../secret/tokens"), work.join("hard")).unwrap();
    }
    rustix::fs::mknodat(CWD, work.join("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    targets
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .chain(["hard".into(), "fifo".into(), "results".into()])
        .collect()
}

#[test]
fn five_hundred_paths_that_lead_out_of_a_directory_open_nothing() {
    let (state, work) = place();
    let traps = lay_traps(&work);
    let whole = work.to_string_lossy().into_owned();
    let secret = state.path().join("secret/tokens").to_string_lossy().into_owned();
    let mut heads: Vec<String> =
        ["", "./", "results/../", "//", "results/deep/../../", "mine/../", "\\0", "/"].map(str::to_owned).into();
    heads.extend([
        format!("{whole}/"),
        format!("{whole}/../1-00010001-1/"),
        format!("{whole}x/../"),
        format!("/proc/self/root{whole}/"),
    ]);
    let mut tails: Vec<String> =
        traps.iter().flat_map(|trap| [trap.clone(), format!("{trap}/"), format!("{trap}/tokens")]).collect();
    tails.extend((1..12).map(|depth| format!("{}secret/tokens", "../".repeat(depth))));
    tails.extend([secret.clone(), "..".into(), ".".into(), String::new(), "a".repeat(5_000), "%2e%2e/secret".into()]);
    let mut tried = 0;
    for path in heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))) {
        tried += 1;
        let read = read(open_file(&work, Path::new(&path)));
        assert_eq!(read, None, "{path:?} was opened");
    }
    for trap in &traps {
        assert_eq!(read_log(&work, trap), None, "{trap} was opened as a log");
    }
    assert!(tried >= 500, "{tried}");
    for path in ["mine", "results/mine", "./mine"] {
        assert_eq!(
            read(open_file(&work, Path::new(path))).as_deref(),
            Some("mine"),
            "{path}: what is its own is opened"
        );
    }
    assert_eq!(read(open_file(&work, &work.join("results/mine"))).as_deref(), Some("mine"), "by its whole path too");
}

fn read_log(work: &Path, path: &str) -> Option<String> {
    read(open_log(&work.join(path)))
}

/// Exchanges two names as fast as it can while `open` is called; counts what was opened and what was refused.
fn race(work: &Path, names: [&str; 2], open: impl Fn() -> Option<String>) -> (usize, usize) {
    let over = AtomicBool::new(false);
    let read: Vec<String> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                renameat_with(CWD, work.join(names[0]), CWD, work.join(names[1]), RenameFlags::EXCHANGE).unwrap();
            }
        });
        let read = (0..ROUNDS).filter_map(|_| open()).collect();
        over.store(true, Ordering::Relaxed);
        read
    });
    assert!(read.iter().all(|text| text == "mine"), "the secret was read");
    (read.len(), ROUNDS - read.len())
}

#[test]
fn ten_thousand_rounds_of_a_race_with_links_read_nothing_of_others() {
    let (_state, work) = place();
    symlink("../../secret/tokens", work.join("link")).unwrap();
    let file = race(&work, ["mine", "link"], || read(open_file(&work, Path::new("mine"))));
    std::fs::create_dir(work.join("folder")).unwrap();
    std::fs::write(work.join("folder/tokens"), "mine").unwrap();
    symlink("../../secret", work.join("way")).unwrap();
    let folder = race(&work, ["folder", "way"], || read(open_file(&work, Path::new("folder/tokens"))));
    std::fs::write(work.join("log"), "mine").unwrap();
    let log = race(&work, ["log", "way"], || read_log(&work, "log"));
    println!("of {ROUNDS} each, opened and refused: file {file:?}, folder {folder:?}, log {log:?}");
    assert!(file.0 > 0 && file.1 > 0 && folder.0 > 0 && folder.1 > 0, "both were met: {file:?}, {folder:?}");
}
