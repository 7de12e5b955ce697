use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{Before, CrashPoint, Effects};
use crate::{Process, Spawn, wait_until};

const LIMIT: Duration = Duration::from_secs(20);
/// Three effects of the shell, and two of a program that it starts.
const SCRIPT: &str = "> a; mkdir b c; > d";

/// What is there after a program of the script was killed, and how many of its effects were seen.
fn made(program: &str, before: Option<Before>) -> (String, usize) {
    let scratch = tempfile::tempdir().expect("a folder is made");
    let place = scratch.path().join("place");
    let mut process = Process::start(Spawn {
        name: "script".into(),
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), format!("cd {} && {{ {SCRIPT}; }}", place.display())],
        environment: BTreeMap::new(),
        log: scratch.path().join("log"),
        user: None,
    })
    .expect("it starts");
    wait_until("it finds no place", LIMIT, || !process.is_running()).expect("it ends");
    std::fs::create_dir(&place).expect("a folder is made");
    let is_killed = before.is_some();
    let point = CrashPoint { program: program.into(), effects: Effects::OfMachine, before };
    let watch = process.restart_to_crash(point).expect("it starts");
    wait_until("it ends", LIMIT, || !process.is_running()).expect("it ends");
    assert_eq!(watch.killed_before().is_some(), is_killed);
    let entries = std::fs::read_dir(&place).expect("it is there").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    (names.concat(), watch.effects())
}

#[test]
fn a_program_is_killed_before_the_effect_that_is_named_and_after_the_one_before() {
    let shell = Path::new("/bin/sh").canonicalize().expect("there is a shell");
    let shell = shell.file_name().expect("it has a name").to_string_lossy().into_owned();
    // The shell, and its child.
    for (program, before, expected) in [
        (&*shell, None, ("abcd", 3)),
        (&shell, Some(Before::Effect(1)), ("", 1)),
        (&shell, Some(Before::Effect(2)), ("a", 2)),
        (&shell, Some(Before::Effect(3)), ("abc", 3)),
        ("mkdir", None, ("abcd", 2)),
        ("mkdir", Some(Before::Effect(1)), ("ad", 1)),
        ("mkdir", Some(Before::Naming("mkdir c".into())), ("abd", 2)),
    ] {
        let words = format!("{program} before {before:?}");
        let (names, effects) = made(program, before);
        assert_eq!((&*names, effects), expected, "{words}");
    }
}
