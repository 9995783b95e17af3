//! Traced system calls and ioctls, by name.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Range,
};

use super::{
    bins::{self, BIN_NS, Bins, Window},
    counters::{Bag, Kind, Sums, bucket, key, latency, of_kind},
    picture::{Call, MemoryCalls},
};
use crate::{
    hash::IntMap,
    lengths::{Bucket, Latency},
    probe::syscalls,
    table::{GpuIoctlRow, HistogramRow, State, SyscallRow},
};

/// Names that are told apart; ioctls without a name have their number for one.
const MOST_NAMES: usize = 4096;

const MMAP: i32 = 9;
const MUNMAP: i32 = 11;

/// Traced calls in bins.
#[derive(Debug, Default)]
pub(super) struct Calls {
    names: Vec<(Cow<'static, str>, Option<String>)>,
    by_name: HashMap<(Cow<'static, str>, Option<String>), u64>,
    /// Names of system calls, by number: most rows need no more.
    by_number: IntMap<i32, u64>,
    bins: Bins<Bin>,
}

/// A bin of calls.
#[derive(Debug, Default)]
struct Bin {
    number: u64,
    /// Rows that ended.
    rows: u64,
    bag: Bag,
}

/// One call, as its tables have it.
struct Traced {
    name: u64,
    start: u64,
    length: u64,
    off_cpu: u64,
    failed: bool,
}

impl Calls {
    pub fn syscall(&mut self, row: &SyscallRow, kept: &Range<u64>) {
        let name = if let Some(name) = self.by_number.get(&row.syscall_nr) {
            *name
        } else {
            let name = self.name(row.name.clone(), None);
            self.by_number.insert(row.syscall_nr, name);
            name
        };
        let traced = Traced {
            name,
            start: row.ts_mono_ns,
            length: row.dur_ns,
            off_cpu: row.off_cpu_ns.unwrap_or(0),
            failed: row.failed(),
        };
        self.add(&traced, kept);
        let end = row.ts_mono_ns + row.dur_ns;
        if let Some(bytes) = row.arg1.filter(|_| !row.failed() && kept.contains(&end)) {
            let changed = match row.syscall_nr {
                MMAP => Some(Kind::Mapped),
                MUNMAP => Some(Kind::Unmapped),
                _ => None,
            };
            if let Some(kind) = changed {
                self.bins.at(end / BIN_NS).bag.add(key(kind, 0), bytes);
            }
        }
    }

    pub fn gpu_ioctl(&mut self, row: &GpuIoctlRow, kept: &Range<u64>) {
        let traced = Traced {
            name: self.name(row.call_name(), Some(&row.device)),
            start: row.ts_mono_ns,
            length: row.dur_ns,
            off_cpu: row.off_cpu_ns.unwrap_or(0),
            failed: row.failed(),
        };
        self.add(&traced, kept);
    }

    fn add(&mut self, call: &Traced, kept: &Range<u64>) {
        let (start, end) = (call.start, call.start + call.length);
        let (mut at, to) = (start.max(kept.start), end.min(kept.end));
        while at < to {
            let next = ((at / BIN_NS + 1) * BIN_NS).min(to);
            let part = next - at;
            let off_cpu = u128::from(call.off_cpu) * u128::from(part) / u128::from(call.length.max(1));
            let bag = &mut self.bins.at(at / BIN_NS).bag;
            bag.add(key(Kind::TracedTime, call.name), part);
            bag.add(key(Kind::TracedOffCpu, call.name), off_cpu as u64);
            at = next;
        }
        if kept.contains(&end) {
            let bin = self.bins.at(end / BIN_NS);
            bin.rows += 1;
            let bag = &mut bin.bag;
            bag.add(key(Kind::TracedLength, call.name << 16 | bucket(call.length)), 1);
            bag.add(key(Kind::TracedMost, call.name), call.length);
            if call.failed {
                bag.add(key(Kind::TracedErrors, call.name), 1);
            }
        }
    }

    pub fn forget_before(&mut self, ns: u64) {
        self.bins.forget_before(ns, drop);
    }

    /// Rows that ended in a window.
    pub fn rows(&self, window: &Window) -> u64 {
        self.bins.within(&window.bins()).map(|bin| bin.rows).sum()
    }

    /// What the calls of a window come to.
    pub fn sums(&self, window: &Window) -> Vec<(u64, u64)> {
        let mut sums = Sums::default();
        for bin in self.bins.within(&window.bins()) {
            bin.bag.entries().for_each(|(key, value)| sums.add(key, value));
        }
        sums.take()
    }

    /// Those calls, most time first, with those that were only counted.
    pub fn told(&self, sums: &[(u64, u64)], window: &Window, counted: &VecDeque<HistogramRow>) -> Vec<Call> {
        let mut calls = self.calls(sums, |_| true);
        calls.extend(of_histograms(window, counted, &calls));
        calls.sort_by(|a, b| b.total_ns.cmp(&a.total_ns).then_with(|| a.name.cmp(&b.name)));
        calls
    }

    /// What of them changes the address space.
    pub fn memory(&self, sums: &[(u64, u64)]) -> MemoryCalls {
        let names = syscalls::calls(State::Memory);
        let mut by_name = self.calls(sums, |name| names.contains(&name));
        by_name.sort_by(|a, b| b.total_ns.cmp(&a.total_ns).then_with(|| a.name.cmp(&b.name)));
        let sum = |kind| of_kind(sums, kind).map(|(_, bytes)| bytes).sum();
        MemoryCalls { by_name, mapped_bytes: sum(Kind::Mapped), unmapped_bytes: sum(Kind::Unmapped) }
    }

    fn calls(&self, sums: &[(u64, u64)], wanted: impl Fn(&str) -> bool) -> Vec<Call> {
        let mut lengths: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
        for (sub, count) in of_kind(sums, Kind::TracedLength) {
            lengths.entry(sub >> 16).or_default().push((sub & 0xffff, count));
        }
        let by_name = |kind| -> HashMap<u64, u64> { of_kind(sums, kind).collect() };
        let (times, off_cpu) = (by_name(Kind::TracedTime), by_name(Kind::TracedOffCpu));
        let (errors, most) = (by_name(Kind::TracedErrors), by_name(Kind::TracedMost));
        let mut met: Vec<u64> = times.keys().chain(lengths.keys()).copied().collect();
        met.sort_unstable();
        met.dedup();
        met.into_iter()
            .filter_map(|name| {
                let (text, device) = self.names.get(name as usize)?;
                let of = |sums: &HashMap<u64, u64>| sums.get(&name).copied().unwrap_or(0);
                let latency =
                    lengths.get(&name).map_or_else(Latency::default, |buckets| latency(buckets, of(&most)));
                wanted(text).then(|| Call {
                    name: text.to_string(),
                    device: device.clone(),
                    latency,
                    total_ns: of(&times),
                    off_cpu_ns: Some(of(&off_cpu)),
                    errors: Some(of(&errors)),
                })
            })
            .collect()
    }

    fn name(&mut self, name: Cow<'static, str>, device: Option<&str>) -> u64 {
        let named = (name, device.map(str::to_owned));
        if let Some(known) = self.by_name.get(&named) {
            return *known;
        }
        let named = if self.names.len() >= MOST_NAMES { (Cow::Borrowed("(others)"), None) } else { named };
        *self.by_name.entry(named.clone()).or_insert_with(|| {
            self.names.push(named);
            self.names.len() as u64 - 1
        })
    }
}

impl bins::Bin for Bin {
    fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    #[inline]
    fn number(&self) -> u64 {
        self.number
    }

    fn settle(&mut self) {
        self.bag.settle();
    }
}

/// Calls that were counted and not traced, each interval's spread evenly over it.
fn of_histograms(window: &Window, counted: &VecDeque<HistogramRow>, traced: &[Call]) -> Vec<Call> {
    /// By bucket, how many; and their time.
    type Counted = (BTreeMap<(u64, u64), f64>, f64);
    let mut by_name: BTreeMap<&str, Counted> = BTreeMap::new();
    for row in counted {
        let part = window.part_of(row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);
        let Some(name) = row.key.split_once(' ').map(|(_, name)| name).filter(|_| part > 0.0) else {
            continue;
        };
        let (buckets, total) = by_name.entry(name).or_default();
        *buckets.entry((row.bucket_low_ns, row.bucket_high_ns)).or_default() += row.count as f64 * part;
        *total += row.total_ns.unwrap_or(0) as f64 * part;
    }
    by_name
        .into_iter()
        .filter(|(name, _)| !traced.iter().any(|call| call.name == *name && call.device.is_none()))
        .map(|(name, (buckets, total))| {
            let mut buckets: Vec<Bucket> = buckets
                .into_iter()
                .map(|((low_ns, high_ns), count)| Bucket { low_ns, high_ns, count: count.round() as u64 })
                .filter(|bucket| bucket.count > 0)
                .collect();
            Call {
                name: name.to_owned(),
                device: None,
                latency: Latency::of_buckets(&mut buckets),
                total_ns: total.round() as u64,
                off_cpu_ns: None,
                errors: None,
            }
        })
        .collect()
}
