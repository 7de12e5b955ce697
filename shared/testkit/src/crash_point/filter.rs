//! Which system calls are told to who watches, as a program of the kernel's own machine (seccomp(2)). It sees numbers alone: whoever is
//! told looks at paths and descriptors.

use libc::{BPF_ABS, BPF_JEQ, BPF_JGT, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long, sock_filter};

/// Always an effect.
const ALWAYS: [c_long; 18] = [
    libc::SYS_clone3,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_kill,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_pidfd_send_signal,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_symlinkat,
    libc::SYS_unlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];
/// An effect unless it goes to one of the three descriptors that a process begins with.
const WRITES: [c_long; 5] =
    [libc::SYS_pwrite64, libc::SYS_sendmsg, libc::SYS_sendto, libc::SYS_write, libc::SYS_writev];
/// Where the kernel's `seccomp_data` has the number, and the lower half of the first argument.
const NUMBER: u32 = 0;
const FIRST_ARGUMENT: u32 = 16;
const THIRD_ARGUMENT: u32 = FIRST_ARGUMENT + 2 * 8;

/// The program.
pub(super) fn program() -> Vec<sock_filter> {
    let mut program = vec![load(NUMBER)];
    for call in ALWAYS {
        program.extend([jump(BPF_JEQ, number(call), 0, 1), tell()]);
    }
    for call in WRITES {
        program.extend([jump(BPF_JEQ, number(call), 0, 4), load(FIRST_ARGUMENT), jump(BPF_JGT, 2, 0, 1), tell()]);
        program.push(allow());
    }
    let creates = jump(BPF_JSET, libc::O_CREAT.unsigned_abs(), 0, 1);
    program.extend([jump(BPF_JEQ, number(libc::SYS_openat), 0, 4), load(THIRD_ARGUMENT), creates, tell(), allow()]);
    let thread = jump(BPF_JSET, libc::CLONE_THREAD.unsigned_abs(), 1, 0);
    program.extend([jump(BPF_JEQ, number(libc::SYS_clone), 0, 3), load(FIRST_ARGUMENT), thread, tell(), allow()]);
    program
}

/// Numbers of system calls are small.
fn number(call: c_long) -> u32 {
    u32::try_from(call).expect("a number of a system call")
}

fn load(place: u32) -> sock_filter {
    sock_filter { code: code(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: place }
}

fn jump(test: u32, value: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code(BPF_JMP | test | BPF_K), jt, jf, k: value }
}

fn tell() -> sock_filter {
    sock_filter { code: code(BPF_RET | BPF_K), jt: 0, jf: 0, k: libc::SECCOMP_RET_USER_NOTIF }
}

fn allow() -> sock_filter {
    sock_filter { code: code(BPF_RET | BPF_K), jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }
}

fn code(bits: u32) -> u16 {
    u16::try_from(bits).expect("codes have 16 bits")
}
