//! The kernel half's counters, read once a second: what was lost, and the machine's run-queue latency.

use std::collections::HashMap;

use hostprof_common::{
    span::{CallCounts, CountKey, SpanStats, probe},
    stats::{CpuStats, HISTOGRAM_BUCKETS},
};

use super::spans;
use crate::{
    bpf::{Kernel, LoadError},
    probe::{CUDA, ENGINE, HOST_RUNQUEUE, HTTP, SCHED, SYSCALL, cuda_call, engine_call, syscalls},
    table::{HistogramRow, LossRow},
    units::MonoNs,
};

/// How many readings make an interval of the histogram's rows, where nobody looks on.
const HISTOGRAM_READINGS: u32 = 10;

/// A reading of all counters of the kernel half.
#[derive(Clone)]
pub struct Reading {
    /// By CPU.
    pub cpus: Vec<CpuStats>,
    /// Of system calls, by CPU.
    pub spans: Vec<SpanStats>,
}

impl Reading {
    /// Reads them all.
    ///
    /// # Errors
    ///
    /// A map cannot be read.
    pub fn of(kernel: &Kernel) -> Result<Self, LoadError> {
        Ok(Self { cpus: kernel.stats()?, spans: kernel.span_stats()? })
    }
}

/// Readings turned into rows.
pub struct Counters {
    at: MonoNs,
    last: Reading,
    calls: HashMap<CountKey, CallCounts>,
    functions: HashMap<CountKey, CallCounts>,
    histogram_at: MonoNs,
    histogram: Vec<CpuStats>,
    readings: u32,
    readings_each: u32,
    dropped: Vec<(&'static str, u64)>,
}

impl Counters {
    /// From a first reading, before anything was recorded. `watched` makes each reading an interval.
    pub fn new(at: MonoNs, reading: Reading, watched: bool) -> Self {
        Self {
            at,
            histogram: reading.cpus.clone(),
            last: reading,
            calls: HashMap::new(),
            functions: HashMap::new(),
            histogram_at: at,
            readings: 0,
            readings_each: if watched { 1 } else { HISTOGRAM_READINGS },
            dropped: Vec::new(),
        }
    }

    /// Records lost so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.iter().map(|(_, dropped)| dropped).sum()
    }

    /// The same by probe.
    pub fn dropped_by_probe(&self) -> &[(&'static str, u64)] {
        &self.dropped
    }

    /// What was lost since the last reading, by probe, CPU and reason.
    pub fn losses(&mut self, at: MonoNs, reading: Reading) -> Vec<LossRow> {
        let mut rows = Vec::new();
        for (cpu, (now, before)) in reading.cpus.iter().zip(&self.last.cpus).enumerate() {
            let lost = [
                ("full", now.episodes_full - before.episodes_full + now.threads_full - before.threads_full),
                ("busy", now.episodes_busy - before.episodes_busy + now.threads_busy - before.threads_busy),
                ("slots", now.slots_full - before.slots_full),
            ];
            rows.extend(lost.map(|(reason, dropped)| (SCHED, cpu, reason, dropped)));
        }
        for (cpu, (now, before)) in reading.spans.iter().zip(&self.last.spans).enumerate() {
            let others = [(probe::HTTP, HTTP), (probe::CUDA, CUDA), (probe::ENGINE, ENGINE)];
            for (index, name) in spans::PROBES.into_iter().chain(others) {
                let (now, before) = (now.probes[usize::from(index)], before.probes[usize::from(index)]);
                let full = if index == probe::SYSCALL_COUNT { "counts" } else { "full" };
                rows.push((name, cpu, full, now.full - before.full));
                rows.push((name, cpu, "busy", now.busy - before.busy));
            }
        }
        rows.retain(|(.., dropped)| *dropped > 0);
        let start = std::mem::replace(&mut self.at, at);
        self.last = reading;
        rows.into_iter()
            .map(|(name, cpu, reason, dropped)| {
                match self.dropped.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += dropped,
                    None => self.dropped.push((name, dropped)),
                }
                loss(name, start, at, Some(cpu as u16), reason, dropped)
            })
            .collect()
    }

    /// Whether the reading that comes completes an interval of the histograms; `whole` completes one in any
    /// case.
    pub fn completes(&mut self, whole: bool) -> bool {
        self.readings += 1;
        let complete = whole || self.readings >= self.readings_each;
        if complete {
            self.readings = 0;
        }
        complete
    }

    /// The histograms of the interval that the last reading completed: the machine's run-queue latency, and
    /// the system calls and those of libraries' functions counted up to now.
    pub fn histograms(
        &mut self,
        calls: Vec<(CountKey, CallCounts)>,
        functions: Vec<(CountKey, CallCounts)>,
    ) -> Vec<HistogramRow> {
        let interval = HistogramRow {
            ts_mono_ns: self.histogram_at.0,
            dur_ns: self.at.0 - self.histogram_at.0,
            ..HistogramRow::default()
        };
        let mut rows = Vec::new();
        for (cpu, (now, before)) in self.last.cpus.iter().zip(&self.histogram).enumerate() {
            for bucket in 0..HISTOGRAM_BUCKETS {
                let count = now.runqueue_ns[bucket] - before.runqueue_ns[bucket];
                if count > 0 {
                    let (bucket_low_ns, bucket_high_ns) = bounds(bucket);
                    rows.push(HistogramRow {
                        name: HOST_RUNQUEUE.to_owned(),
                        key: format!("cpu{cpu}"),
                        bucket_low_ns,
                        bucket_high_ns,
                        count,
                        ..interval.clone()
                    });
                }
            }
        }
        let called = |key: CountKey| format!("{}:{} {}", key.tgid, key.nr, syscalls::name(key.nr));
        since(&mut self.calls, calls, |key, bucket, count, total_ns| {
            let (bucket_low_ns, bucket_high_ns) = bounds(bucket);
            rows.push(HistogramRow {
                name: SYSCALL.to_owned(),
                key: called(key),
                bucket_low_ns,
                bucket_high_ns,
                count,
                total_ns: Some(total_ns),
                ..interval.clone()
            });
        });
        let called = |key: CountKey| {
            let number = u16::try_from(key.nr).unwrap_or_default();
            match engine_call(number) {
                Some(call) => (ENGINE, format!("{} {}", key.tgid, call.name)),
                None => {
                    (CUDA, format!("{} {}", key.tgid, cuda_call(number).map_or("other", |call| call.name)))
                }
            }
        };
        since(&mut self.functions, functions, |key, bucket, count, total_ns| {
            let (name, key) = called(key);
            // No call takes no time: those there were not timed.
            let timed = bucket > 0;
            let (bucket_low_ns, bucket_high_ns) = if timed { bounds(bucket) } else { (0, u64::MAX) };
            rows.push(HistogramRow {
                name: name.to_owned(),
                key,
                bucket_low_ns,
                bucket_high_ns,
                count,
                total_ns: timed.then_some(total_ns),
                ..interval.clone()
            });
        });
        self.histogram_at = self.at;
        self.histogram.clone_from(&self.last.cpus);
        rows
    }
}

/// Hands out what was counted of calls since they were `known`: bucket, count and total.
fn since(
    known: &mut HashMap<CountKey, CallCounts>,
    calls: Vec<(CountKey, CallCounts)>,
    mut each: impl FnMut(CountKey, usize, u64, u64),
) {
    for (key, now) in calls {
        let before = known.insert(key, now).unwrap_or(CallCounts::ZERO);
        for bucket in 0..HISTOGRAM_BUCKETS {
            // Read while they are counted: a count may be ahead of its total, and the next catches up.
            let count = now.count[bucket].saturating_sub(before.count[bucket]);
            let total_ns = now.total_ns[bucket].saturating_sub(before.total_ns[bucket]);
            if count > 0 || total_ns > 0 {
                each(key, bucket, count, total_ns);
            }
        }
    }
}

/// A row of table `loss`.
pub fn loss(
    probe: &str,
    start: MonoNs,
    end: MonoNs,
    cpu: Option<u16>,
    reason: &str,
    dropped: u64,
) -> LossRow {
    LossRow {
        start_mono_ns: start.0,
        end_mono_ns: end.0,
        probe: probe.to_owned(),
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
        let none = Reading { cpus: vec![stats(), stats()], spans: vec![SpanStats::default(); 2] };
        let mut counters = Counters::new(MonoNs(10), none.clone(), false);
        let mut now = none;
        now.cpus[1].episodes_full = 3;
        now.cpus[1].threads_busy = 1;
        now.spans[0].probes[usize::from(probe::FUTEX)].full = 5;
        let rows = counters.losses(MonoNs(20), now.clone());
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[2].probe.as_str(), rows[2].cpu, rows[2].dropped), ("futex", Some(0), 5));
        assert_eq!((rows[0].cpu, rows[0].dropped, rows[0].reason.as_str()), (Some(1), 3, "full"));
        assert_eq!((rows[0].start_mono_ns, rows[0].end_mono_ns), (10, 20));
        assert!(counters.losses(MonoNs(30), now).is_empty());
        assert_eq!(counters.dropped(), 9);
        assert_eq!(counters.dropped_by_probe(), [(SCHED, 4), ("futex", 5)]);
    }

    #[test]
    fn counted_calls_are_told_by_interval() {
        let none = Reading { cpus: Vec::new(), spans: Vec::new() };
        let mut counters = Counters::new(MonoNs(10), none.clone(), false);
        counters.losses(MonoNs(50), none);
        let key = CountKey { tgid: 7, nr: 202 };
        let mut calls = CallCounts::ZERO;
        (calls.count[3], calls.total_ns[3]) = (2, 11);
        let rows = counters.histograms(vec![(key, calls)], Vec::new());
        assert_eq!((rows.len(), rows[0].ts_mono_ns, rows[0].dur_ns), (1, 10, 40));
        assert_eq!((rows[0].name.as_str(), rows[0].key.as_str()), ("syscall", "7:202 futex"));
        assert_eq!((rows[0].bucket_low_ns, rows[0].count, rows[0].total_ns), (4, 2, Some(11)));
        calls.count[3] += 1;
        calls.total_ns[3] += 7;
        let rows = counters.histograms(vec![(key, calls)], Vec::new());
        assert_eq!((rows[0].count, rows[0].total_ns), (1, Some(7)));
        assert!(counters.histograms(vec![(key, calls)], Vec::new()).is_empty());
    }

    #[test]
    fn calls_that_are_not_timed_have_one_bucket_and_no_length() {
        let mut counters = Counters::new(MonoNs(10), Reading { cpus: Vec::new(), spans: Vec::new() }, false);
        let mut calls = CallCounts::ZERO;
        calls.count[0] = 3;
        (calls.count[9], calls.total_ns[9]) = (1, 300);
        let rows = counters.histograms(Vec::new(), vec![(CountKey { tgid: 7, nr: 0 }, calls)]);
        let told: Vec<_> = rows.iter().map(|row| (row.bucket_high_ns, row.count, row.total_ns)).collect();
        assert_eq!(told, [(u64::MAX, 3, None), (512, 1, Some(300))]);
        assert_eq!((rows[0].name.as_str(), rows[0].key.as_str()), ("cuda", "7 cuLaunchKernel"));
    }

    #[test]
    fn buckets_hold_powers_of_two() {
        assert_eq!((bounds(0), bounds(1), bounds(12)), ((0, 1), (1, 2), (2048, 4096)));
    }
}
