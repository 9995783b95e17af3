//! The kernel half's counters, read once a second: what was lost, and the machine's run-queue latency.

use hostprof_common::stats::{CpuStats, HISTOGRAM_BUCKETS};

use crate::{
    probe::{HOST_RUNQUEUE, SCHED},
    table::{HistogramRow, LossRow},
    units::MonoNs,
};

/// How many readings make an interval of the histogram's rows.
const HISTOGRAM_READINGS: u32 = 10;

/// Readings turned into rows.
pub struct Counters {
    at: MonoNs,
    last: Vec<CpuStats>,
    histogram_at: MonoNs,
    histogram: Vec<CpuStats>,
    readings: u32,
    dropped: u64,
}

impl Counters {
    /// From a first reading, before anything was recorded.
    pub fn new(at: MonoNs, stats: Vec<CpuStats>) -> Self {
        Self { at, histogram: stats.clone(), last: stats, histogram_at: at, readings: 0, dropped: 0 }
    }

    /// Records lost so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What was lost since the last reading, by CPU and reason.
    pub fn losses(&mut self, at: MonoNs, stats: Vec<CpuStats>) -> Vec<LossRow> {
        let mut rows = Vec::new();
        for (cpu, (now, before)) in stats.iter().zip(&self.last).enumerate() {
            let lost = [
                ("full", now.episodes_full - before.episodes_full + now.threads_full - before.threads_full),
                ("busy", now.episodes_busy - before.episodes_busy + now.threads_busy - before.threads_busy),
                ("slots", now.slots_full - before.slots_full),
            ];
            for (reason, dropped) in lost {
                if dropped > 0 {
                    self.dropped += dropped;
                    rows.push(loss(self.at, at, Some(cpu as u16), reason, dropped));
                }
            }
        }
        self.at = at;
        self.last = stats;
        rows
    }

    /// The machine's run-queue latency of the interval that the last reading completed; `whole` completes
    /// one in any case.
    pub fn histogram(&mut self, whole: bool) -> Vec<HistogramRow> {
        self.readings += 1;
        if !whole && self.readings < HISTOGRAM_READINGS {
            return Vec::new();
        }
        self.readings = 0;
        let mut rows = Vec::new();
        for (cpu, (now, before)) in self.last.iter().zip(&self.histogram).enumerate() {
            for bucket in 0..HISTOGRAM_BUCKETS {
                let count = now.runqueue_ns[bucket] - before.runqueue_ns[bucket];
                if count > 0 {
                    let (bucket_low_ns, bucket_high_ns) = bounds(bucket);
                    rows.push(HistogramRow {
                        ts_mono_ns: self.histogram_at.0,
                        dur_ns: self.at.0 - self.histogram_at.0,
                        name: HOST_RUNQUEUE.to_owned(),
                        key: format!("cpu{cpu}"),
                        bucket_low_ns,
                        bucket_high_ns,
                        count,
                    });
                }
            }
        }
        self.histogram_at = self.at;
        self.histogram.clone_from(&self.last);
        rows
    }
}

/// A row of table `loss`.
pub fn loss(start: MonoNs, end: MonoNs, cpu: Option<u16>, reason: &str, dropped: u64) -> LossRow {
    LossRow {
        start_mono_ns: start.0,
        end_mono_ns: end.0,
        probe: SCHED.to_owned(),
        cpu,
        dropped,
        reason: reason.to_owned(),
    }
}

/// Least value of a bucket and first beyond it.
fn bounds(bucket: usize) -> (u64, u64) {
    if bucket == 0 { (0, 1) } else { (1 << (bucket - 1), 1_u64 << bucket) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> CpuStats {
        // SAFETY: integers only.
        unsafe { std::mem::zeroed() }
    }

    #[test]
    fn what_was_lost_since_the_last_reading_is_told_by_cpu_and_reason() {
        let mut counters = Counters::new(MonoNs(10), vec![stats(), stats()]);
        let mut now = vec![stats(), stats()];
        now[1].episodes_full = 3;
        now[1].threads_busy = 1;
        let rows = counters.losses(MonoNs(20), now.clone());
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].cpu, rows[0].dropped, rows[0].reason.as_str()), (Some(1), 3, "full"));
        assert_eq!((rows[0].start_mono_ns, rows[0].end_mono_ns), (10, 20));
        assert!(counters.losses(MonoNs(30), now).is_empty());
        assert_eq!(counters.dropped(), 4);
    }

    #[test]
    fn buckets_hold_powers_of_two() {
        assert_eq!((bounds(0), bounds(1), bounds(12)), ((0, 1), (1, 2), (2048, 4096)));
    }
}
