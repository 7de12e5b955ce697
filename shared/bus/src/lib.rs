//! The bus: everything that Muster says over NATS goes through here, and every subject is named here.
//!
//! Responsible for connecting, identities and their permissions, envelopes, request and reply, services of the micro API, limits of rates, streams,
//! object stores, the pool clock that messages are stamped with, and the signing at the moment of sending of what agents are told. Not for decision logs (muster-ledger), nor for what messages mean.

pub mod authorization;
mod clock;
mod connect;
mod credentials;
mod each;
mod error;
mod health;
mod identity;
mod intake;
mod lines;
mod logs;
mod metrics;
mod objects;
pub mod permissions;
mod read;
mod request;
mod room;
mod secret_file;
mod sender;
mod serve;
mod signing_file;
pub mod streams;
mod subject_table;
pub mod subjects;
mod system;

pub use clock::{Clock, boot_time};
pub use connect::{Bus, BusOptions};
pub use credentials::{Access, Credentials, CredentialsError, is_public_key};
pub use each::each;
pub use error::{BusError, RequestError};
pub use health::{ServedProgram, ServerHealth, StreamHealth};
pub use identity::{Identity, IdentityError, Role, UserName};
pub use lines::RequestLimits;
pub use logs::{BUNDLES_MAX, Log, log_name};
pub use objects::Bucket;
pub use read::{StoredMessage, StreamReader};
pub use request::{Answer, Authority, Inbound, body, fresh_id, question};
pub use sender::Sender;
pub use serve::{Endpoint, Reply, Request, Served};
pub use signing_file::{SigningError, SigningFile, signer_of};
