//! Arguments that every service has.

use std::net::SocketAddr;
use std::path::PathBuf;

use muster_bus::{Access, CredentialsError, RequestLimits};

/// Arguments that every service has; flatten them into the service's own.
#[derive(Debug, Clone, clap::Args)]
pub struct CommonArguments {
    /// NATS server, `nats://host:port`, several with commas
    #[arg(long, env = "MUSTER_NATS", default_value = "nats://127.0.0.1:4222")]
    pub nats: String,
    /// File by which this process shows who it is (`muster admin init --keys`)
    #[arg(long, env = "MUSTER_CREDENTIALS", value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// Use a server that lets everybody in: a lab on this host, which nobody else reaches
    #[arg(long, env = "MUSTER_INSECURE_LOCAL")]
    pub insecure_local: bool,
    /// Name of this instance, unique among its replicas
    #[arg(long, env = "MUSTER_INSTANCE", default_value = "a")]
    pub instance: String,
    /// Address for /metrics, /healthz and /readyz; none without it
    #[arg(long, env = "MUSTER_HTTP")]
    pub http: Option<SocketAddr>,
    /// Requests per second that one person or agent may make of each verb, for long
    #[arg(long, env = "MUSTER_REQUESTS_PER_SECOND", default_value_t = RequestLimits::default().per_second, value_name = "N")]
    pub requests_per_second: u32,
    /// Requests that one person or agent may make of each verb at once, after a pause
    #[arg(long, env = "MUSTER_REQUESTS_BURST", default_value_t = RequestLimits::default().burst, value_name = "N")]
    pub requests_burst: u32,
    /// Form of the log on stderr
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

impl CommonArguments {
    /// How this process comes onto the bus.
    ///
    /// # Errors
    /// When nothing was said of it, or the credentials can not be used.
    pub fn access(&self) -> Result<Access, CredentialsError> {
        Access::new(self.credentials.as_deref(), self.insecure_local)
    }

    /// What each identity may ask of this process.
    #[must_use]
    pub fn limits(&self) -> RequestLimits {
        let (per_second, burst) = (self.requests_per_second, self.requests_burst);
        RequestLimits { per_second, burst, ..RequestLimits::default() }
    }
}

/// Arguments of a service that commands agents; flatten them beside [`CommonArguments`].
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SigningArguments {
    /// File with the key by which agents know what this service tells them (`muster admin init --keys`)
    #[arg(long, env = "MUSTER_SIGNING_KEY", value_name = "FILE")]
    pub signing_key: Option<PathBuf>,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
