//! What the samples of the machine, its disks and the target's cgroups tell of a window: rates between the samples around
//! it. A sample is a second or so apart, so a short window is told by its surroundings.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    ledger::{IdleGap, Window},
    table::{CgroupSampleRow, DiskSampleRow, HostSampleRow, PageFaultRow},
};

/// The machine about a window. Null is not measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Beside {
    /// The time between the samples it is told by.
    pub sampled_ns: Option<u64>,
    /// Share of all CPUs' time in which they were busy.
    pub cpu_busy_ratio: Option<f64>,
    /// Share of the time in which some task waited for memory: of the target's own cgroup, the greatest where it has several;
    /// of the machine where no cgroup tells.
    pub memory_some_ratio: Option<f64>,
    /// Pages of files read again shortly after they were evicted, a second, of the target's own cgroup.
    pub refaults_per_second: Option<f64>,
    /// Share of its periods in which a cgroup of the target had used up its CPU quota, the greatest.
    pub throttled_periods_ratio: Option<f64>,
    /// That cgroup's quota and period, in words.
    pub quota: Option<String>,
    /// The longest mean time of a read or write, of the disks.
    pub disk_await_ns: Option<u64>,
    /// The disk.
    pub disk: Option<String>,
    /// Major faults in rows of `page_fault` that overlap the window.
    pub major_faults: u64,
    /// Time in which a GPU of the target, that which had most work, had none; null where PM sampling does not tell.
    pub gpu_idle_ns: Option<u64>,
}

/// The samples of a recording, by what they are of, in the order of time.
#[derive(Default)]
pub struct Samples {
    hosts: Vec<HostSampleRow>,
    cgroups: BTreeMap<(String, u16), Vec<CgroupSampleRow>>,
    disks: BTreeMap<String, Vec<DiskSampleRow>>,
    /// Intervals with major faults.
    majors: Vec<(u64, u64, u64)>,
    /// When the GPU had no work, in the order of time; `None` where that is not known.
    gpu_idle: Option<Vec<IdleGap>>,
}

impl Samples {
    /// From the rows of the tables, each in the order of time.
    pub fn new(hosts: Vec<HostSampleRow>, cgroups: Vec<CgroupSampleRow>, disks: Vec<DiskSampleRow>) -> Self {
        let mut samples = Self { hosts, ..Self::default() };
        for row in cgroups {
            samples.cgroups.entry((row.path.clone(), row.version)).or_default().push(row);
        }
        for row in disks {
            samples.disks.entry(row.device.clone()).or_default().push(row);
        }
        samples
    }

    /// Adds a row of page faults.
    pub fn page_fault(&mut self, row: &PageFaultRow) {
        if row.major > 0 {
            self.majors.push((row.ts_mono_ns, row.ts_mono_ns.saturating_add(row.dur_ns), row.major));
        }
    }

    /// Takes the times in which the target's GPU had no work, in the order of time.
    pub fn gpu_idle(&mut self, gaps: Vec<IdleGap>) {
        self.gpu_idle = Some(gaps);
    }

    /// What they tell of a window.
    pub fn about(&self, window: Window) -> Beside {
        let mut beside = Beside {
            major_faults: self
                .majors
                .iter()
                .filter(|(start, end, _)| *start < window.end_ns && *end > window.start_ns)
                .map(|(_, _, major)| major)
                .sum(),
            gpu_idle_ns: self.gpu_idle.as_ref().map(|gaps| idle_in(gaps, window)),
            ..Beside::default()
        };
        if let Some((before, after)) = around(&self.hosts, window, |row| row.ts_mono_ns) {
            let length_ns = after.ts_mono_ns - before.ts_mono_ns;
            beside.sampled_ns = Some(length_ns);
            beside.memory_some_ratio = ratio(before.memory_some_ns, after.memory_some_ns, length_ns);
            let busy =
                |row: &HostSampleRow| row.user_ns + row.nice_ns + row.system_ns + row.irq_ns + row.softirq_ns;
            let whole = |row: &HostSampleRow| busy(row) + row.idle_ns + row.iowait_ns + row.steal_ns;
            beside.cpu_busy_ratio =
                ratio(Some(busy(before)), Some(busy(after)), whole(after).saturating_sub(whole(before)));
        }
        let mut memory = None;
        for ((path, version), rows) in &self.cgroups {
            let Some((before, after)) = around(rows, window, |row| row.ts_mono_ns) else { continue };
            beside.quota(path, before, after);
            // What is above holds the waits of others too; what the target waits for, at any level's limit, is told below.
            if self.is_innermost(path, *version) {
                let length_ns = after.ts_mono_ns - before.ts_mono_ns;
                memory = greater(memory, ratio(before.memory_some_ns, after.memory_some_ns, length_ns));
                beside.refaults(before, after);
            }
        }
        beside.memory_some_ratio = memory.or(beside.memory_some_ratio);
        for (device, rows) in &self.disks {
            let Some((before, after)) = around(rows, window, |row| row.ts_mono_ns) else { continue };
            let await_ns = [
                per(after.read_ns, before.read_ns, after.reads, before.reads),
                per(after.write_ns, before.write_ns, after.writes, before.writes),
            ];
            let longest = await_ns.into_iter().flatten().max();
            if longest > beside.disk_await_ns {
                (beside.disk_await_ns, beside.disk) = (longest, Some(device.clone()));
            }
        }
        beside
    }

    /// Whether none of the target's cgroups is below this one.
    fn is_innermost(&self, path: &str, version: u16) -> bool {
        let above = path.trim_end_matches('/');
        let below = |other: &str| {
            other.strip_prefix(above).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        };
        !self.cgroups.keys().any(|(other, of)| *of == version && below(other))
    }
}

impl Beside {
    fn refaults(&mut self, before: &CgroupSampleRow, after: &CgroupSampleRow) {
        if let (Some(first), Some(last)) = (before.refaults_file, after.refaults_file) {
            let length_ns = after.ts_mono_ns - before.ts_mono_ns;
            let rate = last.saturating_sub(first) as f64 * 1e9 / length_ns.max(1) as f64;
            self.refaults_per_second = greater(self.refaults_per_second, Some(rate));
        }
    }

    fn quota(&mut self, path: &str, before: &CgroupSampleRow, after: &CgroupSampleRow) {
        let periods = after.periods.unwrap_or(0).saturating_sub(before.periods.unwrap_or(0));
        let throttled = ratio(before.throttled_periods, after.throttled_periods, periods);
        if after.quota_ns.is_some() && throttled > self.throttled_periods_ratio {
            self.throttled_periods_ratio = throttled;
            let ms = |ns: Option<u64>| ns.unwrap_or(0) as f64 / 1e6;
            self.quota = Some(format!("{path}: {} ms in {} ms", ms(after.quota_ns), ms(after.period_ns)));
        }
    }
}

/// The last row up to a window's start and the first from its end on; at the edges of a recording the nearest. `None`
/// where there are not two.
fn around<T>(rows: &[T], window: Window, at: impl Fn(&T) -> u64) -> Option<(&T, &T)> {
    let begun = rows.partition_point(|row| at(row) <= window.start_ns);
    let ended = rows.partition_point(|row| at(row) < window.end_ns);
    let last = rows.len().checked_sub(1)?;
    let (mut before, mut after) = (begun.saturating_sub(1), ended.min(last));
    if before == after {
        before = before.saturating_sub(1);
        after = (before + 1).min(last);
    }
    (at(&rows[after]) > at(&rows[before])).then(|| (&rows[before], &rows[after]))
}

/// Idle time in a window; a gap that it cuts counts by the share of it that is within.
fn idle_in(gaps: &[IdleGap], window: Window) -> u64 {
    let first = gaps.partition_point(|gap| gap.end_mono_ns <= window.start_ns);
    let within = gaps[first..].iter().take_while(|gap| gap.start_mono_ns < window.end_ns);
    within
        .map(|gap| {
            let cut = gap.end_mono_ns.min(window.end_ns) - gap.start_mono_ns.max(window.start_ns);
            gap.idle_ns.min(cut)
        })
        .sum()
}

fn ratio(before: Option<u64>, after: Option<u64>, whole: u64) -> Option<f64> {
    let part = after?.saturating_sub(before?);
    (whole > 0).then(|| (part as f64 / whole as f64).min(1.0))
}

fn greater(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

fn per(after_ns: u64, before_ns: u64, after: u64, before: u64) -> Option<u64> {
    after_ns.saturating_sub(before_ns).checked_div(after.saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_window_is_told_by_the_samples_around_it() {
        let cgroups = (0..4)
            .map(|at| CgroupSampleRow {
                ts_mono_ns: at * SECOND,
                path: "/llm".into(),
                version: 1,
                quota_ns: Some(50_000_000),
                period_ns: Some(100_000_000),
                periods: Some(at * 10),
                throttled_periods: Some(if at >= 2 { (at - 1) * 8 } else { 0 }),
                refaults_file: Some(at * at * 100),
                ..CgroupSampleRow::default()
            })
            .collect();
        let disks = (0..4)
            .map(|at| DiskSampleRow {
                ts_mono_ns: at * SECOND,
                device: "vda".into(),
                reads: at * 4,
                read_ns: at * 4 * 25_000_000,
                ..DiskSampleRow::default()
            })
            .collect();
        let mut samples = Samples::new(Vec::new(), cgroups, disks);
        samples.page_fault(&PageFaultRow {
            ts_mono_ns: SECOND,
            dur_ns: SECOND,
            major: 3,
            ..PageFaultRow::default()
        });
        let early = samples.about(Window { start_ns: 10, end_ns: SECOND / 2 });
        assert_eq!((early.throttled_periods_ratio, early.major_faults), (Some(0.0), 0));
        let late = samples.about(Window { start_ns: SECOND + 10, end_ns: SECOND + 20 });
        assert_eq!((late.throttled_periods_ratio, late.major_faults), (Some(0.8), 3));
        assert_eq!(late.quota.as_deref(), Some("/llm: 50 ms in 100 ms"));
        assert_eq!(late.refaults_per_second, Some(300.0));
        assert_eq!((late.disk_await_ns, late.disk.as_deref()), (Some(25_000_000), Some("vda")));
        assert_eq!(late.gpu_idle_ns, None, "not sampled");
        let gap = |start_mono_ns, end_mono_ns| IdleGap { start_mono_ns, end_mono_ns, idle_ns: 6 };
        samples.gpu_idle(vec![gap(0, 10), gap(20, 30), gap(40, 50)]);
        assert_eq!(samples.about(Window { start_ns: 7, end_ns: 42 }).gpu_idle_ns, Some(3 + 6 + 2));
        let beyond = samples.about(Window { start_ns: 9 * SECOND, end_ns: 10 * SECOND });
        assert_eq!(beyond.throttled_periods_ratio, Some(0.8), "the last there are");
        assert_eq!(Samples::default().about(Window { start_ns: 0, end_ns: 1 }), Beside::default());
    }

    #[test]
    fn waits_for_memory_and_refaults_are_those_of_the_cgroup_that_the_target_is_in() {
        let cgroup = |path: &str, waited_ns: u64| {
            let path = path.to_owned();
            (0..2).map(move |at| CgroupSampleRow {
                ts_mono_ns: at * SECOND,
                path: path.clone(),
                version: 2,
                memory_some_ns: Some(at * waited_ns),
                refaults_file: Some(at * waited_ns / 1_000_000),
                ..CgroupSampleRow::default()
            })
        };
        let host = |at| HostSampleRow {
            ts_mono_ns: at * SECOND,
            memory_some_ns: Some(at * SECOND * 9 / 10),
            ..HostSampleRow::default()
        };
        let hosts = vec![host(0), host(1)];
        let window = Window { start_ns: 10, end_ns: 20 };
        let about = |cgroups| {
            let beside = Samples::new(hosts.clone(), cgroups, Vec::new()).about(window);
            (beside.memory_some_ratio, beside.refaults_per_second)
        };
        assert_eq!(about(Vec::new()), (Some(0.9), None), "the machine's, where no cgroup tells");
        let of = |inner_ns| cgroup("/llm", SECOND / 2).chain(cgroup("/llm/engine", inner_ns)).collect();
        assert_eq!(about(of(SECOND / 4)), (Some(0.25), Some(250.0)));
        assert_eq!(about(of(0)), (Some(0.0), Some(0.0)), "others' waits");
    }
}
