//! Starting a program, where it can be in a cgroup from its first instruction on: clone3 with CLONE_INTO_CGROUP, on the memory of the
//! caller, who waits for the exec (as vfork does). The standard library can not do that, and moving a process into its cgroup afterwards stops
//! every fork of the machine for a moment, because the kernel takes a lock that all of them need.
//!
//! Everything that the child needs is made before it exists: it only makes system calls (`confine`), and shares nothing that it could
//! break.

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::confine::{Confinement, Plan, execute};
use super::executable::Executable;

/// The child's stack: it calls a handful of functions.
const STACK_BYTES: usize = 32 << 10;

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
    /// What the path leads to, where it leads to the descriptor of a checked file.
    executable: Option<Executable>,
    confinement: Confinement,
}

/// What a child reads from, writes to, and lives in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Its input.
    pub input: BorrowedFd<'a>,
    /// Its output, and its errors.
    pub output: BorrowedFd<'a>,
    /// Its cgroup; none where there are none.
    pub cgroup: Option<BorrowedFd<'a>>,
}

impl Program {
    /// A program that is given one argument, its name.
    pub(crate) fn new(
        [path, directory, argument]: [&str; 3],
        environment: impl Iterator<Item = String>,
        executable: Option<Executable>,
        confinement: Confinement,
    ) -> io::Result<Self> {
        let text = |text: &str| CString::new(text).map_err(io::Error::other);
        let environment = environment.map(|variable| CString::new(variable).map_err(io::Error::other));
        Ok(Self {
            path: text(path)?,
            directory: text(directory)?,
            argument: text(argument)?,
            environment: environment.collect::<io::Result<_>>()?,
            executable,
            confinement,
        })
    }
}

/// Starts the program as leader of a group of its own. Gives its id, and whether it is in its cgroup: it is not where this kernel, or
/// what confines this process, does not let it.
pub(crate) fn launch(program: &Program, around: Surroundings<'_>) -> io::Result<(u32, bool)> {
    let arguments = [program.argument.as_ptr(), std::ptr::null()];
    let environment = program.environment.iter().map(|variable| variable.as_ptr());
    let environment: Vec<_> = environment.chain([std::ptr::null()]).collect();
    let executable = program.executable.as_ref();
    let mut plan = Plan {
        path: &program.path,
        directory: &program.directory,
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        input: around.input.as_raw_fd(),
        output: around.output.as_raw_fd(),
        program: executable.map(|executable| (executable.file.as_raw_fd(), executable.is_interpreted)),
        confinement: &program.confinement,
        step: "",
        error: 0,
    };
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    // SAFETY: the plan, what it points to and the stack live until the call returns, which is after the child's exec or exit.
    let inside = around.cgroup.map(|cgroup| unsafe { clone_into(&mut plan, &mut stack, cgroup) });
    let (started, is_inside) = match inside {
        // Too old a kernel, a filter, or a cgroup that takes nobody: there is another way.
        None | Some(Err(libc::ENOSYS | libc::EINVAL | libc::EPERM | libc::EACCES | libc::EOPNOTSUPP | libc::EBUSY)) => {
            // SAFETY: as above.
            (unsafe { clone(&mut plan, &mut stack) }, false)
        }
        Some(started) => (started, true),
    };
    let pid = started.map_err(io::Error::from_raw_os_error)?;
    if plan.error == 0 {
        return Ok((pid, is_inside));
    }
    let child = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::waitpid(child, rustix::process::WaitOptions::empty());
    let error = io::Error::from_raw_os_error(plan.error);
    Err(io::Error::new(error.kind(), format!("{}: {error}", plan.step)))
}

/// # Safety
/// What `plan` points to has to be there until this returns.
unsafe fn clone(plan: &mut Plan<'_>, stack: &mut [u128]) -> Result<u32, c_int> {
    extern "C" fn begin(plan: *mut c_void) -> c_int {
        execute(plan.cast())
    }
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: the stack is the child's alone and grows down from its aligned end; the child never returns.
    let pid = unsafe { libc::clone(begin, top, flags, (&raw mut *plan).cast()) };
    u32::try_from(pid).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL))
}

/// # Safety
/// What `plan` points to has to be there until this returns.
unsafe fn clone_into(plan: &mut Plan<'_>, stack: &mut [u128], cgroup: BorrowedFd<'_>) -> Result<u32, c_int> {
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::keeper::cgroup::Cgroups;
    use crate::keeper::executable::{Checked, Mark, PROGRAM_LINK};
    use crate::keeper::protocol::Limits;

    /// Runs a script in a directory, confined, and in a cgroup of its own where one can be made; gives its status and what it wrote.
    fn run(script: &str, confinement: Confinement) -> io::Result<(Option<i32>, String, bool)> {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let cgroups = Cgroups::find(home.path());
        let cgroup: Option<OwnedFd> = cgroups.make("one", &Limits::default());
        let (path, log) = (home.path().join("script"), home.path().join("log"));
        let executable = (!script.is_empty()).then(|| {
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            let mark = Mark::of(&std::fs::metadata(&path).unwrap());
            Executable::open(&Checked { path: path.clone(), mark }).unwrap()
        });
        let link = home.path().join("named");
        std::os::unix::fs::symlink(PROGRAM_LINK, &link).unwrap();
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        let variables = ["A=b c".to_owned(), "PATH=/usr/bin:/bin".to_owned()].into_iter();
        let texts = [text(&link), text(home.path()), "argument".into()];
        let texts = texts.each_ref().map(String::as_str);
        let program = Program::new(texts, variables, executable, confinement).unwrap();
        let (output, input) = (File::create(&log).unwrap(), File::open("/dev/null").unwrap());
        let around =
            Surroundings { input: input.as_fd(), output: output.as_fd(), cgroup: cgroup.as_ref().map(OwnedFd::as_fd) };
        let launched = launch(&program, around);
        let result = launched.map(|(pid, is_inside)| {
            let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap());
            let (_, status) = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap().unwrap();
            (status.exit_status(), std::fs::read_to_string(&log).unwrap(), is_inside)
        });
        cgroups.remove("one");
        cgroups.close();
        result
    }

    fn unconfined() -> Confinement {
        Confinement { user: None, no_new_privileges: false, limits: Vec::new() }
    }

    #[test]
    fn a_program_begins_in_its_cgroup_with_what_it_was_given() {
        let script = "#!/bin/sh\necho \"$A\"; pwd; echo $0; cat /proc/self/cgroup; cat; [ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo leader\nexit 3\n";
        let (status, log, is_inside) = run(script, unconfined()).unwrap();
        assert_eq!(status, Some(3), "{log}");
        assert!(log.starts_with("b c\n/") && log.ends_with("leader\n") && log.contains("/named\n"), "{log}");
        assert!(!is_inside || log.contains("/one\n"), "{log}");
    }

    #[test]
    fn a_program_has_its_own_descriptors_limits_and_user_and_nothing_of_ours() {
        let kept: Vec<File> = (0..20).map(|_| File::open("/dev/null").unwrap()).collect();
        for file in &kept {
            rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).unwrap();
        }
        let script = "#!/bin/bash\nfor n in $(seq 3 60); do [ -e /proc/$$/fd/$n ] && echo open $n; done\n\
                      ulimit -n; ulimit -c; umask; id -u; id -g; id -G\n\
                      grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj\n";
        let is_root = rustix::process::geteuid().is_root();
        let user = is_root.then_some((70_007, 70_000));
        let limits = vec![(libc::RLIMIT_NOFILE, 77), (libc::RLIMIT_CORE, 0)];
        let (_, log, _) = run(script, Confinement { user, no_new_privileges: true, limits }).unwrap();
        let expected = ["77", "0", if is_root { "0007" } else { "0022" }];
        let lines: Vec<&str> = log.lines().collect();
        // The script itself, which its interpreter opens.
        assert_eq!(lines[0], "open 3", "{log}");
        assert_eq!(lines[1..4], expected, "{log}");
        assert!(!is_root || lines[4..7] == ["70007", "70000", "70000"], "{log}");
        assert!(log.contains("NoNewPrivs:\t1"), "{log}");
        assert!(log.ends_with("500\n"), "{log}");
    }

    #[test]
    fn a_program_that_can_not_be_executed_is_an_error_and_no_process() {
        let error = run("", unconfined()).unwrap_err();
        assert!(error.kind() == io::ErrorKind::NotFound && error.to_string().contains("execute it"), "{error}");
    }
}
