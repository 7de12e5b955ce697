//! The telemetry-logger: samples, reports and a copy of every decision log go from JetStream to PostgreSQL, exactly once.
//!
//! Responsible for all writing to PostgreSQL, and for serving the archive. Not for questions about the past (muster-report).
//! PostgreSQL alone records the position in each stream, in the same transaction as the rows. Hours of samples that are complete
//! are compacted.

mod compaction;
mod config;
mod core;
mod handler;
mod metrics;
mod pipeline;
mod retry;
mod writer;

pub use config::{Arguments, Command};

use std::path::Path;

use anyhow::Context;
use muster_store::StoreArguments;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Brings the schema to this version's; with a file, the report service may log in with the password in it.
///
/// # Errors
/// When PostgreSQL is away or refuses, or the file can not be used.
pub async fn migrate(arguments: &StoreArguments, report_password: Option<&Path>) -> anyhow::Result<()> {
    let password = report_password.map(muster_store::read_password).transpose()?;
    let store = arguments.open(&config::store_options())?;
    let applied = store.migrate().await.context("migrate")?;
    tracing::info!(count = applied.len(), place = store.place(), "schema is up to date");
    if let Some(password) = password {
        store.let_report_in(&password).await?;
        tracing::info!(role = muster_store::REPORT_ROLE, "the report service may log in");
    }
    Ok(())
}

/// Serves until `stop`. PostgreSQL and the streams may come and go.
///
/// # Errors
/// When the bus can not be reached at first, or PostgreSQL refuses for good.
pub async fn run(arguments: &Arguments, stop: CancellationToken) -> anyhow::Result<()> {
    metrics::describe();
    let store = arguments.store.open(&config::store_options())?;
    let bus = muster_chassis::connect(&arguments.common, "telemetry-logger").await?;
    let (serving, store_of_archive) = (bus.clone(), store.clone());
    let mut tasks = JoinSet::new();
    let handler_stop = stop.clone();
    tasks.spawn(async move { handler::serve(&serving, &store_of_archive, &handler_stop).await });
    tasks.spawn({
        let (bus, stop) = (bus.clone(), stop.clone());
        async move {
            muster_chassis::follow_pool_clock(bus, stop).await;
            Ok(())
        }
    });
    let migrated = retry::until_available(&stop, "migrate", || store.migrate()).await?;
    if let Some(applied) = migrated {
        tracing::info!(count = applied.len(), place = store.place(), "schema is up to date");
        for source in config::SOURCES {
            let (bus, store, stop) = (bus.clone(), store.clone(), stop.clone());
            tasks.spawn(async move { Ok(pipeline::run(&bus, &store, source, &stop).await?) });
        }
        let (store, stop) = (store.clone(), stop.clone());
        tasks.spawn(async move {
            compaction::run(&store, &stop).await;
            Ok(())
        });
        muster_chassis::set_ready(true);
    }
    // The first that ends before it is told to, ends the service.
    while let Some(ended) = tasks.join_next().await {
        ended.context("a part of the service panicked")??;
    }
    Ok(())
}
