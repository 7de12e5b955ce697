//! What every process of Muster does: arguments, logs, metrics, health, clean stop, the pool clock.

use std::future::Future;
use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

/// Arguments that every service has; flatten them into the service's own.
#[derive(Debug, Clone, clap::Args)]
pub struct CommonArguments {
    /// NATS server, `nats://host:port`, several with commas
    #[arg(long, env = "MUSTER_NATS", default_value = "nats://127.0.0.1:4222")]
    pub nats: String,
    /// Name of this instance, unique among its replicas
    #[arg(long, env = "MUSTER_INSTANCE", default_value = "a")]
    pub instance: String,
    /// Address for /metrics, /healthz and /readyz; none without it
    #[arg(long, env = "MUSTER_HTTP")]
    pub http: Option<SocketAddr>,
    /// Form of the log on stderr
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Runs a process: starts logs, metrics and health, calls `body` with a token that SIGTERM and SIGINT cancel, and ends with its
/// result (exit code 0, or 1 with the whole chain of the error in the log).
pub fn run<F, T>(name: &'static str, arguments: &CommonArguments, body: F) -> std::process::ExitCode
where
    F: FnOnce(CancellationToken) -> T,
    T: Future<Output = anyhow::Result<()>>,
{
    let _ = (name, arguments, body);
    todo!()
}

/// Says whether the process is ready (/readyz): a service sets it once it serves or stands by.
pub fn set_ready(ready: bool) {
    let _ = ready;
    todo!()
}
