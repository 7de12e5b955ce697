//! kexec: the running kernel loads the next one, and starts it without firmware and boot loader. Where the next boot goes through
//! them, it is the stock kernel's.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;

use anyhow::Context;

use super::Places;
use super::down::Way;
use super::files::Installed;
use super::real::Loader;

/// Flags of kexec_file_load(2), of linux/kexec.h.
const UNLOAD: u64 = 1;
const NO_INITRAMFS: u64 = 4;

/// The running kernel as the loader of the next one.
pub(super) struct Kexec {
    folder: PathBuf,
}

impl Kexec {
    pub(super) fn new(places: &Places) -> Self {
        Self { folder: places.state.join("boot") }
    }
}

impl Loader for Kexec {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        Ok(self.folder.clone())
    }

    fn arm(&self, kernel: &Installed, command_line: &str) -> anyhow::Result<()> {
        let open = |path: &PathBuf| File::open(path).with_context(|| format!("read {}", path.display()));
        let image = open(&kernel.image)?;
        let initrd = kernel.initrd.as_ref().map(open).transpose()?;
        let line = CString::new(command_line).context("use the command line")?;
        let flags = if initrd.is_some() { 0 } else { NO_INITRAMFS };
        let initrd = initrd.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        load(image.as_raw_fd(), initrd, &line, flags)
            .context("load it with kexec_file_load; a locked-down kernel takes signed images only")
    }

    fn disarm(&self) -> anyhow::Result<()> {
        match load(-1, -1, &CString::default(), UNLOAD) {
            // A kernel without kexec has nothing loaded.
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
            result => result.context("unload the kernel for kexec"),
        }
    }

    /// What is loaded does not boot by itself, and may be another one's: it is replaced by the next order.
    fn settle(&self) -> anyhow::Result<()> {
        Ok(())
    }

    fn way(&self) -> Way {
        Way::Kexec
    }
}

/// kexec_file_load(2), which the C library does not have.
fn load(kernel: RawFd, initrd: RawFd, command_line: &CString, flags: u64) -> io::Result<()> {
    let line = command_line.as_bytes_with_nul();
    // SAFETY: the kernel reads the line, whose length with its end is given, and the two descriptors; it keeps none of them.
    let result = unsafe { libc::syscall(libc::SYS_kexec_file_load, kernel, initrd, line.len(), line.as_ptr(), flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
