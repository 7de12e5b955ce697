//! Starting a program in a cgroup from its first instruction on: clone3 with CLONE_INTO_CGROUP, on the memory of the caller, who
//! waits for the exec (as vfork does). The standard library can not do that, and moving a process into its cgroup afterwards stops
//! every fork of the machine for a moment, because the kernel takes a lock that all of them need.
//!
//! Everything that the child needs is made before it exists: it only makes system calls, and shares nothing that it could break.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// The child's stack: it calls a handful of functions.
const STACK_BYTES: usize = 32 << 10;
/// What a child that could not execute its program exits with; its caller knows why.
const EXIT_NOT_EXECUTED: c_int = 127;

/// Put the child into the cgroup that is named; libc's own constant has lost its only bit.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What clone3 is asked, as the kernel has it since it knows of cgroups here (5.7).
#[repr(C)]
#[derive(Default)]
struct Ask {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A program, ready to be executed.
#[derive(Debug)]
pub(crate) struct Program {
    path: CString,
    directory: CString,
    argument: CString,
    environment: Vec<CString>,
}

impl Program {
    /// A program that is given one argument, its name.
    pub(crate) fn new(
        path: &str,
        directory: &str,
        argument: &str,
        environment: impl Iterator<Item = String>,
    ) -> io::Result<Self> {
        let text = |text: &str| CString::new(text).map_err(io::Error::other);
        let environment = environment.map(|variable| CString::new(variable).map_err(io::Error::other));
        Ok(Self {
            path: text(path)?,
            directory: text(directory)?,
            argument: text(argument)?,
            environment: environment.collect::<io::Result<_>>()?,
        })
    }
}

/// What a child is to do, and why it could not.
struct Plan<'a> {
    path: &'a CStr,
    directory: &'a CStr,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    input: RawFd,
    output: RawFd,
    error: c_int,
}

/// Starts the program as leader of a group of its own, in `cgroup`, with `input` to read and `output` to write to. None where this
/// kernel, or what confines this process, does not let it.
pub(crate) fn launch(
    program: &Program,
    cgroup: BorrowedFd<'_>,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> io::Result<Option<u32>> {
    let arguments = [program.argument.as_ptr(), std::ptr::null()];
    let environment = program.environment.iter().map(|variable| variable.as_ptr());
    let environment: Vec<_> = environment.chain([std::ptr::null()]).collect();
    let mut plan = Plan {
        path: &program.path,
        directory: &program.directory,
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        input: input.as_raw_fd(),
        output: output.as_raw_fd(),
        error: 0,
    };
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    // SAFETY: the plan, what it points to and the stack live until the call returns, which is after the child's exec or exit.
    let pid = unsafe { clone(&mut plan, &mut stack, cgroup) };
    match pid {
        Ok(pid) if plan.error == 0 => Ok(Some(pid)),
        Ok(pid) => {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
            Err(io::Error::from_raw_os_error(plan.error))
        }
        // Too old a kernel, a filter, or a cgroup that takes nobody: the caller has another way.
        Err(libc::ENOSYS | libc::EINVAL | libc::EPERM | libc::EACCES | libc::EOPNOTSUPP | libc::EBUSY) => Ok(None),
        Err(error) => Err(io::Error::from_raw_os_error(error)),
    }
}

/// # Safety
/// What `plan` points to has to be there until this returns.
unsafe fn clone(plan: &mut Plan<'_>, stack: &mut [u128], cgroup: BorrowedFd<'_>) -> Result<u32, c_int> {
    let shared = u64::from((libc::CLONE_VM | libc::CLONE_VFORK).unsigned_abs());
    let ask = Ask {
        flags: shared | CLONE_INTO_CGROUP,
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        stack: stack.as_mut_ptr() as u64,
        stack_size: size_of_val(stack) as u64,
        cgroup: u64::from(cgroup.as_raw_fd().unsigned_abs()),
        ..Ask::default()
    };
    let result: isize;
    // SAFETY: the child goes on behind the system call with the registers of its parent and an empty, aligned stack; it calls what
    // never returns. The parent goes on behind the jump. Registers that a call may change are the child's own.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "mov rdi, r12", "call r13", "ud2", "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") &raw const ask, in("rsi") size_of_val(&ask),
            in("r12") &raw mut *plan, in("r13") execute as extern "C" fn(*mut Plan<'_>) -> !,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "svc 0", "cbnz x0, 2f", "mov x29, xzr", "mov x0, x20", "blr x21", "brk 1", "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") &raw const ask => result, in("x1") size_of_val(&ask),
            in("x20") &raw mut *plan, in("x21") execute as extern "C" fn(*mut Plan<'_>) -> !,
        );
    }
    u32::try_from(result).map_err(|_| c_int::try_from(-result).unwrap_or(libc::EINVAL))
}

/// The child: only system calls from here on.
extern "C" fn execute(plan: *mut Plan<'_>) -> ! {
    // SAFETY: the parent waits and keeps what the plan points to; descriptors are open; the texts end with a zero.
    unsafe {
        let plan = &mut *plan;
        let ready = libc::setpgid(0, 0) == 0
            && libc::signal(libc::SIGPIPE, libc::SIG_DFL) != libc::SIG_ERR
            && libc::dup2(plan.input, 0) == 0
            && libc::dup2(plan.output, 1) == 1
            && libc::dup2(plan.output, 2) == 2
            && libc::chdir(plan.directory.as_ptr()) == 0;
        if ready {
            libc::execve(plan.path.as_ptr(), plan.arguments, plan.environment);
        }
        plan.error = *libc::__errno_location();
        libc::_exit(EXIT_NOT_EXECUTED)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keeper::cgroup::Cgroups;

    /// Runs a script in a cgroup of its own; gives its status and what it wrote. None where there are no cgroups to be made.
    fn run(script: &str) -> Option<io::Result<(Option<i32>, String)>> {
        let home = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::find(home.path());
        let cgroup: OwnedFd = cgroups.make("one")?;
        let (path, log) = (home.path().join("script"), home.path().join("log"));
        if !script.is_empty() {
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let variables = ["A=b c".to_owned()].into_iter();
        let program = Program::new(&text(&path), &text(home.path()), "named", variables).unwrap();
        let output = File::create(&log).unwrap();
        let launched = launch(&program, cgroup.as_fd(), File::open("/dev/null").unwrap().as_fd(), output.as_fd());
        let result = launched.map(|pid| {
            let pid = rustix::process::Pid::from_raw(pid.unwrap().try_into().unwrap());
            let (_, status) = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap().unwrap();
            (status.exit_status(), std::fs::read_to_string(&log).unwrap())
        });
        cgroups.remove("one");
        cgroups.close();
        Some(result)
    }

    #[test]
    fn a_program_begins_in_its_cgroup_with_what_it_was_given() {
        let script = "#!/bin/sh\necho \"$A\"; pwd; cat /proc/self/cgroup; cat; [ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo leader\nexit 3\n";
        let Some(result) = run(script) else { return };
        let (status, log) = result.unwrap();
        assert_eq!(status, Some(3), "{log}");
        assert!(log.starts_with("b c\n/") && log.contains("/one\n") && log.ends_with("leader\n"), "{log}");
    }

    #[test]
    fn a_program_that_can_not_be_executed_is_an_error_and_no_process() {
        let Some(result) = run("") else { return };
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
