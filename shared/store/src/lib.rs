//! PostgreSQL: a pool of connections from one URL, migrations, COPY, and errors by what the caller can do about them.
//!
//! Responsible for reaching the store and for its schema. Not for statements: those are in muster-telemetry.

mod arguments;
mod copy;
mod error;
mod migrate;
mod pool;
mod retry;
mod roles;
mod stamp;

pub use arguments::{StoreArguments, read_password};
pub use copy::copy_rows;
pub use error::{Error, Result};
pub use pool::{Access, Client, Store, StoreOptions};
pub use retry::read_retrying;
pub use roles::REPORT_ROLE;
pub use stamp::Stamp;

/// Transactions as the pool gives them.
pub use deadpool_postgres::Transaction;
