//! The built program by hand, on a real directory: passes that verify, every corruption that it makes itself, and corruption
//! from outside.

use std::fs;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use muster_module_protocol::{ModuleMessage, Outcome, Status};
use muster_module_testkit::{CLASSES, Done, PATIENCE, Running, by_hand, described, manifest, names};

const PROGRAM: &str = env!("CARGO_BIN_EXE_muster-high-io");

fn high_io(directory: &Path, parameters: &[&str]) -> Command {
    let (disk, results) = (directory.join("disk"), directory.join("results"));
    fs::create_dir_all(&disk).expect("disk");
    fs::create_dir_all(&results).expect("results");
    let mut command = by_hand(PROGRAM, parameters);
    command.arg("--disk").arg(disk).arg("--results").arg(results).args(["--seed", "abc"]);
    command
}

fn run(directory: &Path, parameters: &[&str]) -> Done {
    Done::run(&mut high_io(directory, parameters))
}

#[test]
fn describe_prints_the_manifest() {
    let described = described(&mut Command::new(PROGRAM));
    assert_eq!(described, manifest(include_str!("../module.toml")));
    assert_eq!(described.version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_byte_of_a_whole_pass_is_verified_and_the_file_is_removed() {
    let directory = tempfile::tempdir().expect("directory");
    let parameters = ["file_size=1MiB", "block_size=32KiB", "duration=300ms", "sync=true"];
    let done = run(directory.path(), &parameters);
    assert_eq!((done.code, done.status, done.result), (Some(0), Status::Complete, Outcome::Pass));
    let total = |name: &str| done.totals[name];
    assert!(total("passes") >= 1.0);
    // All that was written was verified, to the byte, as one pass is read before the next.
    assert!((total("verified_bytes") - total("written_bytes")).abs() < 0.5);
    assert!((total("read_bytes") - total("verified_bytes")).abs() < 0.5);
    assert!((total("writes") * 32768.0 - total("written_bytes")).abs() < 0.5);
    let (counters, gauges) = done.last_metric();
    assert!((counters["verified_bytes"] - total("verified_bytes")).abs() < 0.5);
    for direction in ["write", "read"] {
        let levels = ["p50", "p99", "p999", "max"].map(|level| gauges[&format!("{direction}_latency_{level}_seconds")]);
        assert!(levels[0] > 0.0 && levels.is_sorted(), "{direction} {levels:?}");
    }
    assert_eq!(names(&directory.path().join("disk")), Vec::<String>::new());
}

#[test]
fn reads_are_mixed_into_the_writing_as_asked_for_and_verified_too() {
    let directory = tempfile::tempdir().expect("directory");
    let parameters = ["file_size=1MiB", "block_size=4KiB", "duration=200ms", "read_percent=75"];
    let done = run(directory.path(), &parameters);
    let (writes, reads) = (done.totals["writes"], done.totals["reads"]);
    // Three reads for each write of the pass, and one when it is read back.
    assert!((3.5..=4.0).contains(&(reads / writes)), "{reads} {writes}");
    assert_eq!(done.result, Outcome::Pass);
    assert!((done.totals["verified_bytes"] - reads * 4096.0).abs() < 0.5);
}

/// Injects a class and checks all that is told and kept of it.
fn check_injected(engine: &str, place: &str, class: &str, persistence: &str) {
    let directory = tempfile::tempdir().expect("directory");
    let (engine, class_wanted) = (format!("engine={engine}"), class);
    let (inject, place) = (format!("inject={class}"), format!("inject_into={place}"));
    let parameters = ["file_size=256KiB", "block_size=16KiB", "duration=30s", &engine, &inject, &place];
    let done = run(directory.path(), &parameters);
    let corruption = done.corruption();
    assert_eq!((corruption.class.as_str(), corruption.persistence.as_str()), (class_wanted, persistence));
    assert_eq!((done.code, done.status, done.result), (Some(1), Status::Complete, Outcome::Fail));
    assert!(done.reason.contains(class), "{}", done.reason);
    assert_eq!((corruption.expected.len(), corruption.actual.len()), (1024, 1024));
    assert_ne!(corruption.expected, corruption.actual);
    assert_eq!(corruption.owner_dpid.is_empty(), class != "FOREIGN", "{corruption:?}");
    assert!((done.totals["errors"] - 1.0).abs() < 0.5);
    // Per wrong word what was expected, what is there, the difference, and how to look again.
    let head = "offset          word  expected          actual            difference        flag  meaning";
    assert!(corruption.detail.contains(head) && corruption.detail.contains("read again: dd if="), "{corruption:?}");
    // The report comes before the history, and what was expected and read before the report.
    let order = ["expected.bin", "actual.bin", "explained.txt", "the report", "history.csv"];
    assert_eq!(done.kept(), order);
    assert_eq!(names(&directory.path().join("results")).len(), 4);
    // The evidence stays where it is.
    assert_eq!(names(&directory.path().join("disk")).len(), 1);
    check_history(&directory.path().join("results"), corruption.offset);
}

/// The wrong transfer was written and read, in this order, says the history.
fn check_history(results: &Path, offset: u64) {
    let name = names(results).into_iter().find(|name| name.ends_with("history.csv")).expect("a history");
    let text = fs::read_to_string(results.join(name)).expect("history");
    let of_transfer = text.lines().map(|line| line.split(',').collect::<Vec<_>>()).filter(|fields| {
        let (begin, bytes) = (fields[2].parse::<u64>(), fields[3].parse::<u64>());
        begin.is_ok_and(|begin| bytes.is_ok_and(|bytes| (begin..begin + bytes).contains(&offset)))
    });
    let (kinds, results): (Vec<_>, Vec<_>) =
        of_transfer.map(|fields| (fields[1].to_owned(), fields[7].to_owned())).unzip();
    assert_eq!((kinds, results), (vec!["write".into(), "read".into()], vec!["done".into(), "done".into()]), "{text}");
}

#[test]
fn each_class_injected_under_io_uring_is_found_classified_saved_and_fails_the_test() {
    for class in CLASSES {
        check_injected("io_uring", "disk", class, "STORED");
    }
}

#[test]
fn each_class_injected_under_pread_is_found_classified_saved_and_fails_the_test() {
    for class in CLASSES {
        check_injected("pread", "disk", class, "STORED");
    }
}

#[test]
fn what_is_wrong_in_memory_only_is_transient() {
    for class in CLASSES {
        check_injected("auto", "memory", class, "TRANSIENT");
    }
}

#[test]
fn every_order_size_depth_and_engine_writes_and_verifies_each_byte_of_a_pass_once() {
    let cases = [
        ("engine=io_uring", "queue_depth=1", "access=sequential", "block_size=512", "block_size_max=0"),
        ("engine=io_uring", "queue_depth=256", "access=random", "block_size=512", "block_size_max=4KiB"),
        ("engine=io_uring", "queue_depth=32", "access=alternating", "block_size=4KiB", "block_size_max=512KiB"),
        ("engine=pread", "queue_depth=32", "access=alternating", "block_size=512", "block_size_max=64KiB"),
        ("engine=auto", "queue_depth=256", "access=random", "block_size=1MiB", "block_size_max=0"),
    ];
    for (engine, depth, access, least, greatest) in cases {
        for shift in ["shift_percent=100", "shift_percent=0"] {
            let directory = tempfile::tempdir().expect("directory");
            let parameters = ["file_size=1MiB", "passes=3", engine, depth, access, least, greatest, shift];
            let done = run(directory.path(), &parameters);
            assert_eq!((done.result, done.reason.as_str()), (Outcome::Pass, ""), "{parameters:?}");
            let bytes = ["written_bytes", "verified_bytes", "passes"].map(|name| done.totals[name].to_string());
            assert_eq!(bytes, ["3145728", "3145728", "3"], "{parameters:?}");
        }
    }
}

#[test]
fn transfers_of_16_mib_work_and_a_deep_queue_of_them_is_cut_to_little_memory() {
    let directory = tempfile::tempdir().expect("directory");
    let parameters = ["file_size=96MiB", "block_size=16MiB", "queue_depth=256", "passes=1"];
    let done = run(directory.path(), &parameters);
    assert_eq!(done.result, Outcome::Pass, "{done:?}");
    assert!(done.text.contains("io_uring, 4 at once"), "{}", done.text);
}

/// Lets a program do everything but make a ring: what containers do.
fn forbid_io_uring(command: &mut Command, error: i32) {
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let setup = u32::try_from(libc::SYS_io_uring_setup).expect("a number of a call");
    let refused = libc::SECCOMP_RET_ERRNO | u32::try_from(error).expect("an error number");
    let step = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let mut filter = [
        step(LOAD_NUMBER, 0, 0),
        libc::sock_filter { jf: 1, ..step(IF_EQUAL, 0, setup) },
        step(RETURN, 0, refused),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    // SAFETY: between fork and exec only two calls are made, and the filter lives in the closure.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
            let filtered = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0;
            if filtered { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
}

#[test]
fn where_io_uring_is_not_allowed_pread_and_pwrite_do_the_work_and_it_is_said() {
    for (error, text) in [(libc::EPERM, "Operation not permitted"), (libc::ENOSYS, "Function not implemented")] {
        let directory = tempfile::tempdir().expect("directory");
        let mut command = high_io(directory.path(), &["file_size=1MiB", "passes=1"]);
        forbid_io_uring(&mut command, error);
        let done = Done::run(&mut command);
        assert!(done.event("no_io_uring").is_some_and(|why| why.contains(text)), "{done:?}");
        assert_eq!(done.result, Outcome::Pass, "{done:?}");
        let way = "pread/pwrite, one at a time, as io_uring can not be used";
        assert!(done.text.contains(way), "{}", done.text);
    }
}

#[test]
fn who_insists_on_io_uring_is_told_why_it_can_not_be_had() {
    let directory = tempfile::tempdir().expect("directory");
    let mut command = high_io(directory.path(), &["file_size=1MiB", "engine=io_uring"]);
    forbid_io_uring(&mut command, libc::EPERM);
    let done = Done::run(&mut command);
    assert_eq!((done.code, done.status), (Some(2), Status::Error));
    assert!(done.reason.starts_with("io_uring can not be used: Operation not permitted"), "{}", done.reason);
    assert_eq!(names(&directory.path().join("disk")), Vec::<String>::new());
}

#[test]
fn a_file_that_becomes_shorter_is_an_error_and_says_nothing_of_the_disk() {
    for engine in ["engine=io_uring", "engine=pread"] {
        let directory = tempfile::tempdir().expect("directory");
        // One transfer a pass, and slow: the file is cut off between a write and its reading, or before a write.
        let parameters = ["file_size=4KiB", "block_size=4KiB", "iops_max=5", engine];
        let mut running = Running::start(&mut high_io(directory.path(), &parameters));
        running.hear_until(|message| matches!(message, ModuleMessage::Ready));
        let disk = directory.path().join("disk");
        let path = disk.join(&names(&disk)[0]);
        let (end_sender, end) = std::sync::mpsc::channel::<()>();
        let cutter = std::thread::spawn(move || {
            let deadline = Instant::now() + PATIENCE;
            // A write makes it whole again: so again, until the test has ended and the file is gone.
            while Instant::now() < deadline && end.try_recv().is_err() {
                let Ok(file) = fs::OpenOptions::new().write(true).open(&path) else { return };
                file.set_len(0).expect("cut");
            }
        });
        let done = running.hear_until(|message| matches!(message, ModuleMessage::Done { .. }));
        drop(end_sender);
        cutter.join().expect("cutter");
        let ModuleMessage::Done { status: Status::Error, result: Outcome::Na, reason, .. } = done else {
            panic!("{done:?}");
        };
        assert!(reason.contains("the file became shorter"), "{reason}");
        assert_eq!(names(&disk), Vec::<String>::new());
    }
}

/// A file whose blocks are overwritten past the page cache, as the process under test writes them: where both kinds of writing meet,
/// the kernel drops the one in the cache and says so by an I/O error at the next sync.
struct OneBlock {
    file: fs::File,
}

impl OneBlock {
    const BYTES: usize = 4096;

    fn open(path: &Path) -> Self {
        let mut options = fs::OpenOptions::new();
        options.write(true);
        // A file system without direct I/O has no second way to meet.
        let direct = options.clone().custom_flags(libc::O_DIRECT).open(path);
        Self { file: direct.or_else(|_| options.open(path)).expect("open the file under test") }
    }

    fn overwrite(&self, byte: u8, offset: u64) {
        let room = vec![byte; 2 * Self::BYTES];
        let start = room.as_ptr().align_offset(Self::BYTES);
        self.file.write_all_at(&room[start..start + Self::BYTES], offset).expect("corrupt");
    }
}

#[test]
fn corruption_from_outside_is_reported() {
    let directory = tempfile::tempdir().expect("directory");
    let mut running = Running::start(&mut high_io(directory.path(), &["file_size=64KiB", "block_size=4KiB"]));
    running.hear_until(|message| matches!(message, ModuleMessage::Metric { .. }));
    let disk = directory.path().join("disk");
    let block = OneBlock::open(&disk.join(&names(&disk)[0]));
    // A write of the test may overwrite it before it is read: so again, until it is found.
    let writer = std::thread::spawn(move || {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && fs::read_dir(&disk).is_ok_and(|mut entries| entries.next().is_some()) {
            block.overwrite(0x55, 20_480);
            if Path::new(&disk).join("found").exists() {
                return;
            }
        }
    });
    let ModuleMessage::Corruption(found) =
        running.hear_until(|message| matches!(message, ModuleMessage::Corruption(_)))
    else {
        unreachable!("it is a corruption");
    };
    fs::write(directory.path().join("disk/found"), "").expect("tell the writer");
    writer.join().expect("writer");
    assert_eq!(found.offset, 20_480);
    assert!(found.actual.contains("5555555555555555"));
    running.hear_until(|message| matches!(message, ModuleMessage::Done { result: Outcome::Fail, .. }));
    assert_eq!(running.exit_code(), Some(1));
}

#[test]
fn a_stop_ends_it_with_pass_and_removes_the_file() {
    let directory = tempfile::tempdir().expect("directory");
    let mut running = Running::start(&mut high_io(directory.path(), &["file_size=1MiB", "iops_max=100"]));
    running.hear_until(|message| matches!(message, ModuleMessage::Metric { .. }));
    running.signal("-TERM");
    let done = running.hear_until(|message| matches!(message, ModuleMessage::Done { .. }));
    let ModuleMessage::Done { result: Outcome::Pass, r#final: totals, .. } = done else { panic!("{done:?}") };
    assert_eq!(running.exit_code(), Some(0));
    assert_eq!(names(&directory.path().join("disk")), Vec::<String>::new());
    // The limit held: 100 transfers a second, and what is verified after the end without one.
    assert!(totals["writes"] + totals["reads"] <= 100.0 * totals["seconds"] + 20.0, "{totals:?}");
}

#[test]
fn what_can_not_be_tested_is_an_error_in_one_clear_line() {
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("file");
    fs::write(&file, "").expect("file");
    let cases: [(&[&str], &str); 11] = [
        (&["--param", "read_percent=91"], "parameter `read_percent` can not be `91`: it must be at most 90"),
        (&["--param", "block_size=1000"], "parameter `block_size` can not be `1000`: it must be a multiple of 512"),
        (&["--param", "file_size=4KiB"], "parameter `file_size` can not be `4096`: it is smaller than a transfer"),
        (&["--param", "queue_depth=257"], "parameter `queue_depth` can not be `257`: it must be 1 to 256"),
        (&["--param", "block_size_max=192KiB"], "can not be `196608`: it must be block_size doubled some times"),
        (&["--param", "engine=aio"], "parameter `engine` can not be `aio`: write one of auto, io_uring, pread"),
        (&["--param", "block_size=32MiB"], "it must be a multiple of 512, at most 16MiB"),
        (&["--param", "inject=NONE"], "parameter `inject` can not be `NONE`: write one of BITFLIP"),
        (&["--param", "file_size=1024PiB"], "creation of"),
        (&["--disk", "/dev/null"], "is no directory"),
        (&["--disk", "/nowhere"], "opening of /nowhere failed: No such file"),
    ];
    for (arguments, text) in cases {
        let mut command = by_hand(PROGRAM, &[]);
        command.current_dir(directory.path()).args(arguments);
        if !arguments.contains(&"--disk") {
            command.arg("--disk").arg(directory.path());
        }
        let done = Done::run(&mut command);
        assert_eq!((done.code, done.status, done.result), (Some(2), Status::Error, Outcome::Na));
        assert!(done.reason.contains(text) && done.reason.lines().count() == 1, "{}", done.reason);
        assert_eq!(names(directory.path()), ["file"]);
    }
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    // A file system of one MiB, where this user may mount one.
    let directory = tempfile::tempdir().expect("directory");
    let script = format!(
        "mount -t tmpfs -o size=1m none {0} && exec {1} --disk {0} --param file_size=4MiB",
        directory.path().display(),
        PROGRAM,
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", &script]).env_remove("MUSTER_SOCKET");
    let output = command.output().expect("run unshare");
    if String::from_utf8_lossy(&output.stderr).contains("unshare") {
        return;
    }
    let done = Done::of(&output);
    assert_eq!((done.code, done.status), (Some(2), Status::Error));
    assert!(done.reason.starts_with("disk full: no room for creation of"), "{}", done.reason);
}
