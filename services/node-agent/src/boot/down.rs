//! How this machine goes down: through its init, so that what runs is ended and file systems are unmounted. The bare system call is
//! for machines that have no init.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

/// systemd is the init of this machine where it has this.
const SYSTEMD: &str = "/run/systemd/system";

/// What runs the scripts of initial RAM disks.
const SHELLS: [&str; 4] = ["sh", "ash", "bash", "dash"];

/// What comes after it went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The firmware, and the boot loader.
    Firmware,
    /// The kernel that was loaded with kexec.
    Kexec,
}

/// Goes down. It returns when that has begun.
///
/// # Errors
/// When it does not go down.
pub(super) fn go_down(way: Way) -> anyhow::Result<()> {
    if Path::new(SYSTEMD).is_dir() {
        return ask_systemd(way);
    }
    match way {
        // What Ctrl-Alt-Del does: the kernel sends it to the init, which ends everything and reboots.
        Way::Firmware if init_listens() => {
            tracing::warn!("the init of this machine is asked to reboot");
            kill_process(Pid::INIT, Signal::INT).context("ask the init to reboot")
        }
        // Other inits know no kexec.
        Way::Firmware | Way::Kexec => {
            tracing::warn!(?way, "this machine is rebooted without an init");
            rustix::fs::sync();
            let command = if way == Way::Kexec { RebootCommand::Kexec } else { RebootCommand::Restart };
            reboot(command).context("reboot")
        }
    }
}

fn ask_systemd(way: Way) -> anyhow::Result<()> {
    let verb = if way == Way::Kexec { "kexec" } else { "reboot" };
    let output = Command::new("systemctl").args(["--no-block", verb]).stdin(Stdio::null()).output();
    let output = output.context("run systemctl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`systemctl {verb}` ended with {}: {}", output.status, said.trim());
    Ok(())
}

/// Process 1 is an init, and not this agent or a script of an initial RAM disk. What it waits for can not be told from outside: some
/// inits fetch their signals, and have no handler.
fn init_listens() -> bool {
    let command_line = std::fs::read("/proc/1/cmdline").unwrap_or_default();
    std::process::id() != 1 && !is_script(&command_line)
}

/// Whether a shell runs a script, by its file `cmdline` (proc_pid_cmdline(5)).
fn is_script(command_line: &[u8]) -> bool {
    let mut words = command_line.split(|byte| *byte == 0).map(|word| word.rsplit(|byte| *byte == b'/').next());
    let program = words.find(|word| *word != Some(b"busybox")).flatten().unwrap_or_default();
    SHELLS.iter().any(|shell| shell.as_bytes() == program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_is_told_from_a_script() {
        for init in [
            "/sbin/init\0",
            "/lib/systemd/systemd\0--switched-root\0",
            "init\0",
            "/bin/busybox\0init\0",
            "/usr/bin/shinit\0",
        ] {
            assert!(!is_script(init.as_bytes()), "{init}");
        }
        for script in ["/bin/sh\0/init\0", "/bin/busybox\0sh\0/init\0", "bash\0"] {
            assert!(is_script(script.as_bytes()), "{script}");
        }
    }
}
