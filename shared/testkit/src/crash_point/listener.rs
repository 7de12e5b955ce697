//! The kernel's side: a filter that holds system calls up until they are answered (seccomp_unotify(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use libc::{seccomp_notif, seccomp_notif_resp, sock_fprog};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::filter;

/// Where the child has the listener until it was taken from it.
const PLACE: RawFd = 250;

/// Has a program, and all that it starts, ask before what [`filter`] names.
pub(super) fn hold_up(command: &mut Command) {
    let mut program = filter::program();
    let install = move || {
        let length = u16::try_from(program.len()).map_err(io::Error::other)?;
        let filter = sock_fprog { len: length, filter: program.as_mut_ptr() };
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        // SAFETY: the filter lives until the call is back, and descriptors are numbers.
        let done = unsafe {
            let listener = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter);
            listener >= 0 && libc::dup2(i32::try_from(listener).unwrap_or(-1), PLACE) == PLACE
        };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec only system calls are made, and no memory is taken.
    unsafe { command.pre_exec(install) };
}

/// Takes the listener of a program that was started so.
pub(super) fn of_child(pid: u32) -> anyhow::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a child has an id")?;
    let child = pidfd_open(pid, PidfdFlags::empty()).context("open the child")?;
    pidfd_getfd(child, PLACE, PidfdGetfdFlags::empty()).context("take the listener of the child")
}

/// The next call that waits; none when nobody is left who could make one.
pub(super) fn next(listener: &OwnedFd) -> Option<seccomp_notif> {
    loop {
        let mut polled = [PollFd::new(listener, PollFlags::IN)];
        if poll(&mut polled, None).is_err() {
            continue;
        }
        let revents = polled[0].revents();
        if revents.contains(PollFlags::IN) {
            // SAFETY: all zero is what the kernel asks for, and a value of each of its fields.
            let mut call: seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: the kernel writes one call into what has its layout.
            let got =
                unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) };
            // It fails where who called was killed meanwhile.
            if got == 0 {
                return Some(call);
            }
        } else if revents.intersects(PollFlags::HUP | PollFlags::ERR) {
            return None;
        }
    }
}

/// Lets a call go on.
pub(super) fn allow(listener: &OwnedFd, call: &seccomp_notif) {
    let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or_default();
    let mut answer = seccomp_notif_resp { id: call.id, val: 0, error: 0, flags };
    // SAFETY: the kernel reads one answer from what has its layout. It fails where who called is gone.
    unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
}
