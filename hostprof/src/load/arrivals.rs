//! When requests of an open loop arrive.

use fastrand::Rng;

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Gaps are exponential: as many independent users come
    #[default]
    Poisson,
    /// Gaps are equal
    Fixed,
}

/// The arrivals of a rate, as nanoseconds from the start. Never ends.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    rate: f64,
    rng: Rng,
    issued: u64,
    last_ns: f64,
}

impl Schedule {
    /// Arrivals at `rate` a second.
    pub fn new(arrivals: Arrivals, rate: f64, seed: u64) -> Self {
        Self { arrivals, rate, rng: Rng::with_seed(seed), issued: 0, last_ns: 0.0 }
    }
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let at = match self.arrivals {
            // From the count, so that nothing adds up.
            Arrivals::Fixed => self.issued as f64 * 1e9 / self.rate,
            Arrivals::Poisson => self.last_ns - (1.0 - self.rng.f64()).ln() * 1e9 / self.rate,
        };
        self.issued += 1;
        self.last_ns = at;
        Some(at as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_arrivals_do_not_drift() {
        let at: Vec<u64> =
            Schedule::new(Arrivals::Fixed, 3.0, 0).take(3_000_001).step_by(1_000_000).collect();
        assert_eq!(at, [0, 333_333_333_333_333, 666_666_666_666_666, 1_000_000_000_000_000]);
    }

    #[test]
    fn gaps_of_independent_users_vary_as_much_as_they_are_long() {
        let at: Vec<u64> = Schedule::new(Arrivals::Poisson, 1_000.0, 7).take(50_000).collect();
        assert!(at.is_sorted());
        let gaps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.02 && (deviation - 1.0).abs() < 0.02, "{mean} {deviation}");
    }

    #[test]
    fn a_seed_gives_the_same_arrivals_again() {
        let at = |seed| Schedule::new(Arrivals::Poisson, 5.0, seed).take(100).collect::<Vec<_>>();
        assert_eq!(at(1), at(1));
        assert_ne!(at(1), at(2));
    }
}
