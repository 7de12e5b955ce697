//! Two samples beside each other, by ranks: nothing is assumed of how their values are distributed.

use super::normal::two_sided;

/// Products of both counts up to this get the exact distribution, if no two values are equal.
const EXACT_MAX: usize = 400;

/// How two samples differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// Probability that chance alone makes them differ so much, on either side.
    pub probability: f64,
    /// Cliff's delta, -1 to 1: how much more often a value of the second is above one of the first than below it
    /// (N. Cliff, Dominance Statistics, Psychological Bulletin 114, 1993).
    pub delta: f64,
}

/// How large an effect is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Below 0.147.
    Negligible,
    /// Below 0.33.
    Small,
    /// Below 0.474.
    Medium,
    /// Beyond.
    Large,
}

impl Compared {
    /// The size of the effect, as J. Romano and others call it (Appropriate Statistics for Ordinal Level Data, 2006).
    #[must_use]
    pub fn size(&self) -> Size {
        match self.delta.abs() {
            delta if delta < 0.147 => Size::Negligible,
            delta if delta < 0.33 => Size::Small,
            delta if delta < 0.474 => Size::Medium,
            _ => Size::Large,
        }
    }
}

impl Size {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Negligible => "negligible",
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }
}

/// The U test of H. Mann and D. Whitney (On a Test of Whether One of Two Random Variables Is Stochastically Larger than the Other,
/// 1947): exact for small samples without equal values, else by the normal distribution with corrections for equal values and
/// continuity. None where a sample is empty.
#[must_use]
pub fn mann_whitney(first: &[f64], second: &[f64]) -> Option<Compared> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let ranked = Ranked::of(first, second);
    let (m, n) = (first.len(), second.len());
    let pairs = count(m) * count(n);
    // How many pairs have the second above the first; equal values count a half.
    let above = ranked.second_ranks - count(n) * count(n + 1) / 2.0;
    let probability = if ranked.ties == 0.0 && m * n <= EXACT_MAX {
        exact(m, n, above)
    } else {
        approximate(m, n, above, ranked.ties)
    };
    Some(Compared { probability, delta: 2.0 * above / pairs - 1.0 })
}

/// The ranks of two samples together.
struct Ranked {
    /// Sum of the ranks of the second sample, from 1; equal values share the mean of theirs.
    second_ranks: f64,
    /// Sum of t³ - t over groups of t equal values.
    ties: f64,
}

impl Ranked {
    fn of(first: &[f64], second: &[f64]) -> Self {
        let mut all: Vec<(f64, bool)> = first.iter().map(|value| (*value, false)).collect();
        all.extend(second.iter().map(|value| (*value, true)));
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ranked = Self { second_ranks: 0.0, ties: 0.0 };
        let mut begin = 0;
        for group in all.chunk_by(|a, b| a.0 == b.0) {
            let size = count(group.len());
            let rank = count(begin) + (size + 1.0) / 2.0;
            ranked.second_ranks += rank * count(group.iter().filter(|value| value.1).count());
            ranked.ties += size * size * size - size;
            begin += group.len();
        }
        ranked
    }
}

/// Of all ways to mix the two samples, the part in which U is as far from its middle.
fn exact(m: usize, n: usize, above: f64) -> f64 {
    // ways[k][u]: ways to mix k of the first with those of the second so far, so that U is u.
    let pairs = m * n;
    let mut ways = vec![vec![0.0_f64; pairs + 1]; m + 1];
    ways.iter_mut().for_each(|row| row[0] = 1.0);
    for second in 1..=n {
        for k in 1..=m {
            for u in (0..=k * second).rev() {
                // The greatest value is of the second, above all k, or of the first.
                let of_second = if u >= k { ways[k][u - k] } else { 0.0 };
                ways[k][u] = of_second + ways[k - 1][u];
            }
        }
    }
    let all: f64 = ways[m].iter().sum();
    let distance = (above - count(pairs) / 2.0).abs();
    let far = |u: usize| (count(u) - count(pairs) / 2.0).abs() >= distance - 1e-9;
    let as_far: f64 = ways[m].iter().enumerate().filter(|(u, _)| far(*u)).map(|(_, ways)| ways).sum();
    (as_far / all).min(1.0)
}

fn approximate(m: usize, n: usize, above: f64, ties: f64) -> f64 {
    let (m, n) = (count(m), count(n));
    let all = m + n;
    let variance = m * n / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let distance = ((above - m * n / 2.0).abs() - 0.5).max(0.0);
    two_sided(distance / variance.sqrt())
}

#[expect(clippy::cast_precision_loss, reason = "counts of processes are far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(first: &[f64], second: &[f64]) -> Compared {
        mann_whitney(first, second).expect("both have values")
    }

    #[test]
    fn small_samples_have_the_exact_probability() {
        let first = [1.0, 2.0, 3.0];
        let apart = compared(&first, &[4.0, 5.0, 6.0]);
        assert_eq!(apart.delta, 1.0);
        assert!((apart.probability - 0.1).abs() < 1e-12, "two of twenty ways: {apart:?}");
        let mixed = compared(&[1.0, 4.0], &[2.0, 3.0]);
        assert_eq!((mixed.probability, mixed.delta), (1.0, 0.0));
        // Table of Mann and Whitney: 4 and 5 values, U = 2.
        let table = compared(&[1.0, 2.0, 3.0, 6.0], &[4.0, 5.0, 7.0, 8.0, 9.0]);
        assert!((table.probability - 8.0 / 126.0).abs() < 1e-12, "{table:?}");
    }

    #[test]
    fn large_samples_and_equal_values_are_approximated() {
        let first: Vec<f64> = (0..50).map(f64::from).collect();
        let second: Vec<f64> = (0..50).map(|value| f64::from(value) + 20.0).collect();
        let shifted = compared(&first, &second);
        assert!(shifted.probability < 1e-6 && shifted.delta > 0.5, "{shifted:?}");
        let same = compared(&[1.0, 1.0, 1.0], &[1.0, 1.0]);
        assert_eq!((same.probability, same.delta), (1.0, 0.0));
    }

    #[test]
    fn exchanging_the_samples_turns_the_effect_and_nothing_else() {
        let (first, second) = ([1.0, 5.0, 2.5, 9.0], [3.0, 6.0, 8.0]);
        let (there, back) = (compared(&first, &second), compared(&second, &first));
        assert!((there.probability - back.probability).abs() < 1e-12);
        assert!((there.delta + back.delta).abs() < 1e-12);
        assert_eq!(mann_whitney(&[], &second), None);
    }

    #[test]
    fn effects_have_names() {
        let named = |delta| Compared { probability: 0.0, delta }.size().as_str();
        assert_eq!([0.1, -0.2, 0.4, -0.9].map(named), ["negligible", "small", "medium", "large"]);
    }
}
