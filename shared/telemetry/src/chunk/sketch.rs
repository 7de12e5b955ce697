//! DDSketch: quantiles with a bound on their relative error, which merge without losing it.
//!
//! Source: Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019. A value x > 0
//! is counted in bin ceil(log_gamma(x)), where gamma = (1 + a) / (1 - a) and a is the error; bin i stands for 2 gamma^i / (gamma + 1). Negative
//! values have bins of their own, by their size, and zeros are counted. All doubles need 71,000 bins of each sign, so nothing is collapsed.
//!
//! Encoded: nothing at all for no values; else the byte 1 (the version, with a = 0.01), the number of zeros, then the bins of negative
//! values and those of positive ones. Each of the two is the number of its bins, then for each bin, ascending, the difference of its
//! number to the one before (the first to 0) as zigzag, and its count. All numbers are LEB128.

use super::Damaged;

/// Relative error of a quantile at most.
const ERROR: f64 = 0.01;
const GAMMA: f64 = (1.0 + ERROR) / (1.0 - ERROR);
const VERSION: u8 = 1;

type Bins = Vec<(i32, u64)>;

/// Counts by size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch {
    zeros: u64,
    negative: Bins,
    positive: Bins,
}

impl Sketch {
    /// Of these values; none may be NaN.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let zeros = values.iter().filter(|value| **value == 0.0).count() as u64;
        let negative = count(values.iter().filter(|value| **value < 0.0).map(|value| bin(-value)));
        let positive = count(values.iter().filter(|value| **value > 0.0).map(|value| bin(*value)));
        Self { zeros, negative, positive }
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        merge(&mut self.negative, &other.negative);
        merge(&mut self.positive, &other.positive);
    }

    /// How many values it counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        let sum = |bins: &Bins| bins.iter().map(|(_, count)| count).sum::<u64>();
        self.zeros + sum(&self.negative) + sum(&self.positive)
    }

    /// The value that a part of all (0 to 1) does not exceed, by the nearest rank; none of none.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a rank")]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        // A product like 0.07 * 100 is a little more than 7, and still the 7th.
        let rank = (self.count() as f64 * part - 1e-6).ceil().max(1.0) as u64;
        let negative = self.negative.iter().rev().map(|(bin, count)| (-middle(*bin), *count));
        let positive = self.positive.iter().map(|(bin, count)| (middle(*bin), *count));
        let ascending = negative.chain([(0.0, self.zeros)]).chain(positive);
        let mut passed = 0;
        for (value, count) in ascending {
            passed += count;
            if passed >= rank {
                return Some(value);
            }
        }
        None
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.count() == 0 {
            return out;
        }
        out.push(VERSION);
        put(&mut out, self.zeros);
        for bins in [&self.negative, &self.positive] {
            put(&mut out, bins.len() as u64);
            let mut before = 0;
            for (bin, count) in bins {
                put(&mut out, zigzag(i64::from(*bin) - before));
                put(&mut out, *count);
                before = i64::from(*bin);
            }
        }
        out
    }

    /// From bytes.
    ///
    /// # Errors
    /// When they are damaged, or of a version that is not known.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let damaged = || Damaged("a sketch ends too early, or is of an unknown version".into());
        let mut rest = match bytes.split_first() {
            None => return Ok(Self::default()),
            Some((&VERSION, rest)) => rest,
            Some(_) => return Err(damaged()),
        };
        let zeros = take(&mut rest).ok_or_else(damaged)?;
        let negative = take_bins(&mut rest).ok_or_else(damaged)?;
        let positive = take_bins(&mut rest).ok_or_else(damaged)?;
        Ok(Self { zeros, negative, positive })
    }
}

/// The bin of a positive value.
#[expect(clippy::cast_possible_truncation, reason = "logarithms of doubles are small")]
fn bin(value: f64) -> i32 {
    (value.ln() / GAMMA.ln()).ceil() as i32
}

/// What a bin stands for: as far from either of its ends, in relation.
fn middle(bin: i32) -> f64 {
    (f64::from(bin) * GAMMA.ln()).exp() * 2.0 / (GAMMA + 1.0)
}

fn count(bins: impl Iterator<Item = i32>) -> Bins {
    let mut sorted: Vec<i32> = bins.collect();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64)).collect()
}

fn merge(into: &mut Bins, from: &Bins) {
    if from.is_empty() {
        return;
    }
    let ours = std::mem::take(into);
    into.reserve(ours.len() + from.len());
    let mut theirs = from.iter().copied().peekable();
    for (bin, count) in ours {
        while let Some(other) = theirs.next_if(|other| other.0 < bin) {
            into.push(other);
        }
        let same = theirs.next_if(|other| other.0 == bin).map_or(0, |other| other.1);
        into.push((bin, count + same));
    }
    into.extend(theirs);
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_bins(rest: &mut &[u8]) -> Option<Bins> {
    let length = take(rest)?;
    let mut bins = Vec::new();
    let mut before = 0_i64;
    for _ in 0..length {
        before = before.checked_add(unzigzag(take(rest)?))?;
        bins.push((i32::try_from(before).ok()?, take(rest)?));
    }
    Some(bins)
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}
