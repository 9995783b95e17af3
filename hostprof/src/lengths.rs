//! Distributions of lengths in a fixed amount of memory.

use hdrhistogram::Histogram;
use serde::Serialize;

/// A distribution of lengths, to three figures; nulls where there were none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    pub count: u64,
    pub p50_ns: Option<u64>,
    pub p90_ns: Option<u64>,
    pub p95_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub max_ns: Option<u64>,
}

impl Latency {
    /// What buckets tell, which are put in order: percentiles are the upper ends of theirs.
    pub fn of_buckets(buckets: &mut [Bucket]) -> Self {
        buckets.sort_by_key(|bucket| bucket.low_ns);
        let max_ns = buckets.last().map(|bucket| bucket.high_ns);
        let counts: Vec<_> = buckets.iter().map(|bucket| (bucket.high_ns, bucket.count)).collect();
        Self::of_counts(&counts, max_ns)
    }

    /// What counts tell of lengths that were at most so long each, in order, and the longest at most `max_ns`.
    pub fn of_counts(counts: &[(u64, u64)], max_ns: Option<u64>) -> Self {
        let count: u64 = counts.iter().map(|(_, count)| count).sum();
        let at = |percent: u64| {
            let rank = (count * percent).div_ceil(100);
            let mut below = 0;
            counts.iter().find_map(|&(high_ns, count)| {
                below += count;
                (below >= rank).then(|| max_ns.map_or(high_ns, |max_ns| high_ns.min(max_ns)))
            })
        };
        Self { count, p50_ns: at(50), p90_ns: at(90), p95_ns: at(95), p99_ns: at(99), max_ns }
    }
}

/// A bucket of a histogram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    pub low_ns: u64,
    pub high_ns: u64,
    pub count: u64,
}

impl Bucket {
    /// Adds a count to that of the bucket that begins there.
    pub fn add(buckets: &mut Vec<Self>, low_ns: u64, high_ns: u64, count: u64) {
        match buckets.iter_mut().find(|bucket| bucket.low_ns == low_ns) {
            Some(bucket) => bucket.count += count,
            None => buckets.push(Self { low_ns, high_ns, count }),
        }
    }
}

/// Lengths under way, kept to three figures.
pub struct Lengths {
    /// `None` only if the library refused its own defaults.
    histogram: Option<Histogram<u64>>,
    /// Exact, where the histogram rounds.
    max_ns: u64,
}

impl Default for Lengths {
    fn default() -> Self {
        Self::new()
    }
}

impl Lengths {
    /// None so far.
    pub fn new() -> Self {
        Self { histogram: Histogram::new(3).ok(), max_ns: 0 }
    }

    /// Adds a length.
    pub fn add(&mut self, ns: u64) {
        self.max_ns = self.max_ns.max(ns);
        if let Some(histogram) = &mut self.histogram
            && histogram.record(ns).is_err()
        {
            // Beyond what it can grow to: counts as the most it holds.
            histogram.saturating_record(ns);
        }
    }

    /// What they come to.
    pub fn latency(&self) -> Latency {
        let Some(histogram) = self.histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Latency::default();
        };
        let at = |quantile| Some(histogram.value_at_quantile(quantile).min(self.max_ns));
        Latency {
            count: histogram.len(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p95_ns: at(0.95),
            p99_ns: at(0.99),
            max_ns: Some(self.max_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_come_to_percentiles_no_longer_than_the_longest() {
        let mut lengths = Lengths::new();
        assert_eq!(lengths.latency(), Latency::default());
        (1..=1000).for_each(|us| lengths.add(us * 1000));
        let latency = lengths.latency();
        assert_eq!(latency.count, 1000);
        let p50 = latency.p50_ns.unwrap();
        assert!((499_000..=501_000).contains(&p50), "{p50}");
        assert!(latency.p99_ns <= latency.max_ns);
        assert_eq!(latency.max_ns, Some(1_000_000));
    }
}
