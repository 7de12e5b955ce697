//! Programs of another architecture on this machine: a compiler for them, and an emulator that the kernel starts for them (binfmt_misc).

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::tools;

const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// The C library to link to, of the package `libc6-dev-arm64-cross`.
const LIBRARY: &str = "/usr/aarch64-linux-gnu/lib/libc.a";
/// How an executable for aarch64 begins, and which of those bits count (QEMU, scripts/qemu-binfmt-conf.sh).
const MAGIC: &str = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
const MASK: &str = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";

/// The path of a C compiler for aarch64 that links without libraries beside the program; installs it if need be, saying so on stderr.
///
/// # Errors
/// Says what to install by hand.
pub fn aarch64_compiler() -> anyhow::Result<PathBuf> {
    let compiler = tools::packaged_in("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")?;
    if !Path::new(LIBRARY).exists() {
        tools::apt_install(&["libc6-dev-arm64-cross"])?;
    }
    Ok(compiler)
}

/// While it lives, this machine runs executables for aarch64.
#[derive(Debug)]
pub struct Emulator {
    entry: PathBuf,
}

impl Emulator {
    /// Has the kernel start an emulator for them, which it opens now: whoever executes them need not see it.
    ///
    /// # Errors
    /// Without root, or where the kernel has no binfmt_misc.
    pub fn aarch64() -> anyhow::Result<Self> {
        let emulator = tools::unpacked("qemu-user-static")?.join("usr/bin/qemu-aarch64-static");
        let register = Path::new(BINFMT).join("register");
        if !register.exists() {
            tools::run_in(Path::new("/"), "mount", &["-t", "binfmt_misc", "binfmt_misc", BINFMT])?;
        }
        let name = format!("muster-aarch64-{}", std::process::id());
        let line = format!(":{name}:M::{MAGIC}:{MASK}:{}:F", emulator.display());
        std::fs::write(register, line).context("tell the kernel of the emulator")?;
        Ok(Self { entry: Path::new(BINFMT).join(name) })
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(&self.entry, "-1") {
            eprintln!("{} is left: {error}", self.entry.display());
        }
    }
}
