//! Times and values as bytes: standalone files of pco, the times as differences.
//!
//! The first time counts from the start of the hour, each other from the one before, in nanoseconds (i64). Values are f64, bit by bit.

use pco::standalone::{simple_compress, simple_decompress};
use pco::{ChunkConfig, DeltaSpec};

use super::Points;

/// pco's levels go to 12; 8 is its own choice, and above 4 our values become hardly smaller.
const LEVEL: usize = 4;

/// Bytes of a chunk that are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("packed samples are damaged: {0}")]
pub struct Damaged(pub String);

/// Times and values of the points of an hour.
#[must_use]
pub fn pack(hour: i64, points: &Points) -> (Vec<u8>, Vec<u8>) {
    let mut before = hour;
    let mut differences = Vec::with_capacity(points.len());
    for time in &points.times {
        differences.push(time - before);
        before = *time;
    }
    // The differences are taken already; pco need not look for a better order of them.
    let config = ChunkConfig::default().with_compression_level(LEVEL);
    let fits = "the level is one of pco's, and memory takes all bytes";
    let times = simple_compress(&differences, &config.clone().with_delta_spec(DeltaSpec::NoOp)).expect(fits);
    (times, simple_compress(&points.values, &config).expect(fits))
}

/// The points again.
///
/// # Errors
/// When the bytes are damaged.
pub fn unpack(hour: i64, times: &[u8], values: &[u8]) -> Result<Points, Damaged> {
    let damaged = |error: pco::errors::PcoError| Damaged(error.to_string());
    let differences: Vec<i64> = simple_decompress(times).map_err(damaged)?;
    let values: Vec<f64> = simple_decompress(values).map_err(damaged)?;
    if differences.len() != values.len() {
        return Err(Damaged(format!("{} times for {} values", differences.len(), values.len())));
    }
    let absolute = |now: &mut i64, difference: i64| {
        *now = now.wrapping_add(difference);
        Some(*now)
    };
    Ok(Points { times: differences.into_iter().scan(hour, absolute).collect(), values })
}
