//! What can be typed, and what can not.

use clap::{CommandFactory, Parser};

use super::*;

fn parsed(line: &str) -> Result<Command, clap::error::ErrorKind> {
    let words = std::iter::once("muster").chain(line.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.command.expect("a command")).map_err(|error| error.kind())
}

#[test]
fn the_command_tree_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn documented_lines_about_triggers_parse() {
    let lines = [
        "trigger arm 3 --on node-* --from 7 --from tag=a --action sysrq w",
        "trigger arm 3 --on tag=a --action crash --reservation 2",
        "trigger disarm 3 4 --on node-1",
        "trigger disarm --all",
        "trigger list --fired --output csv",
        "trigger fire 3 --note why --wait --yes",
        "report triggers 3 255 --machine node-1",
        "report triggers --firing 0193ab000000000000000000000000ff",
        "report together --at 5m",
        "report together --corruption 3",
        "report together --firing 0193ab000000000000000000000000ff --machine node-1",
        "report together --job 4 --run 2",
        "artifact list --crash-files",
        "artifact list --firing 0193ab000000000000000000000000ff",
        "artifact get --firing 0193ab000000000000000000000000ff --to x",
    ];
    for line in lines {
        assert!(parsed(line).is_ok(), "{line}");
    }
}

#[test]
fn documented_lines_parse() {
    let lines = [
        "machine list",
        "machine list cpus>=4 --output json",
        "machine show node-1",
        "machine activate * --yes",
        "machine maintenance node-1 --off",
        "machine retire node-1 --yes",
        "machine remove node-1 --yes",
        "machine load-pool pool.toml",
        "resource list node-*",
        "resource protect node-1 disk-sda disk-sdb",
        "resource release node-1 --machine --yes",
        "load-number list",
        "load-number set disk 8 --device-type QEMU",
        "module add modules/high-io --artifacts target/debug",
        "module test modules/high-io --artifacts target/debug --param passes=1 --disk /tmp",
        "module remove high-io",
        "start high-io --processes 50 --on tag=a -p block=4KiB --param depth=2 --dry-run",
        "plan check nightly.toml --reservation 3",
        "plan start nightly.toml --wait --within 2h",
        "plan show 12 --output json",
        "start high-io -n 1 --wait",
        "start high-io --per-disk 2 --resources kind=disk",
        "start high-io --per-machine 2 --dry-run",
        "start high-io --per-cpu 1",
        "start high-io -n 1 --pulse 3,7 --pulse 255",
        "pulse set 3 --block 2s --free 3s --phase 500ms",
        "pulse list --output json",
        "pulse clear 3 7",
        "pulse clear --all",
        "pulse ladder 1 2 3 --step 5s",
        "report pulses 1",
        "set 1 --pulse 3,7",
        "set 1 --pulse none",
        "set 1 iops_max=500 think=1ms --pulse 3",
        "load-number load loads.toml",
        "load-number set tape 1",
        "start high-io -n 1 --wait=end --within 10m --reservation 3 --seed 7",
        "stop 1 00010002 --grace 5s --wait",
        "stop --all --yes",
        "wait 1 --for running",
        "ps --all --job 1 --machine node-1",
        "jobs --all",
        "top",
        "top --once --output json",
        "show 1",
        "why 00010001",
        "logs 00010001 -f",
        "logs 2/00010001",
        "logs --agent node-1",
        "run-id show",
        "run-id new --yes",
        "clock",
        "mix run nightly.toml --seed 7 --for 2h",
        "mix run nightly.toml --dry-run --output json",
        "rerun 12 --dry-run",
        "rerun 1/* --wait",
        "rerun 2/12 --reservation 3",
        "master show",
        "master take --take-over",
        "master release",
        "reserve node-* --count 2 --for 2h --wait",
        "reservation list --all",
        "reservation show 1",
        "extend 1 --by 30m",
        "checkin 1",
        "checkin 1 --revoke --reason maintenance --yes",
        "reserve m1 --notify anna@example.com --no-show 30m",
        "reserve m1 --notify command:pager --no-show none",
        "reservation accept 1",
        "reserve m1 --ssh-key /home/anna/.ssh/id_ed25519.pub",
        "extend 1 --no-deadline",
        "report summary --run 2 --job 1",
        "report perf --by device --metric written_bytes --metric read_bytes",
        "report perf --by time --bucket 1m",
        "report perf --by device-type",
        "report perf --by machine-type",
        "report status",
        "events --follow --since 5m --log jobs --log machines",
        "decode",
        "admin init --new-system --replicas 3",
        "admin init --keys keys --administrator anna",
        "admin enroll node-1 --valid 5m --token node-1.token --yes",
        "admin user add anna --role tester --keys keys",
        "admin identities --keys keys --output json",
        "admin revoke user/anna",
        "admin rotate service/scheduler --offline",
        "admin retire service/scheduler --keys keys",
        "admin recover jobs --yes",
        "admin backup /srv/backup --all",
        "admin restore /srv/backup --yes",
        "admin restore /srv/backup --objects --yes",
        "admin status --timeout 2s",
        "doctor --strict --wait 5s --output json",
        "generate cli",
    ];
    for line in lines {
        assert!(parsed(line).is_ok(), "muster {line}: {:?}", parsed(line));
    }
}

#[test]
fn wrong_lines_are_usage_errors() {
    let lines = [
        "machine activate",
        "resource protect node-1",
        "start high-io",
        "start high-io --processes 0",
        "start high-io --processes 70000",
        "start high-io --processes -1",
        "start high-io --per-disk 0",
        "start high-io --per-disk -3",
        "start high-io --per-disk 65536",
        "start high-io --per-disk 1 --processes 1",
        "start high-io --per-cpu 1 --per-machine 1",
        "load-number load",
        "start high-io -n 1 --param depth",
        "start high-io -n 1 --wait=soon",
        "stop",
        "stop 1 --all",
        "show x",
        "logs",
        "logs 00010001 --agent node-1",
        "reserve --count 0",
        "extend 1",
        "checkin 0",
        "checkin 1 --revoke",
        "checkin 1 --yes",
        "reserve m1 --notify /bin/sh",
        "extend 1 --by 1h --no-deadline",
        "events --since yesterday",
        "admin init --replicas 2",
        "admin init --keys keys --new-system",
        "admin init --administrator anna",
        "admin enroll node-1 --valid 25h",
        "admin enroll node-1 --public-key SUAX",
        "admin user add a.b --role tester",
        "admin user add anna --role king",
        "admin revoke anna",
        "jobs --timeout 3",
        "nonsense",
    ];
    for line in lines {
        assert!(parsed(line).is_err(), "muster {line}");
    }
}

#[test]
fn wait_without_a_value_waits_for_running() {
    let wait = |line| match parsed(line) {
        Ok(Command::Start(arguments)) => arguments.wait,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait("start m -n 1"), None);
    assert_eq!(wait("start m -n 1 --wait"), Some(Until::Running));
    assert_eq!(wait("start m -n 1 --wait=end"), Some(Until::End));
}
