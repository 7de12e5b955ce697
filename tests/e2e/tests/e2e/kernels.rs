//! Kernels: read before any boot, kept by their digest, listed, removed; and what is wrong with an image is said.

use muster_e2e::lab;
use muster_testkit::kernel::{bzimage, vmlinux};

const RELEASE: &str = "6.12.1-muster-test";
const X86_64: u16 = 62;

#[test]
fn a_kernel_is_read_kept_and_removed_and_bad_images_are_refused() {
    let (lab, scratch) = lab(1, 1).expect("the lab comes up");
    let file = |name: &str, bytes: &[u8]| {
        let path = scratch.path().join(name);
        std::fs::write(&path, bytes).expect("a file is written");
        path.display().to_string()
    };
    let good = file("vmlinuz", &bzimage(RELEASE, &vmlinux(RELEASE, X86_64, Some(&[0x5a; 20]))));
    let initrd = file("initrd", b"070701");
    let added = lab.muster_json(&["kernel", "add", &good, "--initrd", &initrd, "--cmdline", "quiet panic=1"]);
    let added = added.expect("it is added");
    assert_eq!(
        (&added[0]["kernel"], &added[0]["release"], &added[0]["architecture"], &added[0]["build_id"]),
        (&RELEASE.into(), &RELEASE.into(), &"x86_64".into(), &"5a".repeat(20).into())
    );
    let refused = |arguments: &[&str], code: i32, word: &str| {
        let output = lab.muster(arguments).expect("muster runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && error.contains(word), "{arguments:?}: {error}");
    };
    refused(&["kernel", "add", &initrd], 2, "--initrd");
    let bare = file("bare", &bzimage(RELEASE, &vmlinux(RELEASE, X86_64, None)));
    refused(&["kernel", "add", &bare], 2, "--no-build-id");
    refused(&["kernel", "add", &bare, "--no-build-id"], 3, "another one of this name");
    lab.muster_ok(&["kernel", "add", &bare, "--no-build-id", "--name", "bare"]).expect("it is taken without one");
    let other = file("other", &vmlinux(RELEASE, 40, Some(&[1; 20])));
    refused(&["kernel", "add", &other, "--name", "other"], 2, "architecture");
    let cut = file("cut", &std::fs::read(&good).expect("it is read")[..100_000]);
    refused(&["kernel", "add", &cut, "--name", "cut"], 2, "complete");

    let listed = lab.muster_json(&["kernel", "list"]).expect("kernels are listed");
    let names: Vec<_> = listed.as_array().into_iter().flatten().map(|row| row["kernel"].clone()).collect();
    assert_eq!(names, [RELEASE, "bare"]);
    lab.muster_ok(&["kernel", "remove", RELEASE, "--yes"]).expect("it is removed");
    refused(&["kernel", "show", RELEASE], 4, "there is no kernel");
    lab.down().expect("nothing is left running");
}
