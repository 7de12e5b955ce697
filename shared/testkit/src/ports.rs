//! TCP ports for the parts of labs.
//!
//! A part that is told its port binds it a moment later, or again after a kill. So the ports lie below those that the kernel gives to
//! connections, and a port belongs to the process that took it, by a locked file, until that process ends.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Ports of labs: all below Linux's own lowest port for connections (`net.ipv4.ip_local_port_range`).
const PORTS: Range<u16> = 12_000..32_000;

/// Locks of the ports that this process took.
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A TCP port of the loopback that nobody listens on, and that no other lab of this machine gets while this process lives.
///
/// # Errors
/// When the machine has none left, or its folder for temporary files can not be written.
pub fn free_port() -> std::io::Result<u16> {
    let directory = std::env::temp_dir().join("muster-ports");
    std::fs::create_dir_all(&directory)?;
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Each process begins elsewhere, so that few meet.
    let first = std::process::id() as usize * 100 % PORTS.len();
    for port in PORTS.skip(first).chain(PORTS.take(first)) {
        if let Some(lock) = take(&directory, port)? {
            taken.push(lock);
            return Ok(port);
        }
    }
    Err(Error::new(ErrorKind::AddrInUse, "every port for labs is taken"))
}

/// The lock of a port that is nobody's and that nobody listens on.
fn take(directory: &Path, port: u16) -> std::io::Result<Option<File>> {
    let lock = File::create(directory.join(port.to_string()))?;
    let free = lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
    Ok(free.then_some(lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_while_nobody_listens_on_it_yet() {
        let ports: std::collections::BTreeSet<_> = (0..50).map(|_| free_port().expect("a port is free")).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| PORTS.contains(port)), "{ports:?}");
    }

    #[test]
    fn a_port_that_somebody_else_holds_or_listens_on_is_not_taken() {
        let directory = tempfile::tempdir().expect("a folder");
        let port = free_port().expect("a port is free");
        let held = take(directory.path(), port).expect("it is tried").expect("it is free");
        assert!(take(directory.path(), port).expect("it is tried").is_none());
        drop(held);
        let listening = TcpListener::bind(("127.0.0.1", port)).expect("it is free");
        assert!(take(directory.path(), port).expect("it is tried").is_none());
        drop(listening);
        assert!(take(directory.path(), port).expect("it is tried").is_some());
    }
}
