//! Orders to install a kernel and to reboot: each operation once, written down before it is done, and told in every heartbeat.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use muster_bus::Bucket;
use muster_model::boot::nonce_word;
use muster_model::{BootDriver, BootOperation, BootProgress, BootStep, KernelName};
use muster_proto::v1::{self, AgentReply, InstallKernel, Kernel, RebootMachine};

use super::{Agent, Input};
use crate::artifacts::Artifacts;
use crate::boot::{self, Entry, Files, Target, command_line};
use crate::config::Settings;
use crate::connection::Connection;
use crate::core::life::Event;
use crate::disk::boot::{BootFile, BootOrder, Step};

/// What does not end in this time ends with the machine.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How far this machine is with the newest order.
#[derive(Debug)]
pub(super) struct Booting {
    file: BootFile,
    order: Option<BootOrder>,
    kernels: Artifacts,
    /// It goes down as soon as nothing lives: since when, by which driver, into what.
    going_down: Option<(Instant, BootDriver, Target)>,
    /// It goes down as a test announced: since when.
    pub by_test: Option<Instant>,
    /// It was told to go down as a test announced: once is enough.
    pub test_has_asked: bool,
}

impl Booting {
    /// Goes on where an earlier life of this agent was. What that prepared is not booted by accident later.
    pub(super) fn open(settings: &Settings, connection: &Connection) -> Self {
        let state = &settings.state;
        if let Err(error) = command_line::note_stock(state, &crate::probe::command_line()) {
            tracing::warn!(%error, "the command line of the stock kernel can not be written down");
        }
        for driver in &settings.allow_boot {
            if let Err(error) = boot::driver(*driver, &settings.boot).settle() {
                tracing::warn!(%driver, error = format!("{error:#}"), "a prepared boot can not be taken back");
            }
        }
        let kernels = Artifacts::new(state.join("kernels"), Bucket::Kernels, connection.clone());
        let (file, order) = BootFile::open(state, &crate::probe::boot_id());
        Self { file, order, kernels, going_down: None, by_test: None, test_has_asked: false }
    }

    /// For heartbeats and answers.
    pub(super) fn progress(&self) -> Option<v1::BootProgress> {
        let order = self.order.as_ref()?;
        let step = match order.step {
            Step::Installing => BootStep::Installing,
            Step::Installed => BootStep::Installed,
            Step::Failed => BootStep::Failed,
            Step::Rebooting => BootStep::Rebooting,
        };
        Some((&BootProgress { operation: order.operation(), step, detail: order.detail.clone() }).into())
    }

    /// The kernel that was installed last.
    pub(super) fn entry(&self) -> Option<Entry> {
        self.order.as_ref().and_then(|order| order.entry.clone())
    }

    fn knows(&self, operation: BootOperation) -> Option<&BootOrder> {
        self.order.as_ref().filter(|order| order.operation() == operation)
    }
}

impl Agent {
    /// Takes an order to install a kernel. It is done beside the loop.
    pub(super) fn install_kernel(&mut self, order: &InstallKernel) -> AgentReply {
        let operation = order.operation.unwrap_or_default().into();
        if self.booting.knows(operation).is_none() {
            match self.begin_install(operation, order) {
                Ok(()) => self.note_boot(operation, Step::Installing, "", None),
                Err(error) => self.note_boot(operation, Step::Failed, &format!("{error:#}"), None),
            }
        }
        self.boot_reply()
    }

    fn begin_install(&self, operation: BootOperation, order: &InstallKernel) -> anyhow::Result<()> {
        let driver = boot::driver(self.permitted(order.driver())?, &self.settings.boot);
        let kernel = order.kernel.clone().context("it names no kernel")?;
        let entry = entry_of(&kernel)?;
        let (kernels, inputs) = (self.booting.kernels.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let fetched = fetch(&kernels, &kernel).await;
            let installed = match fetched {
                Ok(files) => {
                    let installing = entry.clone();
                    let done = tokio::task::spawn_blocking(move || driver.install(&installing, &files)).await;
                    done.context("install the kernel").and_then(|result| result)
                }
                Err(error) => Err(error),
            };
            let result = installed.map(|()| entry).map_err(|error| format!("{error:#}"));
            // It fails only when the agent ends.
            let _ = inputs.send(Input::KernelInstalled { operation, result }).await;
        });
        Ok(())
    }

    /// A kernel is installed, or could not be.
    pub(super) fn kernel_installed(&mut self, operation: BootOperation, result: Result<Entry, String>) {
        if self.booting.knows(operation).is_none_or(|order| order.step != Step::Installing) {
            return;
        }
        match result {
            Ok(entry) => self.note_boot(operation, Step::Installed, "", Some(entry)),
            Err(why) => self.note_boot(operation, Step::Failed, &why, None),
        }
    }

    /// Takes an order to reboot: what still lives is ended first.
    pub(super) fn reboot_machine(&mut self, order: &RebootMachine) -> AgentReply {
        let operation = order.operation.unwrap_or_default().into();
        if self.booting.knows(operation).is_some_and(|known| known.step == Step::Rebooting) {
            return self.boot_reply();
        }
        match self.target_of(operation, order) {
            Ok((driver, target)) => {
                let entry = self.booting.knows(operation).and_then(|known| known.entry.clone());
                self.note_boot(operation, Step::Rebooting, "", entry);
                self.go_down(driver, target);
            }
            Err(error) => self.note_boot(operation, Step::Failed, &format!("{error:#}"), None),
        }
        self.boot_reply()
    }

    fn target_of(&self, operation: BootOperation, order: &RebootMachine) -> anyhow::Result<(BootDriver, Target)> {
        let driver = self.permitted(order.driver())?;
        anyhow::ensure!(!self.fence.machine_protected, "the whole machine is protected");
        if order.kernel.is_none() {
            return Ok((driver, Target::Stock));
        }
        let known = self.booting.knows(operation).filter(|known| known.step == Step::Installed);
        let entry = known.and_then(|known| known.entry.clone()).context("its kernel is not installed")?;
        Ok((driver, Target::Entry { entry, nonce_word: nonce_word(&order.nonce) }))
    }

    fn go_down(&mut self, driver: BootDriver, target: Target) {
        if self.booting.order.as_ref().is_none_or(|order| order.step != Step::Rebooting) {
            return;
        }
        tracing::warn!(?target, "this machine is going down by order");
        self.booting.going_down = Some((Instant::now(), driver, target));
        for id in self.live() {
            self.happen(id, Event::Kill("ended: its machine is booted into another kernel".into()));
        }
    }

    /// Goes down once nothing lives, or after a while in spite of it.
    pub(super) fn advance_boot(&mut self) {
        let Some((since, driver, target)) = self.booting.going_down.clone() else { return };
        let lives = |process: &super::Process| process.life.is_live() && !process.life.is_held();
        if self.processes.values().any(lives) && since.elapsed() < KILL_PATIENCE {
            return;
        }
        self.booting.going_down = None;
        let booted = boot::driver(driver, &self.settings.boot).boot(&target);
        if let (Err(error), Some(order)) = (booted, &self.booting.order) {
            tracing::error!(error = format!("{error:#}"), "this machine can not be booted");
            self.note_boot(order.operation(), Step::Failed, &format!("{error:#}"), None);
        }
    }

    /// The driver, where this agent was started with leave to use it.
    fn permitted(&self, driver: v1::BootDriver) -> anyhow::Result<BootDriver> {
        let driver = driver.known().context("its boot driver is not known to this version")?;
        anyhow::ensure!(
            self.settings.allow_boot.contains(&driver),
            "the agent has no leave to boot this machine by `{driver}`: start it with --allow-boot {driver}"
        );
        self.may_reboot()?;
        Ok(driver)
    }

    /// The policy of this machine lets it go down by order.
    pub(super) fn may_reboot(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.containing.policy()?.reboot,
            "the policy of this machine does not let it be rebooted: say `reboot = true` in {} there, or choose another machine",
            self.containing.file.path().display()
        );
        Ok(())
    }

    /// What is not on the disk is not done.
    fn note_boot(&mut self, operation: BootOperation, step: Step, detail: &str, entry: Option<Entry>) {
        let mut order = BootOrder::new(operation, step, detail, &self.inventory.boot_id);
        order.entry = entry;
        if let Err(error) = self.booting.file.write(&order) {
            (order.step, order.detail) = (Step::Failed, format!("it can not be written to the disk: {error}"));
        }
        self.booting.order = Some(order);
        self.changed = true;
    }

    fn boot_reply(&self) -> AgentReply {
        AgentReply { boot: self.booting.progress(), ..AgentReply::default() }
    }
}

/// The name becomes a part of paths.
fn entry_of(kernel: &Kernel) -> anyhow::Result<Entry> {
    Ok(Entry {
        name: KernelName::new(&kernel.name).context("use the kernel")?.to_string(),
        release: kernel.release.clone(),
        build_id: kernel.build_id.clone(),
        command_line: kernel.command_line.clone(),
        image_sha256: kernel.image_sha256.clone(),
        initrd_sha256: kernel.initrd_sha256.clone(),
    })
}

/// Fetches the files; their digests are checked.
async fn fetch(kernels: &Artifacts, kernel: &Kernel) -> anyhow::Result<Files> {
    let image = kernels.get(&kernel.image_sha256).await?;
    let initrd: Option<PathBuf> = match kernel.initrd_sha256.as_str() {
        "" => None,
        sha256 => Some(kernels.get(sha256).await?),
    };
    Ok(Files { image, initrd })
}
