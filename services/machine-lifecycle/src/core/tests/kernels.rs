use super::*;
use crate::core::{Kernel, KernelFile};

/// A kernel as somebody adds it.
pub(super) fn kernel(name: &str) -> Kernel {
    let file = |byte: char| KernelFile { sha256: String::from(byte).repeat(64), size_bytes: 7 };
    Kernel {
        name: KernelName::new(name).unwrap(),
        release: "6.12.1-test".into(),
        build_id: "ab".repeat(20),
        architecture: "x86_64".into(),
        image: file('a'),
        initrd: Some(file('b')),
        command_line: "quiet".into(),
        added: PoolTime::NEVER,
    }
}

fn add(kernel: Kernel) -> Input {
    Input::Command(Command::AddKernel(Box::new(kernel)))
}

fn reply(world: &mut World, input: Input) -> (bool, BTreeSet<String>) {
    match world.check(input).unwrap().1 {
        Some(Reply::Kernel { unchanged, unused, .. }) => (unchanged, unused),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_kernel_is_added_once_and_another_of_its_name_is_refused() {
    let mut world = World::new();
    assert!(!reply(&mut world, add(kernel("k"))).0);
    let added = world.now;
    world.now = world.now + seconds(5);
    assert!(reply(&mut world, add(kernel("k"))).0, "the same again");
    assert_eq!(world.state.kernels[&KernelName::new("k").unwrap()].added, added);
    let other = Kernel { release: "6.12.2".into(), ..kernel("k") };
    let refusal = world.check(add(other)).unwrap_err();
    assert!(refusal.code == RefusalCode::Refused && refusal.next.contains("--name"), "{refusal}");
    world.check_replay();
}

#[test]
fn files_that_another_kernel_uses_are_kept() {
    let mut world = World::new();
    world.check(add(kernel("k"))).unwrap();
    world.check(add(Kernel { initrd: None, ..kernel("bare") })).unwrap();
    let remove = |name: &str| Input::Command(Command::RemoveKernel(KernelName::new(name).unwrap()));
    assert_eq!(reply(&mut world, remove("k")).1, BTreeSet::from(["b".repeat(64)]), "its image is still used");
    assert_eq!(reply(&mut world, remove("bare")).1, BTreeSet::from(["a".repeat(64)]));
    assert_eq!(world.check(remove("k")).unwrap_err().code, RefusalCode::NotFound);
    world.check_replay();
}

#[test]
fn what_is_no_kernel_is_refused_and_changes_nothing() {
    let mut world = World::new();
    for wrong in [
        Kernel { release: String::new(), ..kernel("k") },
        Kernel { release: "6.1 two words".into(), ..kernel("k") },
        Kernel { build_id: "XYZ".into(), ..kernel("k") },
        Kernel { image: KernelFile { sha256: "../../etc".into(), size_bytes: 1 }, ..kernel("k") },
        Kernel { command_line: "quiet\nsecond".into(), ..kernel("k") },
        Kernel { command_line: "a".repeat(2_000), ..kernel("k") },
    ] {
        assert_eq!(world.check(add(wrong)).unwrap_err().code, RefusalCode::Invalid);
    }
    assert!(world.state.kernels.is_empty());
}
