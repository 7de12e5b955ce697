//! What a system call that is held up would do, in words.

use std::fs::File;
use std::os::unix::fs::FileExt;

use libc::{c_long, seccomp_notif};

/// Longest path that is read.
const PATH_BYTES_MAX: usize = 512;
/// Files that no later life reads: the kernel's own.
const PASSING: [&str; 2] = ["/proc/", "/dev/"];

/// Which effects of a program are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effects {
    /// Files that are made, written, synced, renamed and removed, directories and links, processes that are started and killed, and
    /// what is said to other processes of this machine.
    OfMachine,
    /// What is sent over TCP: to the bus, where a service has no other connection.
    OfBus,
}

/// What a call would do; none where it is no effect of this kind.
pub(super) fn describe(call: &seccomp_notif, kind: Effects) -> Option<String> {
    let number = c_long::from(call.data.nr);
    let is_write = [libc::SYS_pwrite64, libc::SYS_write, libc::SYS_writev].contains(&number);
    if is_write || [libc::SYS_sendto, libc::SYS_sendmsg].contains(&number) {
        return write(call, kind);
    }
    if kind == Effects::OfBus {
        return None;
    }
    let [first, second, third, fourth, ..] = call.data.args;
    let (word, what) = match number {
        libc::SYS_clone3 if word_at(call.pid, first)? & libc::CLONE_THREAD.unsigned_abs() != 0 => return None,
        libc::SYS_clone | libc::SYS_clone3 => ("clone", String::new()),
        libc::SYS_fdatasync | libc::SYS_fsync => ("sync", descriptor(call.pid, first)?),
        libc::SYS_ftruncate => ("truncate", descriptor(call.pid, first)?),
        libc::SYS_kill | libc::SYS_pidfd_send_signal => ("kill", String::new()),
        libc::SYS_mkdirat => ("mkdir", path_at(call.pid, second)?),
        libc::SYS_openat => ("create", path_at(call.pid, second)?),
        libc::SYS_linkat | libc::SYS_renameat | libc::SYS_renameat2 => ("rename", path_at(call.pid, fourth)?),
        libc::SYS_symlinkat => ("link", path_at(call.pid, third)?),
        libc::SYS_unlinkat => ("remove", path_at(call.pid, second)?),
        number => of_older_calls(call, number)?,
    };
    let passing = PASSING.iter().any(|place| what.starts_with(place));
    (!passing).then(|| format!("{word} {what}"))
}

/// Calls that younger architectures do without.
#[cfg(target_arch = "x86_64")]
fn of_older_calls(call: &seccomp_notif, number: c_long) -> Option<(&'static str, String)> {
    let [first, second, ..] = call.data.args;
    Some(match number {
        libc::SYS_mkdir => ("mkdir", path_at(call.pid, first)?),
        libc::SYS_rename => ("rename", path_at(call.pid, second)?),
        libc::SYS_symlink => ("link", path_at(call.pid, second)?),
        libc::SYS_rmdir | libc::SYS_unlink => ("remove", path_at(call.pid, first)?),
        libc::SYS_vfork => ("clone", String::new()),
        _ => return None,
    })
}

/// Calls that younger architectures do without: there are none.
#[cfg(not(target_arch = "x86_64"))]
fn of_older_calls(_: &seccomp_notif, _: c_long) -> Option<(&'static str, String)> {
    None
}

fn write(call: &seccomp_notif, kind: Effects) -> Option<String> {
    let place = descriptor(call.pid, call.data.args[0])?;
    match (kind, place.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'))) {
        (Effects::OfBus, Some(inode)) => is_tcp(inode).then(|| "send".to_owned()),
        (Effects::OfMachine, Some(inode)) => (!is_tcp(inode)).then(|| "say".to_owned()),
        (Effects::OfMachine, None) if place.starts_with('/') => {
            let passing = PASSING.iter().any(|passing| place.starts_with(passing));
            (!passing).then(|| format!("write {place}"))
        }
        (Effects::OfBus | Effects::OfMachine, None) => None,
    }
}

/// What a descriptor is open to.
fn descriptor(thread: u32, number: u64) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/{thread}/fd/{number}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// A socket is of TCP by the kernel's list of those.
fn is_tcp(inode: &str) -> bool {
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|list| {
        let text = std::fs::read_to_string(list).unwrap_or_default();
        text.lines().any(|line| line.split_whitespace().nth(9) == Some(inode))
    })
}

/// The text that ends with a zero at an address of a thread that waits.
fn path_at(thread: u32, address: u64) -> Option<String> {
    let mut bytes = [0; PATH_BYTES_MAX];
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    // The page behind may not be there: what is read by then is enough.
    let size = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..size].iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// The lower half of the first number of what is at an address.
fn word_at(thread: u32, address: u64) -> Option<u32> {
    let mut bytes = [0; 4];
    File::open(format!("/proc/{thread}/mem")).ok()?.read_exact_at(&mut bytes, address).ok()?;
    Some(u32::from_ne_bytes(bytes))
}
