//! How a simulated machine is booted: which kernel runs, how far an order is, and what goes wrong with it. No I/O.

use std::collections::VecDeque;
use std::time::Duration;

use muster_model::boot::nonce_word;
use muster_proto::v1::{BootDriver, BootOperation, BootProgress, BootStep, InstallKernel, Kernel, RebootMachine};

/// How long a boot takes.
pub(crate) const BOOT_TIME: Duration = Duration::from_secs(2);
/// Release of the kernel that it has of its own.
const STOCK_RELEASE: &str = "6.1.0-simulated";
/// Chances are counted in thousandths.
const THOUSAND: u64 = 1_000;
/// What it is booted by.
const DRIVER: BootDriver = BootDriver::Simulated;

/// What goes wrong with an ordered boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BootFault {
    /// The kernel can not be installed.
    InstallFails,
    /// The boot loader takes the stock kernel.
    WrongKernel,
    /// The right entry, and another build of the kernel.
    WrongBuild,
    /// It does not come back.
    NeverBack,
    /// It takes so long.
    Slow(Duration),
    /// It takes the order, and goes on in its old boot.
    Stale,
}

/// The kernel that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) release: String,
    pub(crate) build_id: String,
    pub(crate) command_line: String,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            release: STOCK_RELEASE.into(),
            build_id: "57".repeat(20),
            command_line: "root=/dev/simulated quiet".into(),
        }
    }
}

/// A reboot that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reboot {
    /// How long nothing is heard.
    pub(crate) silent: Duration,
}

/// Boots of one machine.
#[derive(Debug, Default)]
pub(crate) struct Boots {
    pub(crate) running: Running,
    progress: Option<BootProgress>,
    faults: VecDeque<BootFault>,
    /// What goes wrong with any ordered boot, with so many chances in a thousand each.
    chances: Vec<(BootFault, u64)>,
}

impl Boots {
    /// How far it is with the newest order.
    pub(crate) fn progress(&self) -> Option<BootProgress> {
        self.progress.clone()
    }

    /// The next ordered boots go wrong like this.
    pub(crate) fn expect(&mut self, fault: BootFault, boots: usize) {
        self.faults.extend(std::iter::repeat_n(fault, boots));
    }

    /// Every ordered boot from here on may go wrong like this, with so many chances in a thousand.
    pub(crate) fn may(&mut self, fault: BootFault, chances: u64) {
        self.chances.push((fault, chances));
    }

    /// What goes wrong with a boot by chance; `luck` is any number.
    fn misfortune(&self, luck: u64) -> Option<BootFault> {
        let mut draw = luck % THOUSAND;
        self.chances.iter().find_map(|(fault, chances)| {
            let hit = draw < *chances;
            draw = draw.saturating_sub(*chances);
            hit.then_some(*fault)
        })
    }

    /// It boots without an order, and without the kernel under test.
    pub(crate) fn crash_back(&mut self) {
        self.running = Running::default();
    }

    /// Takes an order to install, once.
    pub(crate) fn install(&mut self, order: &InstallKernel) {
        if self.knows(order.operation) {
            return;
        }
        if order.driver() != DRIVER {
            return self.set(order.operation, BootStep::Failed, "this machine is booted by `simulated` alone");
        }
        if self.faults.front() == Some(&BootFault::InstallFails) {
            self.faults.pop_front();
            return self.set(order.operation, BootStep::Failed, "the script says so");
        }
        self.set(order.operation, BootStep::Installed, "");
    }

    /// Takes an order to reboot, once; none where nothing begins. `luck` decides what goes wrong by chance.
    pub(crate) fn reboot(&mut self, order: &RebootMachine, luck: u64) -> Option<Reboot> {
        let is_rebooting = self.progress.as_ref().is_some_and(|known| known.step() == BootStep::Rebooting);
        if is_rebooting && self.knows(order.operation) {
            return None;
        }
        if order.kernel.is_some() && !self.knows(order.operation) {
            self.set(order.operation, BootStep::Failed, "its kernel is not installed");
            return None;
        }
        self.set(order.operation, BootStep::Rebooting, "");
        let fault = self.faults.pop_front().or_else(|| self.misfortune(luck));
        if fault == Some(BootFault::Stale) {
            return None;
        }
        self.running = running(order.kernel.as_ref(), &order.nonce, fault);
        let silent = match fault {
            Some(BootFault::NeverBack) => Duration::MAX,
            Some(BootFault::Slow(time)) => time,
            Some(BootFault::InstallFails | BootFault::WrongKernel | BootFault::WrongBuild | BootFault::Stale)
            | None => BOOT_TIME,
        };
        Some(Reboot { silent })
    }

    fn knows(&self, operation: Option<BootOperation>) -> bool {
        self.progress.as_ref().is_some_and(|known| known.operation == operation && known.step() != BootStep::Failed)
    }

    fn set(&mut self, operation: Option<BootOperation>, step: BootStep, detail: &str) {
        self.progress = Some(BootProgress { operation, step: step.into(), detail: detail.into() });
    }
}

fn running(kernel: Option<&Kernel>, nonce: &str, fault: Option<BootFault>) -> Running {
    let stock = Running::default();
    let Some(kernel) = kernel.filter(|_| fault != Some(BootFault::WrongKernel)) else { return stock };
    let command_line = format!("{} {} {}", stock.command_line, kernel.command_line, nonce_word(nonce));
    let build_id = if fault == Some(BootFault::WrongBuild) { "bad0".repeat(10) } else { kernel.build_id.clone() };
    Running { release: kernel.release.clone(), build_id, command_line }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A draw that meets the chances below 900 in a thousand alone.
    const LUCK: u64 = 2_900;

    fn kernel() -> Option<Kernel> {
        Some(Kernel { release: "6.12.1-test".into(), build_id: "ab".repeat(20), ..Kernel::default() })
    }

    fn operation(attempt: u32) -> Option<BootOperation> {
        Some(BootOperation { order: None, attempt })
    }

    fn install(boots: &mut Boots, attempt: u32) -> BootStep {
        boots.install(&InstallKernel { operation: operation(attempt), driver: DRIVER.into(), kernel: kernel() });
        boots.progress().expect("it was told").step()
    }

    fn reboot(boots: &mut Boots, attempt: u32) -> Option<Reboot> {
        let nonce = format!("feed.{attempt}");
        boots.reboot(
            &RebootMachine { operation: operation(attempt), driver: DRIVER.into(), kernel: kernel(), nonce },
            LUCK,
        )
    }

    #[test]
    fn an_order_is_carried_out_once_and_its_kernel_runs_with_the_nonce() {
        let mut boots = Boots::default();
        assert_eq!(install(&mut boots, 1), BootStep::Installed);
        assert_eq!(reboot(&mut boots, 1), Some(Reboot { silent: BOOT_TIME }));
        assert_eq!(reboot(&mut boots, 1), None);
        assert_eq!(boots.running.release, "6.12.1-test");
        assert!(boots.running.command_line.ends_with("muster.boot=feed.1"));
        boots.crash_back();
        assert_eq!(boots.running, Running::default());
    }

    #[test]
    fn what_may_go_wrong_does_so_by_its_chances() {
        let mut boots = Boots::default();
        boots.may(BootFault::WrongKernel, 300);
        boots.may(BootFault::NeverBack, 50);
        let found = |luck| boots.misfortune(luck);
        assert_eq!((found(0), found(7_299)), (Some(BootFault::WrongKernel), Some(BootFault::WrongKernel)));
        assert_eq!((found(300), found(349)), (Some(BootFault::NeverBack), Some(BootFault::NeverBack)));
        assert_eq!((found(350), found(999)), (None, None));
    }

    #[test]
    fn what_the_script_says_goes_wrong_once() {
        let mut boots = Boots::default();
        boots.expect(BootFault::InstallFails, 1);
        boots.expect(BootFault::WrongKernel, 1);
        boots.expect(BootFault::WrongBuild, 1);
        boots.expect(BootFault::Stale, 1);
        assert_eq!(install(&mut boots, 1), BootStep::Failed);
        assert_eq!(reboot(&mut boots, 1), None, "what is not installed is not booted");
        assert_eq!(install(&mut boots, 2), BootStep::Installed);
        assert!(reboot(&mut boots, 2).is_some() && boots.running == Running::default(), "the stock kernel");
        install(&mut boots, 3);
        reboot(&mut boots, 3);
        assert!(boots.running.release == "6.12.1-test" && boots.running.build_id.starts_with("bad0"));
        install(&mut boots, 4);
        assert_eq!(reboot(&mut boots, 4), None, "it only says that it reboots");
        assert_eq!(boots.progress().map(|progress| progress.step()), Some(BootStep::Rebooting));
    }
}
