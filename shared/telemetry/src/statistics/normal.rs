//! The normal distribution.

/// Probability that a standard normal value is at least as far from 0 as `z`, on either side.
///
/// Abramowitz and Stegun, Handbook of Mathematical Functions (1964), formula 7.1.26: the error is at most 1.5e-7.
pub(super) fn two_sided(z: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = COEFFICIENTS.iter().rev().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    (polynomial * (-x * x).exp()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_quantiles_have_their_probabilities() {
        for (z, probability) in [(0.0, 1.0), (1.0, 0.317_310_5), (1.959_964, 0.05), (-2.575_829, 0.01), (4.0, 6.334e-5)]
        {
            let found = two_sided(z);
            assert!((found - probability).abs() < 1e-6, "{z}: {found} instead of {probability}");
        }
    }
}
