//! What a handful of repeated measurements tells: median, interval, and what they are too few to see.
//!
//! The interval is the exact one from the order statistics: for n independent values the interval from the
//! k-th least to the k-th greatest holds the true median with probability 1 − 2·P(B(n, ½) < k), whatever
//! their distribution. Nothing is drawn at random, so the same values always give the same figures.

use serde::{Deserialize, Serialize};

/// What the interval is to cover at least.
const COVERAGE: f64 = 0.95;
/// 97.5 % and 80 % points of the normal distribution, added: 5 % two-sided, 80 % power.
const POWER: f64 = 1.959_96 + 0.841_62;
/// Standard error of a median over that of a mean: √(π/2).
const MEDIAN_ERROR: f64 = 1.253_31;
/// A normal distribution's standard deviation over its median absolute deviation.
const MAD_TO_SIGMA: f64 = 1.482_6;

/// Repeated measurements of one quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// In the order they were measured.
    pub values: Vec<f64>,
    pub median: f64,
    /// Null with fewer values than 95 % takes, which is 6.
    pub interval: Option<Interval>,
    /// The smallest change of the median that as many values of this spread would show, at 5 % with 80 %
    /// power; null with the interval.
    pub detectable: Option<f64>,
}

/// An interval for the median.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    /// At least 0.95; more where so few values leave no choice.
    pub coverage: f64,
}

impl Summary {
    /// `None` without values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let sorted = sorted(values);
        let median = median(&sorted)?;
        let interval = interval(&sorted);
        let detectable = interval.map(|_| detectable(&sorted, median));
        Some(Self { values: values.to_vec(), median, interval, detectable })
    }

    /// Whether the interval for the median holds a value.
    pub fn covers(&self, value: f64) -> bool {
        self.interval.is_some_and(|interval| (interval.low..=interval.high).contains(&value))
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

/// The narrowest interval between order statistics that covers enough.
fn interval(sorted: &[f64]) -> Option<Interval> {
    let count = sorted.len();
    // P(B(n, ½) = i), then the sum of those below k.
    let (mut point, mut below) = (0.5_f64.powi(i32::try_from(count).ok()?), 0.0);
    let mut narrowest = None;
    for k in 1..=count / 2 {
        below += point;
        point *= (count - k + 1) as f64 / k as f64;
        let coverage = 1.0 - 2.0 * below;
        if coverage < COVERAGE {
            break;
        }
        narrowest = Some(Interval { low: sorted[k - 1], high: sorted[count - k], coverage });
    }
    narrowest
}

fn detectable(values: &[f64], median_of_values: f64) -> f64 {
    let deviations: Vec<_> = values.iter().map(|value| (value - median_of_values).abs()).collect();
    let deviation = median(&sorted(&deviations)).unwrap_or_default();
    POWER * MEDIAN_ERROR * MAD_TO_SIGMA * deviation / (values.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        near(Summary::of(&[4.0, 1.0, 3.0, 2.0]).unwrap().median, 2.5);
        near(Summary::of(&[5.0]).unwrap().median, 5.0);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn seven_values_span_their_interval_from_end_to_end() {
        let interval = Summary::of(&[7.0, 1.0, 3.0, 2.0, 5.0, 4.0, 6.0]).unwrap().interval.unwrap();
        assert_eq!((interval.low, interval.high), (1.0, 7.0));
        // 1 − 2 / 2⁷
        near(interval.coverage, 0.984_375);
    }

    #[test]
    fn nine_values_leave_out_one_at_each_end() {
        let values: Vec<_> = (1..=9).map(f64::from).collect();
        let interval = Summary::of(&values).unwrap().interval.unwrap();
        assert_eq!((interval.low, interval.high), (2.0, 8.0));
        // 1 − 2 · (1 + 9) / 2⁹
        near(interval.coverage, 0.960_937_5);
        let values: Vec<_> = (1..=15).map(f64::from).collect();
        let interval = Summary::of(&values).unwrap().interval.unwrap();
        // 1 − 2 · (1 + 15 + 105 + 455) / 2¹⁵; with 1365 more it would be 0.882
        assert_eq!((interval.low, interval.high), (4.0, 12.0));
        near(interval.coverage, 0.964_843_75);
    }

    #[test]
    fn five_values_are_too_few_for_an_interval() {
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!((summary.interval, summary.detectable), (None, None));
    }

    #[test]
    fn the_smallest_detectable_effect_follows_from_the_spread() {
        // Deviations from 4: 3 2 1 0 1 2 3, whose median is 2.
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).unwrap();
        near(summary.detectable.unwrap(), 2.801_58 * 1.253_31 * 1.482_6 * 2.0 / 7.0_f64.sqrt());
        // One wild value does not widen it.
        let wild = Summary::of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 700.0]).unwrap();
        assert_eq!(wild.detectable, summary.detectable);
        assert_eq!(Summary::of(&[2.0; 7]).unwrap().detectable, Some(0.0));
    }
}
