//! What a test module written in Rust links to: it speaks the module protocol (docs/module-protocol.md), so that the module
//! holds nothing but its test.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use muster_sdk::{Ending, Session};
//!
//! fn test(session: &Session) -> Result<Ending, Box<dyn std::error::Error + Send + Sync>> {
//!     let pause = session.parameters().duration("pause")?;
//!     session.ready();
//!     while !session.wait(pause) {
//!         session.iterate(1);
//!     }
//!     Ok(Ending::pass())
//! }
//!
//! fn main() -> ExitCode {
//!     muster_sdk::run(r#"name = "mine""#, test)
//! }
//! ```
//!
//! Plain threads: one for the test, one that answers pings and keeps the connection. No async runtime, so that thousands of
//! processes stay small.

mod addresses;
mod asks;
mod clients;
mod connection;
mod ending;
mod errand;
mod error;
mod evidence;
mod found;
mod gate;
mod latency;
mod link;
mod live;
mod meeting_place;
mod metric;
mod outbox;
mod parameters;
mod peers;
mod recent;
mod run;
mod session;
mod shared;
mod signals;
mod socket;
mod standalone;
mod sync;
#[cfg(test)]
mod tests;
mod wall;
mod words;

pub use addresses::{Family, own_addresses};
pub use clients::Wanted;
pub use connection::{keep_alive, listen_anywhere, plain_address};
pub use ending::{EXIT_ERROR, EXIT_FAIL, EXIT_PASS, Ending};
pub use errand::{ClockRead, Errand, ErrandEnd};
pub use error::{ParameterError, PeerError, SdkError};
pub use evidence::{Evidence, persistence};
pub use found::{Found, Worth};
pub use latency::{Latency, LatencyGauges};
pub use live::{Live, Read};
pub use metric::{Interval, METRIC_INTERVAL, float};
pub use muster_model::{Absence, OnError};
pub use muster_module_protocol::{
    Client, Context, ContextGang, ContextMember, ContextResource, Corruption, Manifest, PEER_WORDS_MAX_BYTES, SyncEnd,
    Vote, environment,
};
pub use parameters::Parameters;
pub use peers::{Ask, PeerWords, To};
pub use recent::Recent;
pub use run::run;
pub use session::Session;
pub use shared::Dump;
pub use sync::{Autosync, SyncPoint, Synced};
pub use wall::wall_time_ns;
pub use words::{Here, Token, Words, parse_token, print_token, random};
