//! Distributions of lengths in a fixed amount of memory.

use hdrhistogram::Histogram;

use super::model::{Bucket, HostRunqueue, Latency};
use crate::table::HistogramRow;

/// Lengths under way, kept to three figures.
pub struct Lengths {
    /// `None` only if the library refused its own defaults.
    histogram: Option<Histogram<u64>>,
    /// Exact, where the histogram rounds.
    max_ns: u64,
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
            p95_ns: at(0.95),
            p99_ns: at(0.99),
            max_ns: Some(self.max_ns),
        }
    }
}

/// Sums the in-kernel histogram of the machine's run-queue latency; `None` where there is none.
pub fn host_runqueue<'a>(rows: impl IntoIterator<Item = &'a HistogramRow>) -> Option<HostRunqueue> {
    let mut buckets: Vec<Bucket> = Vec::new();
    let mut without_length = 0;
    for row in rows.into_iter().filter(|row| row.name == "host_runqueue" && row.count > 0) {
        if row.bucket_low_ns == 0 {
            without_length += row.count;
            continue;
        }
        match buckets.iter_mut().find(|bucket| bucket.low_ns == row.bucket_low_ns) {
            Some(bucket) => bucket.count += row.count,
            None => buckets.push(Bucket {
                low_ns: row.bucket_low_ns,
                high_ns: row.bucket_high_ns,
                count: row.count,
            }),
        }
    }
    if buckets.is_empty() && without_length == 0 {
        return None;
    }
    Some(HostRunqueue { latency: Latency::of_buckets(&mut buckets), without_length, buckets })
}

impl Latency {
    /// What buckets tell, which are put in order: percentiles are the upper ends of theirs.
    pub(super) fn of_buckets(buckets: &mut [Bucket]) -> Self {
        buckets.sort_by_key(|bucket| bucket.low_ns);
        let count: u64 = buckets.iter().map(|bucket| bucket.count).sum();
        let at = |percent: u64| {
            let rank = (count * percent).div_ceil(100);
            let mut below = 0;
            buckets.iter().find_map(|bucket| {
                below += bucket.count;
                (below >= rank).then_some(bucket.high_ns)
            })
        };
        let max_ns = buckets.last().map(|bucket| bucket.high_ns);
        Self { count, p50_ns: at(50), p95_ns: at(95), p99_ns: at(99), max_ns }
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

    #[test]
    fn a_host_histogram_sums_over_cpus_and_intervals() {
        let row = |key: &str, low, high, count| HistogramRow {
            name: "host_runqueue".into(),
            key: key.into(),
            bucket_low_ns: low,
            bucket_high_ns: high,
            count,
            ..HistogramRow::default()
        };
        let rows = [
            row("cpu0", 1024, 2048, 40),
            row("cpu1", 1024, 2048, 50),
            row("cpu0", 4096, 8192, 10),
            row("cpu1", 0, 1, 900),
        ];
        let host = host_runqueue(&rows).unwrap();
        assert_eq!((host.latency.count, host.without_length), (100, 900));
        assert_eq!(host.latency.p50_ns, Some(2048));
        assert_eq!(host.latency.p95_ns, Some(8192));
        assert_eq!(host.buckets.len(), 2);
        assert!(host_runqueue([]).is_none());
    }
}
