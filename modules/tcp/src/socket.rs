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
}
