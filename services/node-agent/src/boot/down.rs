//! How this machine goes down: through its init, so that what runs is ended and file systems are unmounted. The bare system call is
//! for machines that have no init.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

/// systemd is the init of this machine where it has this.
const SYSTEMD: &str = "/run/systemd/system";

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

/// Process 1 is an init, and not this agent or a script of an initial RAM disk: only an init waits for Ctrl-Alt-Del.
fn init_listens() -> bool {
    let status = std::fs::read_to_string("/proc/1/status").unwrap_or_default();
    std::process::id() != 1 && waits_for(&status, Signal::INT)
}

/// Whether a process has a handler for a signal, or fetches it, by its file `status` (proc_pid_status(5)).
fn waits_for(status: &str, signal: Signal) -> bool {
    let bit = 1_u64 << (signal.as_raw() - 1);
    let masks = status.lines().filter_map(|line| line.strip_prefix("SigCgt:").or_else(|| line.strip_prefix("SigBlk:")));
    masks.filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok()).any(|mask| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_is_told_from_a_script_by_what_it_waits_for() {
        let status =
            |blocked: &str, caught: &str| format!("SigBlk:\t{blocked}\nSigIgn:\t0000000000001003\nSigCgt:\t{caught}\n");
        let systemd = status("7be3c0fe28014a03", "00000001800004ec");
        let sysvinit = status("0000000000000000", "000000015005ceab");
        let shell = status("0000000000010000", "0000000000010000");
        assert_eq!([systemd, sysvinit, shell].map(|status| waits_for(&status, Signal::INT)), [true, true, false]);
        assert!(!waits_for("", Signal::INT));
    }
}
