//! machine-lifecycle: what is on each machine and whose it is. The single writer of MACHINES.
//!
//! Responsible for inventory, health, protection, tenure, epochs and fences. Not for who gets a machine (reservation) nor for what
//! runs on it (scheduler): it follows the one and is followed by the other.

pub mod core;
mod direct;
mod dumps;
mod effects;
mod handler;
mod heartbeats;
mod hello;
mod metrics;
mod queries;
mod shell;
mod switching;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use muster_bus::streams;
use muster_bus::subjects::Service;
use muster_chassis::{CommonArguments, SigningArguments};
use muster_ledger::{LedgerOptions, Source};
use tokio_util::sync::CancellationToken;

use crate::core::MachineCore;
use crate::shell::MachineShell;

/// Time between ticks: how late a timer or what a heartbeat says may be noticed.
const TICK: Duration = Duration::from_millis(250);
/// A snapshot is taken after so many messages of the log.
const SNAPSHOT_EVERY: u64 = 10_000;
/// How the ledger of machine-lifecycle runs.
#[must_use]
pub fn ledger_options(instance: &str) -> LedgerOptions<MachineCore> {
    LedgerOptions {
        service: Service::MachineLifecycle,
        instance: instance.to_owned(),
        tick: TICK,
        sources: vec![
            Source { stream: streams::RESERVATIONS, filter: "", is_log: true, take: wire::take_reservations },
            Source { stream: streams::REPORTS, filter: "", is_log: false, take: wire::take_report },
        ],
        // A `MachineRecord` for each machine.
        projection: streams::projection_of(Service::MachineLifecycle),
        snapshot_every: SNAPSHOT_EVERY,
    }
}

/// Runs the service until `stop`.
///
/// # Errors
/// When the bus is not reachable at the start, the signing key can not be used, or the log is refused.
pub async fn run(arguments: CommonArguments, signing: SigningArguments, stop: CancellationToken) -> anyhow::Result<()> {
    metrics::describe();
    let bus = muster_chassis::connect_signing(&arguments, &signing, Service::MachineLifecycle.as_str()).await?;
    let clock = tokio::spawn(muster_chassis::follow_pool_clock(bus.clone(), stop.clone()));
    let shell = Arc::new(MachineShell::new(bus.clone(), arguments.instance.clone()));
    muster_chassis::set_ready(true);
    let led = muster_ledger::run(bus, ledger_options(&arguments.instance), shell, stop.clone()).await;
    stop.cancel();
    clock.await.context("stop following the pool clock")?;
    led.context("keep the log MACHINES")
}
