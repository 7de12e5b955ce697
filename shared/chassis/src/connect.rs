//! Connecting a service to the bus.

use std::time::Duration;

use anyhow::Context;
use muster_bus::{Bus, BusOptions};

use crate::CommonArguments;

/// How long a service waits for NATS at its start: both may be started at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects to the bus as `<service>/<instance>`.
///
/// # Errors
/// When no usable server answers in time.
pub async fn connect(arguments: &CommonArguments, service: &str) -> anyhow::Result<Bus> {
    let mut options = BusOptions::new(&arguments.nats, &format!("{service}/{}", arguments.instance));
    options.connect_timeout = CONNECT_TIMEOUT;
    let bus = Bus::connect(&options).await.context("connect")?;
    tracing::info!(server = bus.client().server_info().server_name, "connected");
    Ok(bus)
}
