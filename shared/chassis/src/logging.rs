//! Logs on stderr, and panics that end the process.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::LogFormat;

/// Directives that choose what is logged: `debug`, `muster_ledger=trace,info`.
const FILTER_VARIABLE: &str = "MUSTER_LOG";
/// What the client of the bus says of every connection, muster-bus says already.
const FILTER_DEFAULT: &str = "info,async_nats=warn";

/// Starts the log. A second call in one process changes nothing.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(FILTER_DEFAULT));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => registry.with(layer.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "the log was started before");
    }
}

/// Lets any panic, of any task or thread, end the process: an invariant is broken, and a half of a service that goes on is worse
/// than a restart.
pub(crate) fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%panic, %backtrace, "an invariant is broken: the process ends");
        std::process::abort();
    }));
}
