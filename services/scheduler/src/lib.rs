//! The scheduler: what runs. The only writer of the log JOBS.
//!
//! Responsible for the catalogue, jobs, placement, processes and the pool clock. Not for who gets machines (reservation), nor for
//! what is on them (machine-lifecycle): it follows their logs.

mod centers;
mod clock;
pub mod core;
mod effects;
mod explain;
mod handler;
mod heartbeats;
mod hello;
mod metrics;
mod plans;
mod queries;
mod shell;
mod stalls;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use muster_bus::streams;
use muster_bus::subjects::Service;
use muster_chassis::{CommonArguments, SigningArguments};
use muster_ledger::{LedgerOptions, Source};
use tokio_util::sync::CancellationToken;

use crate::core::JobCore;
use crate::shell::JobShell;

/// Time between ticks: how late a timer, or what a heartbeat says, may be noticed.
const TICK: Duration = Duration::from_millis(250);
/// A snapshot is taken after so many messages of the log.
const SNAPSHOT_EVERY: u64 = 10_000;

/// How the ledger of the scheduler runs.
#[must_use]
pub fn ledger_options(instance: &str) -> LedgerOptions<JobCore> {
    LedgerOptions {
        service: Service::Scheduler,
        instance: instance.to_owned(),
        tick: TICK,
        sources: vec![
            Source { stream: streams::MACHINES, filter: "", is_log: true, take: wire::machines::take },
            Source { stream: streams::RESERVATIONS, filter: "", is_log: true, take: wire::attached::take },
            Source { stream: streams::REPORTS, filter: "", is_log: false, take: wire::agents::take_reports },
        ],
        // `job-<n>` holds a `JobRecord`, `part-<n>-<machine>` a `JobOnMachine`.
        projection: streams::projection_of(Service::Scheduler),
        snapshot_every: SNAPSHOT_EVERY,
    }
}

/// Runs the service until `stop`.
///
/// # Errors
/// When the bus is not reachable at the start, the signing key can not be used, or the log is refused.
pub async fn run(arguments: CommonArguments, signing: SigningArguments, stop: CancellationToken) -> anyhow::Result<()> {
    metrics::describe();
    let bus = muster_chassis::connect_signing(&arguments, &signing, Service::Scheduler.as_str()).await?;
    let shell = Arc::new(JobShell::new(bus.clone(), arguments.instance.clone()));
    let clock = tokio::spawn(clock::follow_while_standing_by(bus.clone(), shell.leading(), stop.clone()));
    let (listener, ended) = (shell.clone(), stop.clone());
    let listening = tokio::spawn(async move { listener.clocks.listen(&listener.bus, &ended).await });
    muster_chassis::set_ready(true);
    let led = muster_ledger::run(bus, ledger_options(&arguments.instance), shell, stop.clone()).await;
    stop.cancel();
    clock.await.context("stop following the pool clock")?;
    listening.await.context("stop listening to the agents' clocks")?;
    led.context("keep the log JOBS")
}
