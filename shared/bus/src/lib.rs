//! The bus: everything that Muster says over NATS goes through here, and every subject is named here.
//!
//! Responsible for connecting, envelopes, request and reply, services of the micro API, streams, object stores and the pool clock
//! that messages are stamped with. Not for decision logs (muster-ledger), nor for what messages mean.

mod clock;
mod connect;
mod each;
mod error;
mod logs;
mod metrics;
mod objects;
mod read;
mod request;
mod room;
mod serve;
pub mod streams;
pub mod subjects;

pub use clock::{Clock, boot_time};
pub use connect::{Bus, BusOptions};
pub use each::each;
pub use error::{BusError, RequestError};
pub use logs::{BUNDLES_MAX, Log, log_name};
pub use objects::Bucket;
pub use read::{StoredMessage, StreamReader};
pub use request::{Authority, Inbound, body, fresh_id};
pub use serve::{Endpoint, Reply, Request, Served};
