//! The kernel, without a C library: entry, system calls, and the few memory functions that a compiler takes for granted.
//!
//! Only Linux on x86_64 and aarch64. Responsible for every `unsafe` of this program but none of its sense.

use core::arch::{asm, naked_asm};

/// A file descriptor.
pub(crate) type Descriptor = i32;

/// Numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const READ: usize = 0;
    pub(super) const WRITE: usize = 1;
    pub(super) const CLOSE: usize = 3;
    pub(super) const NANOSLEEP: usize = 35;
    pub(super) const GETPID: usize = 39;
    pub(super) const SOCKET: usize = 41;
    pub(super) const CONNECT: usize = 42;
    pub(super) const CLOCK_GETTIME: usize = 228;
    pub(super) const EXIT_GROUP: usize = 231;
}

/// Numbers of system calls.
#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const READ: usize = 63;
    pub(super) const WRITE: usize = 64;
    pub(super) const CLOSE: usize = 57;
    pub(super) const NANOSLEEP: usize = 101;
    pub(super) const GETPID: usize = 172;
    pub(super) const SOCKET: usize = 198;
    pub(super) const CONNECT: usize = 203;
    pub(super) const CLOCK_GETTIME: usize = 113;
    pub(super) const EXIT_GROUP: usize = 94;
}

/// Where the kernel begins: the stack holds the count of arguments, the arguments, and the environment.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {begin}", "ud2", begin = sym begin)
}

/// Where the kernel begins: the stack holds the count of arguments, the arguments, and the environment.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    naked_asm!("mov x29, xzr", "mov x30, xzr", "mov x0, sp", "bl {begin}", "brk #1", begin = sym begin)
}

extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel put the count there, and behind it so many arguments, a zero, the environment, and a zero.
    let (arguments, environment) = unsafe {
        let count = *stack;
        (Strings(stack.add(1).cast()), Strings(stack.add(count.wrapping_add(2)).cast()))
    };
    exit(crate::run(arguments, environment))
}

#[cfg(target_arch = "x86_64")]
fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result;
    // SAFETY: the callers below hand over addresses and sizes of what they borrow.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result;
    // SAFETY: the callers below hand over addresses and sizes of what they borrow.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, options(nostack));
    }
    result
}

/// A list of texts that ends with a zero, as the kernel gives arguments and environment.
#[derive(Clone, Copy)]
pub(crate) struct Strings(*const *const u8);

impl Iterator for Strings {
    type Item = &'static [u8];

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the list lasts as long as the process and ends with a zero, and so does each of its texts.
        unsafe {
            let text = *self.0;
            if text.is_null() {
                return None;
            }
            self.0 = self.0.add(1);
            let mut size = 0_usize;
            // Volatile, so that this does not become a call of the C library's strlen.
            while text.add(size).read_volatile() != 0 {
                size = size.wrapping_add(1);
            }
            Some(core::slice::from_raw_parts(text, size))
        }
    }
}

/// Reads; none at the end, or when it fails.
pub(crate) fn read(from: Descriptor, into: &mut [u8]) -> Option<usize> {
    let size = call(number::READ, from as usize, into.as_mut_ptr() as usize, into.len());
    if size > 0 { Some(size as usize) } else { None }
}

/// Writes all of it; false when that fails.
pub(crate) fn write(to: Descriptor, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let size = call(number::WRITE, to as usize, bytes.as_ptr() as usize, bytes.len());
        match bytes.get(size as usize..) {
            Some(rest) if size > 0 => bytes = rest,
            _ => return false,
        }
    }
    true
}

/// A connection to a Unix socket.
pub(crate) fn connect(path: &[u8]) -> Option<Descriptor> {
    #[repr(C)]
    struct Address {
        family: u16,
        path: [u8; 108],
    }
    const UNIX: u16 = 1;
    const STREAM: usize = 1;
    let mut address = Address { family: UNIX, path: [0; 108] };
    // One place is left for the zero at its end.
    if path.len() >= address.path.len() {
        return None;
    }
    address.path.iter_mut().zip(path).for_each(|(to, from)| *to = *from);
    let socket = call(number::SOCKET, usize::from(UNIX), STREAM, 0);
    if socket < 0 {
        return None;
    }
    let place = core::ptr::from_ref(&address) as usize;
    if call(number::CONNECT, socket as usize, place, size_of::<Address>()) != 0 {
        close(socket as Descriptor);
        return None;
    }
    Some(socket as Descriptor)
}

/// Ends a connection.
pub(crate) fn close(descriptor: Descriptor) {
    call(number::CLOSE, descriptor as usize, 0, 0);
}

#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i64,
}

/// Nanoseconds of wall time.
pub(crate) fn wall_time_ns() -> u64 {
    let mut time = Time { seconds: 0, nanoseconds: 0 };
    call(number::CLOCK_GETTIME, 0, core::ptr::from_mut(&mut time) as usize, 0);
    (time.seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(time.nanoseconds as u64)
}

/// Waits.
pub(crate) fn sleep_ms(milliseconds: u32) {
    let time = Time { seconds: 0, nanoseconds: i64::from(milliseconds).wrapping_mul(1_000_000) };
    call(number::NANOSLEEP, core::ptr::from_ref(&time) as usize, 0, 0);
}

/// The id of this process.
pub(crate) fn own_pid() -> u64 {
    call(number::GETPID, 0, 0, 0) as u64
}

fn exit(code: u8) -> ! {
    loop {
        call(number::EXIT_GROUP, usize::from(code), 0, 0);
    }
}

/// What compilers call for copies, in place of the C library's.
///
/// # Safety
/// As memcpy(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    let mut place = 0;
    while place < size {
        // SAFETY: the caller's promise. Volatile, so that this does not become a call of itself.
        unsafe { to.add(place).write_volatile(*from.add(place)) };
        place = place.wrapping_add(1);
    }
    to
}

/// What compilers call to fill memory.
///
/// # Safety
/// As memset(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, size: usize) -> *mut u8 {
    let mut place = 0;
    while place < size {
        // SAFETY: the caller's promise. Volatile, so that this does not become a call of itself.
        unsafe { to.add(place).write_volatile(byte as u8) };
        place = place.wrapping_add(1);
    }
    to
}

/// What compilers call to compare: 0 when equal.
///
/// # Safety
/// As bcmp(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, size: usize) -> i32 {
    let (mut place, mut different) = (0, 0);
    while place < size {
        // SAFETY: the caller's promise. Volatile, so that this does not become a call of itself.
        different |= unsafe { a.add(place).read_volatile() ^ b.add(place).read_volatile() };
        place = place.wrapping_add(1);
    }
    i32::from(different)
}
