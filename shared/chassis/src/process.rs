//! The life of a process: runtime, logs, health, body, exit code.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::{CommonArguments, http, logging, signals};

/// How long tasks that do not end by themselves are waited for once the body has ended.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

/// Runs a process: starts logs, metrics and health, calls `body` with a token that SIGTERM and SIGINT cancel, and ends with its
/// result (exit code 0, or 1 with the whole chain of the error in the log).
pub fn run<F, T>(name: &'static str, arguments: &CommonArguments, body: F) -> ExitCode
where
    F: FnOnce(CancellationToken) -> T,
    T: Future<Output = anyhow::Result<()>>,
{
    logging::start(arguments.log_format);
    logging::abort_on_panic();
    match run_inside(name, arguments, body) {
        Ok(()) => {
            tracing::info!(name, "stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(name, error = format!("{error:#}"), "ended with an error");
            ExitCode::FAILURE
        }
    }
}

fn run_inside<F, T>(name: &'static str, arguments: &CommonArguments, body: F) -> anyhow::Result<()>
where
    F: FnOnce(CancellationToken) -> T,
    T: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        signals::cancel_on_signal(stop.clone())?;
        if let Some(address) = arguments.http {
            http::serve(address).await?;
        }
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(name, instance = %arguments.instance, version, "started");
        body(stop).await
    });
    runtime.shutdown_timeout(RUNTIME_GRACE);
    result
}
