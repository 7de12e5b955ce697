//! Hears that devices come or go: from the kernel's uevents, or, where directories stand for disks, from the directories that they
//! are in. It says only that something changed; what is there is found by probing. Where it can hear nothing, the machine is still
//! probed once a minute.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, netlink, recv};
use tokio::sync::mpsc;

use crate::agent::Input;

/// Devices come in many events: probing waits until there was none for so long.
const QUIET: Duration = Duration::from_millis(300);
/// Probing waits no longer than this, however many events come.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// Longest event that is read; the kernel's are at most 2 KiB.
const EVENT_BYTES_MAX: usize = 8 << 10;
/// The kernel's own events.
const KERNEL_GROUP: u32 = 1;
/// Subsystems whose devices are resources.
const SUBSYSTEMS: [&str; 4] = ["block", "net", "scsi_tape", "cpu"];

/// Where changes are heard.
#[derive(Debug)]
enum Ear {
    /// The kernel's uevents.
    Kernel(OwnedFd),
    /// Directories that hold those that stand for disks.
    Directories(OwnedFd, Vec<PathBuf>),
}

/// Tells the agent of changes for as long as it lives. With `disks`, they alone are watched.
pub(crate) fn start(disks: &[PathBuf], inputs: mpsc::Sender<Input>) {
    let ear = if disks.is_empty() { Ear::kernel() } else { Ear::directories(disks) };
    let ear = match ear {
        Ok(ear) => ear,
        Err(error) => {
            tracing::info!(%error, "devices that come or go are not heard: they are found by the next probing");
            return;
        }
    };
    let listen = move || {
        while let Ok(()) = ear.wait(None) {
            // It is not ours, as a rule: most events are of other devices.
            if !ear.drain() {
                continue;
            }
            let heard = Instant::now();
            while heard.elapsed() < QUIET_MAX && ear.wait(Some(QUIET)).is_ok() {
                ear.drain();
            }
            if inputs.blocking_send(Input::Hotplug).is_err() {
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("hotplug".into()).spawn(listen) {
        tracing::warn!(%error, "devices that come or go are not heard");
    }
}

impl Ear {
    fn kernel() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::KOBJECT_UEVENT);
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self::Kernel(socket))
    }

    fn directories(disks: &[PathBuf]) -> io::Result<Self> {
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let come = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        let go = inotify::WatchFlags::DELETE | inotify::WatchFlags::MOVED_FROM;
        for parent in disks.iter().filter_map(|disk| disk.parent()) {
            inotify::add_watch(&events, parent, come | go | inotify::WatchFlags::ONLYDIR)?;
        }
        Ok(Self::Directories(events, disks.to_vec()))
    }

    /// Returns when there is something to read; an error when there is none within `limit`.
    fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        let (Self::Kernel(descriptor) | Self::Directories(descriptor, _)) = self;
        let limit = limit.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        loop {
            match poll(&mut [PollFd::new(descriptor, PollFlags::IN)], limit.as_ref()) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads everything that there is; true when some of it concerns a resource. Events that were lost concern one.
    fn drain(&self) -> bool {
        match self {
            Self::Kernel(socket) => drain_kernel(socket),
            Self::Directories(events, disks) => drain_directories(events, disks),
        }
    }
}

fn drain_kernel(socket: &OwnedFd) -> bool {
    let mut buffer = [0; EVENT_BYTES_MAX];
    let mut concerned = false;
    loop {
        match recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((size, _)) => concerned |= concerns_resource(&buffer[..size]),
            Err(rustix::io::Errno::NOBUFS) => concerned = true,
            Err(_) => return concerned,
        }
    }
}

/// An event is a head and `KEY=value` texts, each with a zero behind it.
fn concerns_resource(event: &[u8]) -> bool {
    let subsystem = event.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(b"SUBSYSTEM="));
    subsystem.is_some_and(|subsystem| SUBSYSTEMS.iter().any(|known| known.as_bytes() == subsystem))
}

fn drain_directories(events: &OwnedFd, disks: &[PathBuf]) -> bool {
    let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES_MAX];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    let mut concerned = false;
    while let Ok(event) = reader.next() {
        let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
        let is_of = |disk: &PathBuf| disk.file_name().map(Path::new) == name.as_deref().map(Path::new);
        concerned |= event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) || disks.iter().any(is_of);
    }
    concerned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_devices_that_are_resources_concern_us() {
        assert!(concerns_resource(
            b"add@/devices/x/sda\0ACTION=add\0DEVPATH=/devices/x/sda\0SUBSYSTEM=block\0SEQNUM=7\0"
        ));
        assert!(!concerns_resource(b"add@/devices/usb\0ACTION=add\0SUBSYSTEM=usb\0"));
        assert!(!concerns_resource(b"SUBSYSTEM=blocks\0"));
    }

    #[test]
    fn a_directory_that_stands_for_a_disk_is_heard_and_others_are_not() {
        let home = tempfile::tempdir().unwrap();
        let disk = home.path().join("disk1");
        let ear = Ear::directories(std::slice::from_ref(&disk)).unwrap();
        let change = |change: &dyn Fn()| {
            change();
            ear.wait(Some(Duration::from_secs(10))).unwrap();
            ear.drain()
        };
        assert!(!change(&|| std::fs::create_dir(home.path().join("other")).unwrap()));
        assert!(change(&|| std::fs::create_dir(&disk).unwrap()));
        assert!(change(&|| std::fs::rename(&disk, home.path().join("away")).unwrap()));
        assert!(!ear.drain(), "nothing is left");
    }
}
