//! Samples of processes, cgroups and the machine, as of a window.

use std::collections::{BTreeMap, VecDeque};

use super::{
    bins::Window,
    picture::{CgroupMemory, HostPressure, Memory, MemoryCalls, ProcessMemory},
    rolling::Rolling,
    window::Summed,
};
use crate::{
    table::{CgroupSampleRow, HostSampleRow, ProcessSampleRow},
    units::Tgid,
};

/// The samples that a window is told by: the last before it began (else the first), and the last before its end.
fn around<'a, T>(
    rows: &(impl DoubleEndedIterator<Item = &'a T> + Clone),
    window: &Window,
    at: impl Fn(&T) -> u64,
) -> Option<(&'a T, &'a T)> {
    let last = rows.clone().rfind(|row| at(row) < window.to)?;
    let first = rows.clone().rfind(|row| at(row) <= window.from).or_else(|| rows.clone().next())?;
    Some((first, last))
}

/// Between two samples.
fn since(first: Option<u64>, last: Option<u64>) -> Option<u64> {
    Some(last?.saturating_sub(first?))
}

/// The machine's; `None` before two samples.
pub(super) fn pressure(hosts: &VecDeque<HostSampleRow>, window: &Window) -> Option<HostPressure> {
    let (mut first, last) = around(&hosts.iter(), window, |row: &HostSampleRow| row.ts_mono_ns)?;
    if first.ts_mono_ns >= last.ts_mono_ns {
        // No sample since the window began: what was between the last two.
        first = hosts.iter().rfind(|row| row.ts_mono_ns < last.ts_mono_ns)?;
    }
    let elapsed = last.ts_mono_ns - first.ts_mono_ns;
    let busy = |row: &HostSampleRow| {
        row.user_ns + row.nice_ns + row.system_ns + row.irq_ns + row.softirq_ns + row.steal_ns
    };
    let all = |row: &HostSampleRow| busy(row) + row.idle_ns + row.iowait_ns;
    let cpu_time = all(last).saturating_sub(all(first)).max(1) as f64;
    let share = |first, last| since(first, last).map(|ns| ns as f64 / elapsed as f64);
    Some(HostPressure {
        busy_ratio: busy(last).saturating_sub(busy(first)) as f64 / cpu_time,
        steal_ratio: last.steal_ns.saturating_sub(first.steal_ns) as f64 / cpu_time,
        cpu_some_ratio: share(first.cpu_some_ns, last.cpu_some_ns),
        memory_some_ratio: share(first.memory_some_ns, last.memory_some_ns),
        memory_full_ratio: share(first.memory_full_ns, last.memory_full_ns),
        io_some_ratio: share(first.io_some_ns, last.io_some_ns),
        io_full_ratio: share(first.io_full_ns, last.io_full_ns),
        runnable: last.runnable,
    })
}

/// The target's.
pub(super) fn memory(
    rolling: &Rolling,
    window: &Window,
    threads: &[Summed<'_>],
    calls: MemoryCalls,
) -> Memory {
    Memory {
        processes: processes(rolling, window, threads),
        cgroups: cgroups(&rolling.cgroups, window),
        calls: Some(calls),
        missing: Vec::new(),
    }
}

fn processes(rolling: &Rolling, window: &Window, threads: &[Summed<'_>]) -> Vec<ProcessMemory> {
    let mut by_tgid: BTreeMap<u32, Vec<&ProcessSampleRow>> = BTreeMap::new();
    for row in rolling.processes.iter().filter(|row| row.rss_bytes.is_some() && row.ts_mono_ns < window.to) {
        by_tgid.entry(row.tgid).or_default().push(row);
    }
    let mut faults: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for thread in threads {
        let sum = faults.entry(thread.track.life.tgid).or_default();
        sum.0 += thread.sum.minor_faults;
        sum.1 += thread.sum.major_faults;
    }
    let mut told = Vec::new();
    for (tgid, (minor_faults, major_faults)) in faults {
        let rows = by_tgid.get(&tgid).map(Vec::as_slice).unwrap_or_default();
        let last = rows.last();
        let history = rows.iter().filter(|row| row.ts_mono_ns >= window.from);
        told.push(ProcessMemory {
            tgid: Tgid(tgid),
            comm: rolling.process_comm(tgid),
            rss_bytes: last.and_then(|row| row.rss_bytes),
            anon_bytes: last.and_then(|row| row.rss_anon_bytes),
            file_bytes: last.and_then(|row| row.rss_file_bytes),
            shmem_bytes: last.and_then(|row| row.rss_shmem_bytes),
            swap_bytes: last.and_then(|row| row.swap_bytes),
            peak_bytes: last.and_then(|row| row.rss_peak_bytes),
            rss_history: history.filter_map(|row| row.rss_bytes).collect(),
            minor_faults,
            major_faults,
        });
    }
    told
}

fn cgroups(rows: &VecDeque<CgroupSampleRow>, window: &Window) -> Vec<CgroupMemory> {
    let mut by_path: BTreeMap<(&str, u16), Vec<&CgroupSampleRow>> = BTreeMap::new();
    for row in rows {
        by_path.entry((&row.path, row.version)).or_default().push(row);
    }
    let of = |rows: &Vec<&CgroupSampleRow>| {
        let (first, last) = around(&rows.iter().copied(), window, |row: &CgroupSampleRow| row.ts_mono_ns)?;
        let quota = last.quota_ns.zip(last.period_ns);
        Some(CgroupMemory {
            path: last.path.clone(),
            memory_bytes: last.memory_bytes,
            memory_max_bytes: last.memory_max_bytes,
            events_high: since(first.events_high, last.events_high),
            events_max: since(first.events_max, last.events_max),
            events_oom: since(first.events_oom, last.events_oom),
            oom_kills: since(first.oom_kills, last.oom_kills),
            refaults_file: since(first.refaults_file, last.refaults_file),
            throttled_periods: since(first.throttled_periods, last.throttled_periods),
            throttled_ns: since(first.throttled_ns, last.throttled_ns),
            quota_cpus: quota.map(|(quota, period)| quota as f64 / period.max(1) as f64),
        })
    };
    by_path.values().filter_map(of).collect()
}
