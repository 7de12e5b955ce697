//! The middle of values, and how far from it one is, by measures that a few strange values do not move.

/// A modified score beyond this is called an outlier: B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers (1993).
pub const OUTLIER_SCORE: f64 = 3.5;
/// The median absolute deviation of a normal distribution, in its standard deviations (the same source).
const NORMAL_DEVIATION: f64 = 0.6745;

/// Where values lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Middle {
    /// Their median.
    pub median: f64,
    /// The median of their distances from it.
    pub deviation: f64,
}

impl Middle {
    /// Of values; none where there are none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let middle = median(values)?;
        let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
        Some(Self { median: middle, deviation: median(&distances)? })
    }

    /// The modified score of a value: its distance from the median in deviations. None where the values do not differ, so that there is
    /// no measure.
    #[must_use]
    pub fn score(&self, value: f64) -> Option<f64> {
        (self.deviation > 0.0).then(|| NORMAL_DEVIATION * (value - self.median) / self.deviation)
    }
}

/// The median; the mean of both where two are in the middle, and none of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[upper]),
        _ => Some(f64::midpoint(sorted[upper - 1], sorted[upper])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn one_strange_value_does_not_hide_itself() {
        let values = [10.0, 11.0, 9.0, 10.0, 12.0, 100.0];
        let middle = Middle::of(&values).expect("there are values");
        assert_eq!(middle, Middle { median: 10.5, deviation: 1.0 });
        assert!(middle.score(100.0).is_some_and(|score| score > OUTLIER_SCORE));
        assert!(middle.score(12.0).is_some_and(|score| score < OUTLIER_SCORE));
        let same = Middle::of(&[5.0, 5.0, 5.0, 7.0]).expect("there are values");
        assert_eq!(same.score(7.0), None);
    }
}
