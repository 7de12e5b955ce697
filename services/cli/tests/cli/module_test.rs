//! `muster module test`: the examples keep the contract, and each way to break it is told.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use muster_testkit::tools::packaged;
use serde_json::Value;

use crate::{error_of, muster};

fn test(path: &Path, more: &[&str]) -> Output {
    let path = path.to_string_lossy().into_owned();
    // Nobody listens there: it asks nobody.
    muster("nats://127.0.0.1:1", &[&["module", "test", &path, "--output", "json"], more].concat())
}

/// The rules of a report that were found so.
fn rules(output: &Output, found: &str) -> Vec<String> {
    let lines: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", error_of(output)));
    let lines = lines.as_array().expect("lines").clone();
    let of = lines.into_iter().filter(|line| line["found"] == found);
    of.map(|line| line["rule"].as_str().expect("a rule").to_owned()).collect()
}

fn detail(output: &Output, rule: &str) -> String {
    let lines: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let line = lines.as_array().expect("lines").iter().find(|line| line["rule"] == rule).cloned();
    line.expect("the rule")["detail"].as_str().expect("a detail").to_owned()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../modules/examples").join(name)
}

#[test]
fn the_examples_keep_the_contract() {
    packaged("python3").expect("there is Python");
    let output = test(&example("python"), &[]);
    assert_eq!((output.status.code(), rules(&output, "breaks")), (Some(0), vec![]), "{}", error_of(&output));
    assert_eq!(rules(&output, "lacks"), Vec::<String>::new());
    assert_eq!(rules(&output, "keeps").len(), 17);

    packaged("socat").expect("there is socat");
    let output = test(&example("shell"), &["--param", "blocks=4"]);
    assert_eq!((output.status.code(), rules(&output, "breaks")), (Some(0), vec![]), "{}", error_of(&output));
    assert_eq!(rules(&output, "lacks"), ["reconnect", "inject"]);

    let built = tempfile::tempdir().expect("a folder");
    let (source, program) = (example("c").join("example.c"), format!("example-{}", std::env::consts::ARCH));
    let compiled = Command::new("cc").args(["-static", "-o", &program]).arg(source).current_dir(built.path()).status();
    assert!(compiled.expect("there is a compiler").success());
    let output = test(&example("c"), &["--artifacts", &built.path().to_string_lossy()]);
    assert_eq!((output.status.code(), rules(&output, "breaks")), (Some(0), vec![]), "{}", error_of(&output));
    assert_eq!(rules(&output, "lacks"), ["reconnect", "inject"]);
}

/// The Python example, changed in one place.
fn changed(from: &str, to: &str) -> (tempfile::TempDir, Output) {
    let directory = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(example("python").join("example.py")).expect("the example");
    assert!(text.contains(from), "{from}");
    let program = directory.path().join("example.py");
    std::fs::write(&program, text.replacen(from, to, 1)).expect("the program is written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it is executable");
    std::fs::copy(example("python").join("module.toml"), directory.path().join("module.toml")).expect("the manifest");
    let output = test(directory.path(), &[]);
    (directory, output)
}

#[test]
fn each_way_to_break_the_contract_is_told() {
    packaged("python3").expect("there is Python");
    let fork = "subprocess.Popen(['sleep', '20'], start_new_session=True)";
    let cases: [(&str, &str, &str, &str); 11] = [
        (
            r#"print(json.dumps(tomllib.load(file)))"#,
            r#"print('{"name": "x", "version": "1"}')"#,
            "describe",
            "another manifest",
        ),
        (r#""pid": os.getpid()"#, r#""pid": 1"#, "hello", "pid 1"),
        (r#"agent.say("ready")"#, r#"agent.say("event", name="x", text="")"#, "ready", "not said"),
        (r#"n=message["n"], "#, r#"n=message["n"] + 1, "#, "ping", "was answered as"),
        (r#"{"written_bytes": agent"#, r#"{"latency_ms": 1, "written_bytes": agent"#, "metric", "say seconds"),
        (
            r#"self.stop.set()
        elif kind == "kept""#,
            r#"pass
        elif kind == "kept""#,
            "stop",
            "no done within",
        ),
        (r#"status="complete""#, r#"status="skip""#, "done", "do not go together"),
        ("agent.kept.wait(RECONNECT_SECONDS)", "pass", "kept", "before its done is kept"),
        ("return 1 if failure else 0", "return 3", "exit", "goes with exit code 0"),
        (r#"agent.say("ready")"#, &format!("import subprocess; {fork}; agent.say('ready')"), "group", "left its group"),
        ("os._exit(2)", "pass", "abort", "does not exit"),
    ];
    // Each waits most of its time: so side by side.
    std::thread::scope(|scope| {
        for (from, to, rule, text) in cases {
            scope.spawn(move || check_broken(from, to, rule, text));
        }
    });
}

fn check_broken(from: &str, to: &str, rule: &str, text: &str) {
    let (_directory, output) = changed(from, to);
    assert_eq!(output.status.code(), Some(1), "{rule}: {}", error_of(&output));
    assert!(rules(&output, "breaks").iter().any(|broken| broken == rule), "{rule}: {:?}", rules(&output, "breaks"));
    assert!(detail(&output, rule).contains(text), "{rule}: {}", detail(&output, rule));
    assert!(error_of(&output).contains("see docs/module-protocol.md"), "{}", error_of(&output));
}

#[test]
fn a_fault_that_is_not_found_is_told() {
    let (_directory, output) = changed(r#"inject == "ZERO""#, r#"inject == "NOTHING""#);
    assert_eq!(rules(&output, "breaks"), ["inject"]);
    assert!(detail(&output, "inject").contains("ZERO (reported: , failed: false)"), "{}", detail(&output, "inject"));
}

#[test]
fn what_can_not_be_tested_is_told_in_one_line() {
    let directory = tempfile::tempdir().expect("a folder");
    std::fs::write(directory.path().join("module.toml"), "name = \"x\"\nversoin = \"1\"\n").expect("a manifest");
    let output = test(directory.path(), &[]);
    assert_eq!((output.status.code(), rules(&output, "breaks")), (Some(1), vec!["manifest".to_owned()]));
    let missing = test(&directory.path().join("none.toml"), &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(error_of(&missing).contains("read the manifest"), "{}", error_of(&missing));
    let unknown = test(&example("python"), &["--param", "depth=1"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(error_of(&unknown).contains("example-python has no parameter `depth`"), "{}", error_of(&unknown));
}
