//! The machine's run-queue latency, as the kernel half counted it.

use super::model::HostRunqueue;
use crate::{
    lengths::{Bucket, Latency},
    table::HistogramRow,
};

/// Sums the in-kernel histogram of the machine's run-queue latency; `None` where there is none.
pub fn host_runqueue<'a>(rows: impl IntoIterator<Item = &'a HistogramRow>) -> Option<HostRunqueue> {
    let mut buckets: Vec<Bucket> = Vec::new();
    let mut without_length = 0;
    for row in rows.into_iter().filter(|row| row.name == "host_runqueue" && row.count > 0) {
        if row.bucket_low_ns == 0 {
            without_length += row.count;
            continue;
        }
        Bucket::add(&mut buckets, row.bucket_low_ns, row.bucket_high_ns, row.count);
    }
    if buckets.is_empty() && without_length == 0 {
        return None;
    }
    Some(HostRunqueue { latency: Latency::of_buckets(&mut buckets), without_length, buckets })
}

#[cfg(test)]
mod tests {
    use super::*;

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
