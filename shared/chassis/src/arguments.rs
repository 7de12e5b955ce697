//! Arguments that every service has.

use std::net::SocketAddr;

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
