//! A real node agent fetches, checks and installs a kernel, and pretends to boot it: a lab's host stays up.

use muster_e2e::{SETTLE_LIMIT, lab, start, wait_state};
use muster_testkit::kernel::{bzimage, vmlinux};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;

const KERNEL: &str = "6.12.1-muster-test";

#[test]
fn an_agent_installs_an_ordered_kernel_once_and_comes_back_in_it_where_it_has_leave_to() {
    let (lab, scratch) = lab(1, 1).expect("the lab comes up");
    let image = scratch.path().join("vmlinuz");
    let kernel = bzimage(KERNEL, &vmlinux(KERNEL, 62, Some(&[0x5a; 20])));
    std::fs::write(&image, &kernel).expect("the image is written");
    lab.muster_ok(&["kernel", "add", &image.display().to_string(), "--cmdline", "panic=1"]).expect("it is added");
    let own = lab.muster_json(&["machine", "list"]).expect("machines are listed")[0]["kernel_release"].clone();

    a_pool_file_sets_how_it_is_booted(&lab, scratch.path());
    let job = start(&lab, "idle", 2, &[]).expect("a job runs");
    let boot = ["machine", "boot", "node-1", "--kernel", KERNEL, "--yes", "--wait", "--within", "90s"];
    let booted = lab.muster_json(&boot).unwrap_or_else(|error| panic!("{error}\n{}", lab.tails()));
    assert_eq!((&booted[0]["verdict"], &booted[0]["attempt"]), (&"verified".into(), &1.into()));
    wait_state(&lab, job, "finished", 2).expect("what ran was stopped before");
    let row = lab.muster_json(&["machine", "list"]).expect("machines are listed")[0].clone();
    assert_eq!((&row["kernel_release"], &row["kernel_build_id"]), (&KERNEL.into(), &"5a".repeat(20).into()));
    start(&lab, "idle", 2, &[]).expect("a job runs in the new kernel");

    lab.muster_ok(&["machine", "set", "node-1", "boot=grub", "attempts=2"]).expect("settings are taken");
    let output = lab.muster(&boot).expect("muster runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && printed.contains("--allow-boot grub"), "{printed}");
    let refused = lab.muster(&["start", "idle", "--processes", "1"]).expect("muster runs");
    assert_eq!(refused.status.code(), Some(3), "nothing starts on a machine that was given up");
    lab.muster_ok(&["machine", "set", "node-1", "boot=simulated"]).expect("settings are taken");
    let stock = ["machine", "boot", "node-1", "--stock", "--yes", "--wait", "--within", "90s"];
    lab.muster_ok(&stock).unwrap_or_else(|error| panic!("{error}\n{}", lab.tails()));
    wait_until("its own kernel runs", SETTLE_LIMIT, || {
        lab.muster_json(&["machine", "list"]).is_ok_and(|rows| rows[0]["kernel_release"] == own)
    })
    .expect("it is back");
    lab.down().expect("nothing is left running");
}

/// A file with one wrong setting changes nothing, wherever that is found out; a right one says how the machine is booted.
fn a_pool_file_sets_how_it_is_booted(lab: &Lab, scratch: &std::path::Path) {
    let path = scratch.join("pool.toml");
    let file = path.display().to_string();
    let load = |settings: &str| {
        let text =
            format!("[[machine]]\nname = \"node-1\"\n[machine.set]\nboot = \"simulated\"\ndrain = \"5s\"\n{settings}");
        std::fs::write(&path, text).expect("the file is written");
        lab.muster(&["machine", "load-pool", &file]).expect("muster runs")
    };
    let listed = || lab.muster_json(&["machine", "list"]).expect("machines are listed");
    for (settings, words) in [
        ("leave-down = \"perhaps\"\n", ["line 6", "leave-down=perhaps"]),
        ("\n[[machine]]\nname = \"spare\"\n[machine.set]\npower = \"telepathy\"\n", ["spare", "power"]),
        ("\n[[machine]]\nname = \"spare\"\n[machine.set]\nattempts = 21\n", ["spare", "attempts"]),
    ] {
        let output = load(settings);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && words.iter().all(|word| error.contains(word)), "{error}");
        let rows = listed();
        assert_eq!((rows.as_array().map(Vec::len), &rows[0]["boot_driver"]), (Some(1), &serde_json::Value::Null));
    }
    assert!(load("power = \"simulated\"\n").status.success(), "{}", lab.tails());
    assert!(load("").status.success(), "loaded again, with less");
    assert_eq!((&listed()[0]["boot_driver"], &listed()[0]["power"]), (&"simulated".into(), &"simulated".into()));
    lab.muster_ok(&["machine", "set", "node-1", "power="]).expect("settings are taken");
}
