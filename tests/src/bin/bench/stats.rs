//! Medians and percentiles.

use std::time::Duration;

/// Counts stay far below 2⁵³ here.
#[expect(clippy::cast_precision_loss, reason = "no count here is near 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The middle value; for an even number, the mean of the two in the middle.
///
/// # Panics
/// When there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "a median of nothing");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// The median of the quotients, round by round.
pub(crate) fn median_ratio(over: &[f64], under: &[f64]) -> f64 {
    let ratios: Vec<f64> = over
        .iter()
        .zip(under)
        .map(|(over, under)| over / under)
        .collect();
    median(&ratios)
}

/// Times in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<u32>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0
            .push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The value, in microseconds, that `part` of a thousand do not exceed. 0 when there are none.
    pub(crate) fn permille(&self, part: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * part).div_ceil(1_000).saturating_sub(1);
        sorted.get(at).copied().map_or(0.0, f64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn middles_and_ends() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median_ratio(&[4.0, 9.0], &[2.0, 3.0]), 2.5);
        let mut times = Times::default();
        assert_eq!(times.permille(500), 0.0);
        for time in 1..=100 {
            times.add(Duration::from_micros(time));
        }
        assert_eq!(
            (
                times.permille(500),
                times.permille(990),
                times.permille(1_000)
            ),
            (50.0, 99.0, 100.0)
        );
    }
}
