//! The report service: answers questions about the past from PostgreSQL. Any number of replicas; none owns anything.
//!
//! Responsible for `svc.report.query`. Not for how answers are laid out (the client does, with muster-telemetry), nor for what is
//! true now (the owning services).

mod answer;
mod config;
mod handler;
mod metrics;
mod reports;

pub use config::Arguments;

use tokio_util::sync::CancellationToken;

/// Serves until `stop`. PostgreSQL may come and go: meanwhile questions are refused.
///
/// # Errors
/// When the bus can not be reached at first, or the URL of PostgreSQL is none.
pub async fn run(arguments: &Arguments, stop: CancellationToken) -> anyhow::Result<()> {
    metrics::describe();
    let store = arguments.store.open(&config::store_options())?;
    let bus = muster_chassis::connect(&arguments.common, "report").await?;
    if let Err(error) = store.check().await {
        tracing::warn!(%error, "PostgreSQL is away for now: questions are refused");
    }
    let clock = tokio::spawn(muster_chassis::follow_pool_clock(bus.clone(), stop.clone()));
    let served = handler::serve(&bus, &store, &stop).await;
    clock.abort();
    served
}
