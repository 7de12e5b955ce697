//! What every process of Muster does: arguments, logs, metrics, health, clean stop, connecting, the pool clock.
//!
//! Not responsible for what a process is for: that is the body that it hands to [`run`].

mod arguments;
mod clock;
mod connect;
mod http;
mod logging;
mod process;
mod signals;

pub use arguments::{CommonArguments, LogFormat, SigningArguments};
pub use clock::follow_pool_clock;
pub use connect::{connect, connect_signing};
pub use http::set_ready;
pub use process::run;
