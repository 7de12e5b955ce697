//! The words of a boot: how a machine is taken into a kernel, how far that is, and what was proven of it.

use std::fmt;

use crate::Position;

/// How a machine is taken into a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BootDriver {
    /// Simulated machines and agents of a lab.
    Simulated,
    /// The running kernel starts the next one.
    Kexec,
    /// GRUB boots an entry of its own once.
    Grub,
    /// systemd-boot boots an entry of its own once.
    SystemdBoot,
    /// QEMU starts the kernel from outside of the machine, once.
    QemuDirect,
}

impl BootDriver {
    /// All drivers.
    pub const ALL: [Self; 5] = [Self::Simulated, Self::Kexec, Self::Grub, Self::SystemdBoot, Self::QemuDirect];
    /// Those that act on the machine itself: its agent needs leave for them.
    pub const OF_AGENTS: [Self; 4] = [Self::Simulated, Self::Kexec, Self::Grub, Self::SystemdBoot];

    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Kexec => "kexec",
            Self::Grub => "grub",
            Self::SystemdBoot => "systemd-boot",
            Self::QemuDirect => "qemu-direct",
        }
    }

    /// The driver of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|driver| driver.as_str() == word)
    }
}

impl fmt::Display for BootDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What was proven of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BootVerdict {
    /// The kernel that was ordered runs, in a boot that was ordered.
    Verified,
    /// Another kernel runs, or the command line has not the nonce of the order.
    WrongKernel,
    /// The right entry was booted, and the kernel is of another build than the image.
    WrongBuild,
    /// No new boot was seen in time.
    StaleBoot,
    /// It was verified, and booted another kernel later without an order.
    CrashedBack,
}

impl BootVerdict {
    /// All verdicts.
    pub const ALL: [Self; 5] =
        [Self::Verified, Self::WrongKernel, Self::WrongBuild, Self::StaleBoot, Self::CrashedBack];

    /// The word for people and machines alike.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::WrongKernel => "wrong_kernel",
            Self::WrongBuild => "wrong_build",
            Self::StaleBoot => "stale_boot",
            Self::CrashedBack => "crashed_back",
        }
    }
}

/// How far an agent is with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BootStep {
    /// The kernel is being fetched and installed.
    Installing,
    /// It is installed.
    Installed,
    /// It could not be done.
    Failed,
    /// The machine was told to reboot.
    Rebooting,
}

/// An attempt of an order: what is told twice under one name is done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootOperation {
    /// MACHINES position of the order.
    pub order: Position,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl fmt::Display for BootOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.order, self.attempt)
    }
}

/// How far an agent is with the newest operation that it was told of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BootProgress {
    /// The operation.
    pub operation: BootOperation,
    /// How far it is.
    pub step: BootStep,
    /// Why it failed, for people.
    pub detail: String,
}

/// What the word of a command line begins with that proves a boot.
const NONCE_WORD: &str = "muster.boot=";

/// The word of a command line that proves a boot.
#[must_use]
pub fn nonce_word(nonce: &str) -> String {
    format!("{NONCE_WORD}{nonce}")
}

/// The nonce in a command line; of several the last, as the kernel reads its parameters.
#[must_use]
pub fn nonce_in(command_line: &str) -> Option<&str> {
    command_line.split_ascii_whitespace().filter_map(|word| word.strip_prefix(NONCE_WORD)).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_a_word_of_its_own() {
        let line = format!("root=/dev/sda1 {} quiet", nonce_word("ab12.1"));
        assert_eq!(nonce_in(&line), Some("ab12.1"));
        assert_eq!(nonce_in("root=/dev/sda1 xmuster.boot=ab12.1"), None);
        assert_eq!(nonce_in("muster.boot=old.1 muster.boot=new.2"), Some("new.2"));
    }

    #[test]
    fn drivers_are_read_as_they_are_written() {
        for driver in BootDriver::ALL {
            assert_eq!(BootDriver::parse(driver.as_str()), Some(driver));
        }
        assert_eq!(BootDriver::parse("lilo"), None);
    }
}
