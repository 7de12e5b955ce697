//! What a child does between its beginning and its program: its descriptors, its limits, its user. Only system calls, on memory that
//! it shares with its parent.
//!
//! The C library changes users for all threads of a process, and finds its parent's here: so these are system calls by number.

use std::ffi::{CStr, c_char, c_int, c_long};
use std::os::fd::RawFd;

use super::executable::PROGRAM_DESCRIPTOR;

/// What a child that could not execute its program exits with; its caller knows why.
const EXIT_NOT_EXECUTED: c_int = 127;
/// Nobody else's files are made by accident: the group of all tests shares disks.
const UMASK_OF_USER: libc::mode_t = 0o007;
const UMASK_OF_ROOT: libc::mode_t = 0o022;
/// The kernel ends test processes before it ends the agent, or anything else.
const OUT_OF_MEMORY_FIRST: &[u8] = b"500";

/// How a process is confined.
#[derive(Debug, Clone)]
pub(super) struct Confinement {
    /// The user and group that it becomes; none where it stays what the keeper is.
    pub(super) user: Option<(u32, u32)>,
    /// It can not gain privileges.
    pub(super) no_new_privileges: bool,
    /// Limits of the kernel, by their numbers.
    pub(super) limits: Vec<(u32, u64)>,
}

/// What a child is to do, and why it could not.
pub(super) struct Plan<'a> {
    pub(super) path: &'a CStr,
    pub(super) directory: &'a CStr,
    pub(super) arguments: *const *const c_char,
    pub(super) environment: *const *const c_char,
    pub(super) input: RawFd,
    pub(super) output: RawFd,
    /// The program, and whether it is interpreted, and so keeps the descriptor.
    pub(super) program: Option<(RawFd, bool)>,
    pub(super) confinement: &'a Confinement,
    pub(super) step: &'static str,
    pub(super) error: c_int,
}

/// The child: it executes its program, or says in the plan why not.
pub(super) extern "C" fn execute(plan: *mut Plan<'_>) -> ! {
    // SAFETY: the parent waits and keeps what the plan points to; descriptors are open; the texts end with a zero.
    unsafe {
        let plan = &mut *plan;
        if set_descriptors(plan) && set_limits(plan) && set_user(plan) {
            plan.step = "execute it";
            libc::execve(plan.path.as_ptr(), plan.arguments, plan.environment);
        }
        plan.error = *libc::__errno_location();
        libc::_exit(EXIT_NOT_EXECUTED)
    }
}

/// Nothing to read, the log to write to, and no descriptor of anybody else.
///
/// # Safety
/// Only in the child.
unsafe fn set_descriptors(plan: &mut Plan<'_>) -> bool {
    plan.step = "set its descriptors";
    // SAFETY: system calls on numbers, and a text that ends with a zero.
    unsafe {
        let is_set = libc::setpgid(0, 0) == 0
            && libc::signal(libc::SIGPIPE, libc::SIG_DFL) != libc::SIG_ERR
            && libc::dup2(plan.input, 0) == 0
            && libc::dup2(plan.output, 1) == 1
            && libc::dup2(plan.output, 2) == 2
            && libc::chdir(plan.directory.as_ptr()) == 0;
        let mut first = PROGRAM_DESCRIPTOR;
        if let Some((program, is_interpreted)) = plan.program
            && is_set
        {
            first += 1;
            let flags = if is_interpreted { 0 } else { libc::FD_CLOEXEC };
            if libc::dup2(program, PROGRAM_DESCRIPTOR) < 0 || libc::fcntl(PROGRAM_DESCRIPTOR, libc::F_SETFD, flags) < 0
            {
                return false;
            }
        }
        // Where the kernel does not know it (before 5.9) what is ours closes itself, and what we were given is closed already.
        libc::syscall(libc::SYS_close_range, c_long::from(first), c_long::from(u32::MAX), 0);
        is_set
    }
}

/// # Safety
/// Only in the child.
unsafe fn set_limits(plan: &mut Plan<'_>) -> bool {
    plan.step = "limit it";
    // SAFETY: system calls on numbers and memory that is there.
    unsafe {
        let adjust = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if adjust >= 0 {
            libc::write(adjust, OUT_OF_MEMORY_FIRST.as_ptr().cast(), OUT_OF_MEMORY_FIRST.len());
            libc::close(adjust);
        }
        libc::umask(if plan.confinement.user.is_some() { UMASK_OF_USER } else { UMASK_OF_ROOT });
        for (resource, value) in &plan.confinement.limits {
            let limit = libc::rlimit64 { rlim_cur: *value, rlim_max: *value };
            let none = std::ptr::null_mut::<libc::rlimit64>();
            if libc::syscall(libc::SYS_prlimit64, 0, *resource, &raw const limit, none) != 0 {
                return false;
            }
        }
    }
    true
}

/// # Safety
/// Only in the child.
unsafe fn set_user(plan: &mut Plan<'_>) -> bool {
    plan.step = "become its user (see `users` in the policy file)";
    // SAFETY: system calls on numbers.
    unsafe {
        if let Some((user, group)) = plan.confinement.user {
            let is_user = libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) == 0
                && libc::syscall(libc::SYS_setresgid, group, group, group) == 0
                && libc::syscall(libc::SYS_setresuid, user, user, user) == 0;
            if !is_user {
                return false;
            }
        }
        !plan.confinement.no_new_privileges || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    }
}
