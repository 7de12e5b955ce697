//! reservation: who gets which machines, when, and until when. The only allocator, and single writer of RESERVATIONS.
//!
//! Responsible for the queue, grants, deadlines and check-in. Not for what is on a machine or whose processes run there:
//! machine-lifecycle follows this log and changes tenure, and this service follows MACHINES to see that it did, and JOBS to see who uses
//! what they hold, and which masters of groups are over.

mod config;
pub mod core;
mod handler;
mod letter;
mod metrics;
mod notices;
mod queries;
pub mod wire;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use muster_bus::streams::{self, JOBS, MACHINES};
use muster_bus::subjects::Service;
use muster_chassis::CommonArguments;
use muster_ledger::{LedgerOptions, Source};
use tokio_util::sync::CancellationToken;

pub use crate::config::{Config, ConfigArguments};
use crate::core::ReservationCore;

/// Time between ticks: a deadline is noticed, and a free machine granted, within this.
const TICK: Duration = Duration::from_millis(200);
/// A snapshot is taken after so many messages.
const SNAPSHOT_EVERY: u64 = 10_000;

/// Runs the service until `stop`, with nobody told of anything.
///
/// # Errors
/// As [`serve`].
pub async fn run(arguments: CommonArguments, stop: CancellationToken) -> anyhow::Result<()> {
    serve(arguments, Config::default(), stop).await
}

/// Runs the service until `stop`.
///
/// # Errors
/// When NATS can not be reached at the start, or the log is refused.
pub async fn serve(arguments: CommonArguments, config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    metrics::describe();
    let bus = muster_chassis::connect(&arguments, Service::Reservation.as_str()).await?;
    tokio::spawn(muster_chassis::follow_pool_clock(bus.clone(), stop.clone()));
    let options = LedgerOptions {
        service: Service::Reservation,
        instance: arguments.instance.clone(),
        tick: TICK,
        sources: vec![
            Source { stream: MACHINES, filter: "", is_log: true, take: wire::take },
            Source { stream: JOBS, filter: "", is_log: true, take: wire::take_jobs },
        ],
        projection: streams::projection_of(Service::Reservation),
        snapshot_every: SNAPSHOT_EVERY,
    };
    let shell = Arc::new(handler::Handler::new(bus.clone(), arguments.instance, config));
    muster_chassis::set_ready(true);
    muster_ledger::run::<ReservationCore, _>(bus, options, shell, stop).await.context("run the ledger")
}
