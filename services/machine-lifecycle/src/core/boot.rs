//! How a machine is booted, and the newest order to do so.

use std::sync::Arc;
use std::time::Duration;

use muster_model::boot::nonce_in;
use muster_model::{
    BootDriver, BootOperation, BootVerdict, KernelName, PoolTime, Position, PowerSpec, ReservationId, SnapshotName,
    SnapshotSpec,
};

use super::Kernel;
use super::limits::{ATTEMPTS, BOOT_DRAIN, BOOT_WITHIN, INSTALL_WITHIN};

/// How a machine is booted and switched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How it is taken into a kernel; without one it is not booted.
    pub boot_driver: Option<BootDriver>,
    /// So many attempts for each order.
    pub attempts_max: u32,
    /// A kernel is installed within this.
    pub install_within: Duration,
    /// It is back within this after it may reboot.
    pub boot_within: Duration,
    /// What runs may take so long to end before a reboot.
    pub drain: Duration,
    /// How its power is switched; without it, it is not.
    pub power: Option<PowerSpec>,
    /// How it is taken back to a snapshot; without it, it is not.
    pub snapshot: Option<SnapshotSpec>,
    /// It is not switched by itself when it is down or does not come back.
    pub leave_down: bool,
    /// What is done to it when a reservation gives it back.
    pub cleaning: Cleaning,
}

/// What is done to a machine when a reservation gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cleaning {
    /// Nothing, unless the reservation took it into a kernel: then it is booted into its own.
    #[default]
    None,
    /// It is taken back to its snapshot.
    Revert,
    /// It is booted into its own kernel.
    Reboot,
}

impl Default for Settings {
    fn default() -> Self {
        let (install_within, boot_within) = (INSTALL_WITHIN, BOOT_WITHIN);
        Self {
            boot_driver: None,
            attempts_max: ATTEMPTS,
            install_within,
            boot_within,
            drain: BOOT_DRAIN,
            power: None,
            snapshot: None,
            leave_down: false,
            cleaning: Cleaning::None,
        }
    }
}

/// The newest order to boot a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// MACHINES position of the order.
    pub order: Position,
    /// The kernel; none is the stock kernel.
    pub kernel: Option<Arc<Kernel>>,
    /// Random part of the nonce.
    pub nonce: String,
    /// The reservation whose machine or kernel it is.
    pub reservation: Option<ReservationId>,
    /// The present attempt, from 1.
    pub attempt: u32,
    /// How often power was used in the present attempt.
    pub escalations: u32,
    /// Attempts that began because a test had announced that the machine goes away.
    pub excused: u32,
    /// What was proven last.
    pub verdict: Option<BootVerdict>,
    /// Why it is where it is, for people.
    pub reason: String,
    /// Since when the machine is in its phase, or the attempt goes on.
    pub since: PoolTime,
    /// The boot that the ordered one has to differ from.
    pub from_boot_id: String,
}

/// What a reservation wants done to its machine, once it is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preparation {
    /// Which reservation.
    pub reservation: ReservationId,
    /// The snapshot that it is taken back to first; none where it is not.
    pub image: Option<SnapshotName>,
    /// What it is booted into then; none where it is not.
    pub kernel: Option<PreparedKernel>,
}

/// A kernel that a reservation wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedKernel {
    /// The kernel's name.
    pub name: KernelName,
    /// The kernel; none where there was none of that name.
    pub kernel: Option<Arc<Kernel>>,
    /// Random part of the nonce.
    pub nonce: String,
}

impl Boot {
    /// The ordered kernel is not proven to run: nothing may be started on the machine.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.verdict != Some(BootVerdict::Verified)
    }

    /// The present attempt, by name.
    #[must_use]
    pub fn operation(&self) -> BootOperation {
        BootOperation { order: self.order, attempt: self.attempt }
    }

    /// Attempts that count for how many an order has.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempt.saturating_sub(self.excused)
    }

    /// The nonce that the command line of the present attempt's boot has; none of a stock kernel.
    #[must_use]
    pub fn attempt_nonce(&self) -> Option<String> {
        self.kernel.as_ref().map(|_| format!("{}.{}", self.nonce, self.attempt))
    }

    /// The kernel, for people.
    #[must_use]
    pub fn target(&self) -> &str {
        self.kernel.as_ref().map_or("the stock kernel", |kernel| kernel.name.as_str())
    }

    /// What the words of an agent prove of the boot that it is in; none while it does not say which kernel runs.
    #[must_use]
    pub fn judge(&self, said: &Running<'_>) -> Option<(BootVerdict, String)> {
        let told = nonce_in(said.command_line);
        let Some(kernel) = &self.kernel else {
            return Some(match told {
                None => (BootVerdict::Verified, String::new()),
                Some(_) => (BootVerdict::WrongKernel, "it came back in a kernel under test".into()),
            });
        };
        let (release, build_id) = said.kernel?;
        if !told.is_some_and(|told| self.is_ours(told)) {
            let why = format!("it runs {release}, and its command line has not the nonce of this order");
            return Some((BootVerdict::WrongKernel, why));
        }
        if release != kernel.release {
            return Some((BootVerdict::WrongKernel, format!("it runs {release} and not {}", kernel.release)));
        }
        if !kernel.build_id.is_empty() && build_id != kernel.build_id {
            let found = if build_id.is_empty() { "a build that it does not tell" } else { build_id };
            let why = format!("it runs {release} of another build: {found}, and the image is {}", kernel.build_id);
            return Some((BootVerdict::WrongBuild, why));
        }
        Some((BootVerdict::Verified, String::new()))
    }

    /// The nonce of this attempt, or of an earlier one that came late.
    fn is_ours(&self, told: &str) -> bool {
        let attempt = told.strip_prefix(&self.nonce).and_then(|rest| rest.strip_prefix('.'));
        attempt.and_then(|number| number.parse().ok()).is_some_and(|number: u32| (1..=self.attempt).contains(&number))
    }
}

/// What an agent says of the kernel that runs.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// Its command line.
    pub command_line: &'a str,
    /// Release and GNU build id; none where it did not probe.
    pub kernel: Option<(&'a str, &'a str)>,
}
