//! Options of a connection, and what the kernel knows of it.

use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use muster_sdk::keep_alive;

/// Bytes that may wait in the kernel before they are sent: hundreds of processes share a machine's memory for sockets, and what
/// waits for long is no longer in the cache.
const UNSENT_BYTES_MAX: i32 = 512 * 1024;
/// Bytes that may wait to be read. The kernel's own tuning goes on below it: 1 ms of round trip at 2 GB/s.
const UNREAD_BYTES_MAX: i32 = 2 * 1024 * 1024;

/// What the kernel counts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Kernel {
    /// Segments that were sent again.
    pub(crate) retransmits: u64,
    /// Smoothed round trip.
    pub(crate) round_trip: Duration,
}

/// Prepares a connection for packets.
pub(crate) fn prepare(socket: &TcpStream) -> std::io::Result<()> {
    keep_alive(socket)?;
    socket.set_read_timeout(None)?;
    socket.set_write_timeout(None)?;
    set(socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)?;
    set(socket, libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, UNREAD_BYTES_MAX)
}

/// A read sleeps until so many bytes are there, at most: with each segment that wakes it, a sender on the same machine loses time.
const WAKE_BYTES_MAX: usize = 64 * 1024;
/// Waiting for less than this is not worth a call.
const WAKE_BYTES_MIN: usize = 16 * 1024;

/// Bytes for which a read wakes while so many are missing of what the peer writes whole. At most half of it: a read that took less than
/// this before it slept wakes when as many more are there, and these must be missing as well, or it would sleep for ever.
pub(crate) fn wake_bytes(missing: usize) -> usize {
    let half = missing / 2;
    if half < WAKE_BYTES_MIN { 1 } else { (1 << half.ilog2()).min(WAKE_BYTES_MAX) }
}

/// Sets for how many bytes a read wakes.
pub(crate) fn set_wake_bytes(socket: &TcpStream, bytes: usize) -> std::io::Result<()> {
    let bytes = i32::try_from(bytes).map_err(std::io::Error::other)?;
    set(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, bytes)
}

fn set(socket: &TcpStream, level: i32, name: i32, value: i32) -> std::io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<i32>()).expect("an int is short");
    // SAFETY: the descriptor is open for as long as the borrow, and the value is an int that lives through the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// What the kernel counts of a connection; zeros where it does not say.
pub(crate) fn kernel(socket: &TcpStream) -> Kernel {
    // SAFETY: a structure of integers, for which zeros are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).expect("the structure is short");
    // SAFETY: the descriptor is open, and the kernel writes at most `size` bytes into the structure.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut size)
    };
    if result != 0 {
        return Kernel::default();
    }
    Kernel { retransmits: info.tcpi_total_retrans.into(), round_trip: Duration::from_micros(info.tcpi_rtt.into()) }
}

/// Ends a connection in both directions: whoever waits for it wakes.
pub(crate) fn end(socket: &TcpStream) {
    // One that has ended already is as good.
    let _: std::io::Result<()> = socket.shutdown(std::net::Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_prepared_connection_carries_data_and_the_kernel_knows_its_round_trip() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let mut one = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (mut other, _) = listener.accept().expect("accept");
        prepare(&one).expect("options");
        one.write_all(b"x").expect("write");
        other.read_exact(&mut [0]).expect("read");
        assert!(kernel(&one).round_trip > Duration::ZERO);
        end(&one);
        assert_eq!(other.read(&mut [0]).expect("the end"), 0);
    }

    /// Bytes that were received and not read yet.
    fn unread(socket: &TcpStream) -> i32 {
        let mut bytes = 0;
        // SAFETY: the descriptor is open, and the kernel writes an int.
        let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        assert_eq!(result, 0, "the kernel says it");
        bytes
    }

    #[test]
    fn a_read_that_took_a_part_before_it_slept_wakes_for_the_rest() {
        const WHOLE: usize = 128 * 1024;
        const PATIENCE: Duration = Duration::from_secs(10);
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let mut sender = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (mut receiver, _) = listener.accept().expect("accept");
        prepare(&sender).and_then(|()| prepare(&receiver)).expect("options");
        receiver.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let watched = receiver.try_clone().expect("a second handle");
        for first in [1, 20_000, 60_000, 65_535, 65_536, 65_537, 100_000, WHOLE - 1] {
            sender.write_all(&vec![7; first]).expect("the first part");
            let reading = std::thread::spawn({
                let mut receiver = receiver.try_clone().expect("a handle");
                move || {
                    let (mut packet, mut held) = (vec![0; WHOLE], 0);
                    while held < WHOLE {
                        set_wake_bytes(&receiver, wake_bytes(WHOLE - held)).expect("option");
                        held += receiver.read(&mut packet[held..]).expect("it does not sleep for ever");
                    }
                }
            });
            let begin = std::time::Instant::now();
            while unread(&watched) > 0 && begin.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
            assert_eq!(unread(&watched), 0, "the first part of {first} was taken");
            sender.write_all(&vec![7; WHOLE - first]).expect("the rest");
            reading.join().expect("all was read");
        }
        drop(sender);
        assert_eq!(receiver.read(&mut [0]).expect("the end"), 0, "an end wakes it as well");
    }

    #[test]
    fn a_read_wakes_for_at_most_half_of_what_is_missing() {
        for missing in (0..300_000).step_by(511) {
            let bytes = wake_bytes(missing);
            assert!(bytes == 1 || (bytes * 2 <= missing && bytes <= WAKE_BYTES_MAX), "{bytes} of {missing}");
        }
        assert_eq!((wake_bytes(4096), wake_bytes(128 * 1024), wake_bytes(1 << 20)), (1, 65_536, 65_536));
    }
}
