//! The machine during a recording, from its samples: how busy, short of what, and what of that the target had.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use serde::Serialize;

use super::{
    columns::{
        Align::{Left, Right},
        Columns,
    },
    model::Report,
    text::{NAME_WIDTH, heading, join, more},
};
use crate::{
    humane::{bytes, count, duration, fitted, plural, printable, share},
    recording::{Recording, RecordingError},
    table::{CgroupSampleRow, DiskSampleRow, HostSampleRow, ProcessSampleRow},
};

/// From here on, time that the hypervisor or interrupts took is said in words.
const NOTABLE_RATIO: f64 = 0.01;

/// The machine between the first sample and the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Host {
    pub samples: u64,
    /// From the first to the last.
    pub sampled_ns: u64,
    pub cpus: u32,
    /// Shares of all CPUs' time; null, as all ratios here, where there is one sample or they are not told.
    pub busy_ratio: Option<f64>,
    pub iowait_ratio: Option<f64>,
    /// What the hypervisor gave to others.
    pub steal_ratio: Option<f64>,
    /// Interrupts and softirqs.
    pub irq_ratio: Option<f64>,
    /// Tasks that ran or were runnable, at the instants of the samples.
    pub runnable_mean: f64,
    pub runnable_max: u64,
    pub pressure: Pressure,
    /// Those that did anything, busiest first.
    pub disks: Vec<Disk>,
    /// Of the target, by path.
    pub cgroups: Vec<Cgroup>,
    /// Of the target, by id.
    pub processes: Vec<Process>,
}

/// Shares of the time in which tasks waited for something: some task, or all that were not idle.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(clippy::struct_field_names, reason = "a unit ends a name")]
pub struct Pressure {
    pub cpu_some_ratio: Option<f64>,
    pub memory_some_ratio: Option<f64>,
    pub memory_full_ratio: Option<f64>,
    pub io_some_ratio: Option<f64>,
    pub io_full_ratio: Option<f64>,
    pub irq_full_ratio: Option<f64>,
}

/// A disk between two samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Disk {
    pub device: String,
    pub util_ratio: f64,
    /// Of the busiest interval between two samples.
    pub util_max_ratio: f64,
    pub reads: u64,
    pub read_bytes: u64,
    /// Mean time of a read; null where there was none.
    pub read_await_ns: Option<u64>,
    pub writes: u64,
    pub write_bytes: u64,
    pub write_await_ns: Option<u64>,
}

/// A cgroup between two samples; null is what is not told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Cgroup {
    pub path: String,
    pub version: u16,
    pub cpu_ns: Option<u64>,
    pub quota_ns: Option<u64>,
    pub period_ns: Option<u64>,
    pub periods: Option<u64>,
    pub throttled_periods: Option<u64>,
    pub throttled_ns: Option<u64>,
    pub memory_bytes_max: Option<u64>,
    pub memory_max_bytes: Option<u64>,
    pub refaults_file: Option<u64>,
    pub oom_kills: Option<u64>,
}

/// A process between two samples; null is what is not told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Process {
    pub tgid: u32,
    pub cpu_ns: Option<u64>,
    pub rss_first_bytes: Option<u64>,
    pub rss_last_bytes: Option<u64>,
    pub rss_max_bytes: Option<u64>,
    pub disk_read_bytes: Option<u64>,
    pub disk_write_bytes: Option<u64>,
    /// From the beginning of its recording.
    pub network_tx_bytes: Option<u64>,
    pub network_rx_bytes: Option<u64>,
}

/// Reads the samples of a recording; `None` where there are none.
///
/// # Errors
///
/// A table cannot be read.
pub fn host(recording: &Recording) -> Result<Option<Host>, RecordingError> {
    Ok(Host::of(&recording.all()?, &recording.all()?, &recording.all()?, &recording.all()?))
}

impl Host {
    /// From the rows of the tables, each in the order of time.
    pub fn of(
        hosts: &[HostSampleRow],
        disks: &[DiskSampleRow],
        cgroups: &[CgroupSampleRow],
        processes: &[ProcessSampleRow],
    ) -> Option<Self> {
        let (first, last) = (hosts.first()?, hosts.last()?);
        let sampled_ns = last.ts_mono_ns - first.ts_mono_ns;
        let of_cpus = |part: fn(&HostSampleRow) -> u64| {
            let whole = cpu_time(last).checked_sub(cpu_time(first)).filter(|whole| *whole > 0)?;
            Some(part(last).saturating_sub(part(first)) as f64 / whole as f64)
        };
        let of_time = |part: fn(&HostSampleRow) -> Option<u64>| {
            let waited = part(last)?.saturating_sub(part(first)?);
            // The clocks of both are not quite the same.
            (sampled_ns > 0).then(|| (waited as f64 / sampled_ns as f64).min(1.0))
        };
        Some(Self {
            samples: hosts.len() as u64,
            sampled_ns,
            cpus: last.cpus,
            busy_ratio: of_cpus(|row| {
                row.user_ns + row.nice_ns + row.system_ns + row.irq_ns + row.softirq_ns
            }),
            iowait_ratio: of_cpus(|row| row.iowait_ns),
            steal_ratio: of_cpus(|row| row.steal_ns),
            irq_ratio: of_cpus(|row| row.irq_ns + row.softirq_ns),
            runnable_mean: hosts.iter().map(|row| row.runnable).sum::<u64>() as f64 / hosts.len() as f64,
            runnable_max: hosts.iter().map(|row| row.runnable).max().unwrap_or(0),
            pressure: Pressure {
                cpu_some_ratio: of_time(|row| row.cpu_some_ns),
                memory_some_ratio: of_time(|row| row.memory_some_ns),
                memory_full_ratio: of_time(|row| row.memory_full_ns),
                io_some_ratio: of_time(|row| row.io_some_ns),
                io_full_ratio: of_time(|row| row.io_full_ns),
                irq_full_ratio: of_time(|row| row.irq_full_ns),
            },
            disks: grouped(disks, |row| row.device.clone(), disk),
            cgroups: grouped(cgroups, |row| (row.path.clone(), row.version), |rows| Some(cgroup(rows))),
            processes: grouped(processes, |row| row.tgid, |rows| Some(process(rows))),
        })
        .map(|mut host| {
            host.disks.sort_by(|one, other| other.util_ratio.total_cmp(&one.util_ratio));
            host
        })
    }
}

fn cpu_time(row: &HostSampleRow) -> u64 {
    row.user_ns
        + row.nice_ns
        + row.system_ns
        + row.idle_ns
        + row.iowait_ns
        + row.irq_ns
        + row.softirq_ns
        + row.steal_ns
}

/// What `of` makes of the rows of each key.
fn grouped<R, K: Ord, T>(rows: &[R], key: impl Fn(&R) -> K, of: impl Fn(&[&R]) -> Option<T>) -> Vec<T> {
    let mut groups: BTreeMap<K, Vec<&R>> = BTreeMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups.values().filter_map(|rows| of(rows)).collect()
}

/// By how much a counter grew between the first and the last row that tell it; `None` where one does.
fn growth<R>(rows: &[&R], counter: fn(&R) -> Option<u64>) -> Option<u64> {
    let mut told = rows.iter().filter_map(|row| counter(row));
    let first = told.next()?;
    Some(told.next_back()?.saturating_sub(first))
}

fn last<R>(rows: &[&R], value: fn(&R) -> Option<u64>) -> Option<u64> {
    rows.iter().rev().find_map(|row| value(row))
}

/// `None` for one that did nothing.
fn disk(rows: &[&DiskSampleRow]) -> Option<Disk> {
    let (first, last) = (rows.first()?, rows.last()?);
    let sampled_ns = last.ts_mono_ns - first.ts_mono_ns;
    let of = |counter: fn(&DiskSampleRow) -> u64| counter(last).saturating_sub(counter(first));
    let (reads, writes, busy_ns) = (of(|row| row.reads), of(|row| row.writes), of(|row| row.busy_ns));
    (sampled_ns > 0 && busy_ns > 0).then(|| Disk {
        device: last.device.clone(),
        util_ratio: (busy_ns as f64 / sampled_ns as f64).min(1.0),
        util_max_ratio: rows.iter().filter_map(|row| row.util_ratio).fold(0.0, f64::max),
        reads,
        read_bytes: of(|row| row.read_bytes),
        read_await_ns: of(|row| row.read_ns).checked_div(reads),
        writes,
        write_bytes: of(|row| row.write_bytes),
        write_await_ns: of(|row| row.write_ns).checked_div(writes),
    })
}

fn cgroup(rows: &[&CgroupSampleRow]) -> Cgroup {
    Cgroup {
        path: rows[0].path.clone(),
        version: rows[0].version,
        cpu_ns: growth(rows, |row| row.cpu_ns),
        quota_ns: last(rows, |row| row.quota_ns),
        period_ns: last(rows, |row| row.period_ns),
        periods: growth(rows, |row| row.periods),
        throttled_periods: growth(rows, |row| row.throttled_periods),
        throttled_ns: growth(rows, |row| row.throttled_ns),
        memory_bytes_max: rows.iter().filter_map(|row| row.memory_bytes).max(),
        memory_max_bytes: last(rows, |row| row.memory_max_bytes),
        refaults_file: growth(rows, |row| row.refaults_file),
        oom_kills: growth(rows, |row| row.oom_kills),
    }
}

fn process(rows: &[&ProcessSampleRow]) -> Process {
    Process {
        tgid: rows[0].tgid,
        cpu_ns: growth(rows, |row| row.cpu_ns),
        rss_first_bytes: rows.iter().find_map(|row| row.rss_bytes),
        rss_last_bytes: last(rows, |row| row.rss_bytes),
        rss_max_bytes: rows.iter().filter_map(|row| row.rss_bytes).max(),
        disk_read_bytes: growth(rows, |row| row.disk_read_bytes),
        disk_write_bytes: growth(rows, |row| row.disk_write_bytes),
        network_tx_bytes: last(rows, |row| row.network_tx_bytes),
        network_rx_bytes: last(rows, |row| row.network_rx_bytes),
    }
}

/// Sets it as text.
pub fn write(out: &mut String, report: &Report, shown: usize) -> fmt::Result {
    let Some(host) = &report.host else { return Ok(()) };
    let samples = plural(host.samples, "sample");
    heading(out, "HOST", &format!("{samples} over {}", duration(host.sampled_ns)))?;
    cpus(out, host)?;
    pressure(out, &host.pressure)?;
    disks(out, &host.disks)?;
    cgroups(out, &host.cgroups)?;
    processes(out, report, &host.processes, shown)
}

fn percent(ratio: f64) -> String {
    const WHOLE: f64 = 1e9;
    share((ratio * WHOLE) as u64, WHOLE as u64)
}

fn cpus(out: &mut String, host: &Host) -> fmt::Result {
    let told = |what: &str, ratio: Option<f64>| {
        ratio.map(|ratio| format!("{what} {}", percent(ratio))).unwrap_or_default()
    };
    let queue = format!("run queue {:.1} on average, {} at most", host.runnable_mean, host.runnable_max);
    join(
        out,
        "cpu      ",
        vec![
            told(&format!("{} busy", plural(host.cpus.into(), "CPU")), host.busy_ratio),
            told("idle for storage", host.iowait_ratio),
            told("steal", host.steal_ratio),
            told("interrupts", host.irq_ratio),
            queue,
        ],
    )?;
    let notable = |ratio: Option<f64>| ratio.filter(|ratio| *ratio > NOTABLE_RATIO).map(percent);
    if let Some(share) = notable(host.steal_ratio) {
        writeln!(
            out,
            "NOTE     the hypervisor gave {share} of the CPU time to others while this machine wanted it: on-CPU times \
             hold that"
        )?;
    }
    if let Some(share) = notable(host.irq_ratio) {
        writeln!(
            out,
            "NOTE     interrupts took {share} of the CPU time: on-CPU times hold what fell on each thread"
        )?;
    }
    Ok(())
}

fn pressure(out: &mut String, pressure: &Pressure) -> fmt::Result {
    let told = |what: &str, some: Option<f64>, full: Option<f64>| {
        let part = |kind: &str, ratio: Option<f64>| ratio.map(|ratio| format!("{kind} {}", percent(ratio)));
        let parts: Vec<String> = [part("some", some), part("all", full)].into_iter().flatten().collect();
        if parts.is_empty() { String::new() } else { format!("{what} {}", parts.join(", ")) }
    };
    join(
        out,
        "pressure ",
        vec![
            told("cpu", pressure.cpu_some_ratio, None),
            told("memory", pressure.memory_some_ratio, pressure.memory_full_ratio),
            told("storage", pressure.io_some_ratio, pressure.io_full_ratio),
            told("interrupts", None, pressure.irq_full_ratio),
        ],
    )
}

fn disks(out: &mut String, disks: &[Disk]) -> fmt::Result {
    let Some(disk) = disks.first() else { return Ok(()) };
    let calls = |what: &str, operations: u64, size: u64, wait: Option<u64>| match wait {
        Some(wait) => format!("{} {what}, {}, {} each", count(operations), bytes(size), duration(wait)),
        None => String::new(),
    };
    let name = printable(&disk.device);
    let util = format!("{name} busy {}, {} at most", percent(disk.util_ratio), percent(disk.util_max_ratio));
    let others = disks.len() - 1;
    join(
        out,
        "disk     ",
        vec![
            util,
            calls("reads", disk.reads, disk.read_bytes, disk.read_await_ns),
            calls("writes", disk.writes, disk.write_bytes, disk.write_await_ns),
            if others > 0 {
                format!("{} less busy", plural(others as u64, "other disk"))
            } else {
                String::new()
            },
        ],
    )
}

fn cgroups(out: &mut String, cgroups: &[Cgroup]) -> fmt::Result {
    for cgroup in cgroups {
        let throttled = cgroup.throttled_periods.unwrap_or(0);
        let oom_kills = cgroup.oom_kills.unwrap_or(0);
        if throttled == 0 && oom_kills == 0 {
            continue;
        }
        let quota = cgroup.quota_ns.zip(cgroup.period_ns).filter(|(_, period)| *period > 0);
        let mut parts = vec![printable(&cgroup.path)];
        if throttled > 0 {
            let periods = cgroup.periods.unwrap_or(0);
            parts.extend([
                format!(
                    "throttled in {} of {} ({})",
                    count(throttled),
                    plural(periods, "period"),
                    share(throttled, periods)
                ),
                cgroup
                    .throttled_ns
                    .map(|ns| format!("{} of its CPUs' queues", duration(ns)))
                    .unwrap_or_default(),
                quota
                    .map(|(quota, period)| format!("quota {:.2} CPUs", quota as f64 / period as f64))
                    .unwrap_or_default(),
            ]);
        }
        if oom_kills > 0 {
            parts.push(format!("{} killed for want of memory", plural(oom_kills, "process")));
        }
        join(out, "cgroup   ", parts)?;
    }
    Ok(())
}

fn processes(out: &mut String, report: &Report, processes: &[Process], shown: usize) -> fmt::Result {
    let network = processes.iter().any(|process| process.network_tx_bytes.is_some());
    let mut heads = vec![
        ("PID", Right),
        ("NAME", Left),
        ("CPU", Right),
        ("RSS FIRST", Right),
        ("LAST", Right),
        ("MOST", Right),
        ("DISK READ", Right),
        ("WRITTEN", Right),
    ];
    if network {
        heads.extend([("SENT", Right), ("RECEIVED", Right)]);
    }
    let mut columns = Columns::new(&heads);
    let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), bytes);
    let mut largest: Vec<&Process> = processes.iter().collect();
    largest.sort_by_key(|process| std::cmp::Reverse(process.rss_max_bytes));
    for process in largest.iter().take(shown) {
        let name = report.processes.iter().find(|known| known.tgid == process.tgid);
        let mut cells = vec![
            process.tgid.to_string(),
            name.map_or_else(|| "-".to_owned(), |known| fitted(&known.comm, NAME_WIDTH)),
            process.cpu_ns.map_or_else(|| "-".to_owned(), duration),
            size(process.rss_first_bytes),
            size(process.rss_last_bytes),
            size(process.rss_max_bytes),
            size(process.disk_read_bytes),
            size(process.disk_write_bytes),
        ];
        if network {
            cells.extend([size(process.network_tx_bytes), size(process.network_rx_bytes)]);
        }
        columns.row(cells);
    }
    if !processes.is_empty() {
        write!(out, "{columns}")?;
    }
    more(out, processes.len().saturating_sub(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn hosts(steal_ns: u64, softirq_ns: u64) -> Vec<HostSampleRow> {
        let first =
            HostSampleRow { ts_mono_ns: 5 * SECOND, cpus: 2, runnable: 1, ..HostSampleRow::default() };
        let last = HostSampleRow {
            ts_mono_ns: 15 * SECOND,
            user_ns: 4 * SECOND,
            idle_ns: 16 * SECOND - steal_ns - softirq_ns,
            steal_ns,
            softirq_ns,
            runnable: 4,
            memory_some_ns: Some(SECOND),
            ..first.clone()
        };
        vec![HostSampleRow { memory_some_ns: Some(0), ..first }, last]
    }

    fn process(seconds: u64, rss: Option<u64>, sent: u64) -> ProcessSampleRow {
        ProcessSampleRow {
            ts_mono_ns: seconds * SECOND,
            tgid: 7,
            rss_bytes: rss,
            cpu_ns: rss.map(|_| seconds * SECOND),
            network_tx_bytes: Some(sent),
            ..ProcessSampleRow::default()
        }
    }

    #[test]
    fn shares_are_of_what_happened_between_the_samples() {
        let host = Host::of(&hosts(0, 0), &[], &[], &[]).unwrap();
        assert_eq!((host.busy_ratio, host.steal_ratio), (Some(0.2), Some(0.0)));
        assert_eq!((host.pressure.memory_some_ratio, host.pressure.io_some_ratio), (Some(0.1), None));
        assert_eq!((host.runnable_mean, host.runnable_max), (2.5, 4));
        let alone = Host::of(&hosts(0, 0)[..1], &[], &[], &[]).unwrap();
        assert_eq!((alone.busy_ratio, alone.pressure), (None, Pressure::default()));
        assert_eq!(Host::of(&[], &[], &[], &[]), None);
    }

    #[test]
    fn steal_and_interrupts_above_a_hundredth_are_said_in_words() {
        let text = |steal, softirq| {
            let mut out = String::new();
            cpus(&mut out, &Host::of(&hosts(steal, softirq), &[], &[], &[]).unwrap()).unwrap();
            out
        };
        assert!(!text(SECOND / 10, SECOND / 10).contains("NOTE"));
        let stolen = text(SECOND, 0);
        assert!(
            stolen.contains("the hypervisor gave 5.0%") && !stolen.contains("interrupts took"),
            "{stolen}"
        );
        assert!(text(0, SECOND).contains("interrupts took 5.0%"));
    }

    #[test]
    fn a_process_keeps_its_memory_when_its_last_row_is_of_its_network_alone() {
        let rows =
            [process(1, Some(10), 0), process(2, Some(30), 5), process(3, Some(20), 6), process(4, None, 9)];
        let host = Host::of(&hosts(0, 0), &[], &[], &rows).unwrap();
        let process = &host.processes[0];
        assert_eq!(
            (process.rss_first_bytes, process.rss_last_bytes, process.rss_max_bytes),
            (Some(10), Some(20), Some(30))
        );
        assert_eq!((process.cpu_ns, process.network_tx_bytes), (Some(2 * SECOND), Some(9)));
        assert_eq!((process.network_rx_bytes, process.disk_read_bytes), (None, None));
    }

    #[test]
    fn a_cgroup_that_was_not_throttled_meanwhile_is_not_spoken_of() {
        let row = |seconds: u64, throttled: u64| CgroupSampleRow {
            ts_mono_ns: seconds * SECOND,
            path: "/pod".to_owned(),
            version: 2,
            quota_ns: Some(SECOND / 20),
            period_ns: Some(SECOND / 10),
            periods: Some(10 * seconds),
            throttled_periods: Some(throttled),
            throttled_ns: Some(throttled * SECOND / 20),
            ..CgroupSampleRow::default()
        };
        let text = |rows: &[CgroupSampleRow]| {
            let mut out = String::new();
            cgroups(&mut out, &Host::of(&hosts(0, 0), &[], rows, &[]).unwrap().cgroups).unwrap();
            out
        };
        assert_eq!(text(&[row(1, 8), row(3, 8)]), "");
        assert_eq!(
            text(&[row(1, 8), row(3, 18)]),
            "cgroup   /pod · throttled in 10 of 20 periods (50.0%) · 500 ms of its CPUs' queues · quota 0.50 CPUs\n"
        );
    }

    #[test]
    fn the_busiest_disk_comes_first_and_an_idle_one_not_at_all() {
        let row = |seconds: u64, device: &str, busy: u64, util: Option<f64>| DiskSampleRow {
            ts_mono_ns: seconds * SECOND,
            device: device.to_owned(),
            busy_ns: busy * SECOND / 10,
            writes: busy,
            write_ns: busy * SECOND,
            util_ratio: util,
            ..DiskSampleRow::default()
        };
        let rows = [
            row(1, "vda", 0, None),
            row(1, "vdb", 0, None),
            row(1, "vdc", 3, None),
            row(11, "vda", 10, Some(0.1)),
            row(11, "vdb", 50, Some(0.9)),
            row(11, "vdc", 3, Some(0.0)),
        ];
        let host = Host::of(&hosts(0, 0), &rows, &[], &[]).unwrap();
        let told: Vec<_> = host.disks.iter().map(|disk| (disk.device.as_str(), disk.util_ratio)).collect();
        assert_eq!(told, [("vdb", 0.5), ("vda", 0.1)]);
        let busiest = &host.disks[0];
        assert_eq!((busiest.util_max_ratio, busiest.writes, busiest.write_await_ns), (0.9, 50, Some(SECOND)));
        assert_eq!(busiest.read_await_ns, None);
    }
}
