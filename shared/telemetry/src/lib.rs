//! The telemetry store: what its rows are, how they are written and asked for, and how answers are laid out.
//!
//! Responsible for records, SQL, compaction, aggregation, rendering and exports. Not for connections (muster-store), nor for where records come
//! from (the telemetry-logger). Without the feature `store` only [`render`], [`export`] and [`records`] are left.

pub mod export;
pub mod records;
mod render;
#[cfg(feature = "store")]
pub mod statistics;
mod time;

#[cfg(feature = "store")]
pub mod chunk;
#[cfg(feature = "store")]
pub mod query;
#[cfg(feature = "store")]
mod stored;
#[cfg(feature = "store")]
pub mod write;

pub use render::{Format, render};
