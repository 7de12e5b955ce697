//! The kernel's side: a filter that holds system calls up until they are answered (seccomp_unotify(2)).

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use libc::{cmsghdr, iovec, msghdr, seccomp_notif, seccomp_notif_resp, sock_fprog};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::filter;

/// A control message with one descriptor, as it lies in memory (cmsg(3)).
#[repr(C)]
struct Passed {
    header: cmsghdr,
    descriptor: RawFd,
}

/// Has a program, and all that it starts, ask before what [`filter`] names. The listener comes over the socket before the program begins,
/// which may close everything that it was given.
pub(super) fn hold_up(command: &mut Command) -> io::Result<UnixStream> {
    let (ours, of_child) = UnixStream::pair()?;
    let mut program = filter::program();
    let install = move || {
        let length = u16::try_from(program.len()).map_err(io::Error::other)?;
        let filter = sock_fprog { len: length, filter: program.as_mut_ptr() };
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        // SAFETY: the filter lives until the call is back.
        let listener =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
        let listener = i32::try_from(listener).ok().filter(|listener| *listener >= 0);
        if listener.is_some_and(|listener| pass(listener, of_child.as_raw_fd())) {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: between fork and exec only system calls are made, and no memory is taken.
    unsafe { command.pre_exec(install) };
    Ok(ours)
}

/// Sends a descriptor over a socket, from the place of the input: what is sent from others is held up already, and nobody answers yet.
fn pass(descriptor: RawFd, socket: RawFd) -> bool {
    let mut byte = 0_u8;
    let mut bytes = iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: all zero is valid for numbers and pointers that say nothing.
    let (mut message, mut passed): (msghdr, Passed) = unsafe { std::mem::zeroed() };
    // SAFETY: only computes a length.
    passed.header.cmsg_len = unsafe { libc::CMSG_LEN(size_of::<RawFd>() as u32) } as _;
    (passed.header.cmsg_level, passed.header.cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
    passed.descriptor = descriptor;
    (message.msg_iov, message.msg_iovlen) = (&raw mut bytes, 1);
    (message.msg_control, message.msg_controllen) = ((&raw mut passed).cast(), size_of::<Passed>());
    // SAFETY: descriptors are numbers, and the message points to what lives here.
    unsafe {
        let input = libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3);
        let is_sent = input >= 0 && libc::dup2(socket, 0) == 0 && libc::sendmsg(0, &raw const message, 0) == 1;
        is_sent && libc::dup2(input, 0) == 0
    }
}

/// Takes the listener of a program that was started so, and runs.
pub(super) fn of_child(socket: &UnixStream) -> anyhow::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let (mut byte, mut ancillary) = ([0], RecvAncillaryBuffer::new(&mut space));
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags).context("hear of the child")?;
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    descriptors.find_map(|mut passed| passed.next()).context("take the listener of the child")
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
