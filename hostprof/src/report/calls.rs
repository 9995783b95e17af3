//! System calls by name: those traced one by one, and those the kernel half counted.

use std::{borrow::Cow, cmp::Reverse, collections::HashMap};

use super::model::SystemCall;
use crate::{
    lengths::{Bucket, Latency, Lengths},
    probe::SYSCALL,
    table::{GpuIoctlRow, HistogramRow, SyscallRow},
};

/// At most so many names are told apart; calls of later ones go together.
const NAMES: usize = 4096;
const OTHERS: &str = "(other names)";

/// Calls under way.
#[derive(Default)]
pub struct Calls {
    traced: HashMap<(Option<String>, Cow<'static, str>), Traced>,
}

struct Traced {
    lengths: Lengths,
    total_ns: u64,
    off_cpu_ns: u64,
    errors: u64,
}

impl Calls {
    /// Adds a row.
    pub fn syscall(&mut self, row: &SyscallRow) {
        self.add(None, row.name.clone(), row.dur_ns, row.off_cpu_ns, row.failed());
    }

    /// Adds a row.
    pub fn gpu_ioctl(&mut self, row: &GpuIoctlRow) {
        self.add(Some(row.device.clone()), row.call_name(), row.dur_ns, row.off_cpu_ns, row.failed());
    }

    fn add(
        &mut self,
        device: Option<String>,
        name: Cow<'static, str>,
        dur_ns: u64,
        off_cpu_ns: Option<u64>,
        failed: bool,
    ) {
        let mut key = (device, name);
        if self.traced.len() >= NAMES && !self.traced.contains_key(&key) {
            key = (None, OTHERS.into());
        }
        let traced = self.traced.entry(key).or_insert_with(|| Traced {
            lengths: Lengths::new(),
            total_ns: 0,
            off_cpu_ns: 0,
            errors: 0,
        });
        traced.lengths.add(dur_ns);
        traced.total_ns += dur_ns;
        traced.off_cpu_ns += off_cpu_ns.unwrap_or(0);
        traced.errors += u64::from(failed);
    }

    /// The names, most time first; then those that were only counted.
    pub fn finish(self, histogram: &[HistogramRow]) -> Vec<SystemCall> {
        let mut calls: Vec<SystemCall> = self
            .traced
            .into_iter()
            .map(|((device, name), traced)| SystemCall {
                name: name.into_owned(),
                device,
                counted: false,
                total_ns: traced.total_ns,
                off_cpu_ns: Some(traced.off_cpu_ns),
                errors: Some(traced.errors),
                latency: traced.lengths.latency(),
            })
            .collect();
        calls.extend(counted(histogram));
        calls.sort_by(|a, b| {
            let key = |call: &SystemCall| (call.counted, Reverse(call.total_ns));
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        calls
    }
}

/// The in-kernel histogram of calls, all processes together.
fn counted(histogram: &[HistogramRow]) -> Vec<SystemCall> {
    let mut names: HashMap<&str, (u64, Vec<Bucket>)> = HashMap::new();
    for row in histogram.iter().filter(|row| row.name == SYSCALL) {
        // `4711:202 futex`
        let name = row.key.split_once(' ').map_or(row.key.as_str(), |(_, name)| name);
        let (total_ns, buckets) = names.entry(name).or_default();
        *total_ns += row.total_ns.unwrap_or(0);
        Bucket::add(buckets, row.bucket_low_ns, row.bucket_high_ns, row.count);
    }
    names
        .into_iter()
        .map(|(name, (total_ns, mut buckets))| SystemCall {
            name: name.to_owned(),
            device: None,
            counted: true,
            total_ns,
            off_cpu_ns: None,
            errors: None,
            latency: Latency::of_buckets(&mut buckets),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_summed_by_name_and_device_and_counted_ones_come_last() {
        let mut calls = Calls::default();
        for dur_ns in [100, 300] {
            calls.syscall(&SyscallRow {
                name: "futex".into(),
                dur_ns,
                off_cpu_ns: Some(dur_ns / 2),
                ret: -11,
                ..SyscallRow::default()
            });
        }
        calls.gpu_ioctl(&GpuIoctlRow {
            device: "pts/1".into(),
            request: 0x5401,
            dur_ns: 900,
            off_cpu_ns: Some(0),
            ..GpuIoctlRow::default()
        });
        let row = |key: &str, low, count| HistogramRow {
            name: "syscall".into(),
            key: key.into(),
            bucket_low_ns: low,
            bucket_high_ns: 2 * low,
            count,
            total_ns: Some(count * low),
            ..HistogramRow::default()
        };
        let calls = calls.finish(&[row("1:0 read", 1024, 3), row("2:0 read", 4096, 1)]);
        let told: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.latency.count)).collect();
        assert_eq!(told, [("0x5401", 1), ("futex", 2), ("read", 4)]);
        assert_eq!(calls[0].device.as_deref(), Some("pts/1"));
        assert_eq!((calls[1].total_ns, calls[1].off_cpu_ns, calls[1].errors), (400, Some(200), Some(2)));
        assert_eq!((calls[2].total_ns, calls[2].off_cpu_ns), (3 * 1024 + 4096, None));
        assert_eq!((calls[2].latency.p50_ns, calls[2].latency.max_ns), (Some(2048), Some(8192)));
    }
}
