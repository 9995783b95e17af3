//! The machine, from `/proc/{stat,loadavg,meminfo}` and `/proc/pressure`.

use super::{
    file::{Kept, Reader, field},
    process::tick_ns,
};
use crate::{clock, table::HostSampleRow};

/// The machine's files.
#[derive(Debug)]
pub struct Host {
    tick_ns: u64,
    stat: Kept,
    load: Kept,
    memory: Kept,
    pressure: [Kept; 4],
    has_pressure: bool,
}

impl Host {
    /// Of the running machine.
    pub fn new() -> Self {
        let pressure = ["cpu", "memory", "io", "irq"].map(|what| Kept::new(format!("/proc/pressure/{what}")));
        Self {
            tick_ns: tick_ns(),
            stat: Kept::new("/proc/stat"),
            load: Kept::new("/proc/loadavg"),
            memory: Kept::new("/proc/meminfo"),
            pressure,
            has_pressure: std::fs::read("/proc/pressure/cpu").is_ok(),
        }
    }

    /// Reads them.
    pub fn sample(&mut self, reader: &mut Reader) -> Option<HostSampleRow> {
        let mut row = HostSampleRow { ts_mono_ns: clock::mono().0, ..HostSampleRow::default() };
        stat(&mut row, &reader.read(&mut self.stat).ok()?, self.tick_ns)?;
        row.load1 = reader.read(&mut self.load).ok().and_then(|text| text.split(' ').next()?.parse().ok());
        if let Ok(text) = reader.read(&mut self.memory) {
            memory(&mut row, &text);
        }
        if self.has_pressure {
            let mut read = |at: usize| {
                reader.read(&mut self.pressure[at]).map(|text| pressure(&text)).unwrap_or_default()
            };
            // That of `full` means nothing for the CPUs of a whole machine: always 0.
            row.cpu_some_ns = read(0).some_ns;
            Pressure { some_ns: row.memory_some_ns, full_ns: row.memory_full_ns } = read(1);
            Pressure { some_ns: row.io_some_ns, full_ns: row.io_full_ns } = read(2);
            row.irq_full_ns = read(3).full_ns;
        }
        Some(row)
    }

    /// Whether the kernel tells no pressure.
    pub fn note(&self) -> Option<String> {
        (!self.has_pressure).then(|| {
            "read /proc/pressure: not there, so the pressure columns are null (needs CONFIG_PSI, and psi=1 on \
             the kernel's command line where it is off by default)"
                .to_owned()
        })
    }
}

/// Pressure since boot, or since a cgroup was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Some task waited.
    pub some_ns: Option<u64>,
    /// All tasks that were not idle did.
    pub full_ns: Option<u64>,
}

/// A pressure file: `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`, in microseconds, and so `full`.
pub fn pressure(text: &str) -> Pressure {
    let total = |kind: &str| {
        let line = text.lines().find(|line| line.starts_with(kind))?;
        let micros: u64 = line.rsplit_once("total=")?.1.trim().parse().ok()?;
        Some(micros * 1000)
    };
    Pressure { some_ns: total("some "), full_ns: total("full ") }
}

fn stat(row: &mut HostSampleRow, text: &str, tick_ns: u64) -> Option<()> {
    let mut lines = text.lines();
    let mut ticks = lines.next()?.strip_prefix("cpu ")?.split_whitespace();
    // Kernels before 2.6.33 have fewer.
    let mut next = || -> u64 { ticks.next().and_then(|ticks| ticks.parse().ok()).unwrap_or(0) * tick_ns };
    row.user_ns = next();
    row.nice_ns = next();
    row.system_ns = next();
    row.idle_ns = next();
    row.iowait_ns = next();
    row.irq_ns = next();
    row.softirq_ns = next();
    row.steal_ns = next();
    row.guest_ns = next();
    row.cpus = lines.take_while(|line| line.starts_with("cpu")).count() as u32;
    row.switches = field(text, "ctxt")?;
    row.forks = field(text, "processes")?;
    row.runnable = field(text, "procs_running")?;
    row.blocked = field(text, "procs_blocked")?;
    Some(())
}

fn memory(row: &mut HostSampleRow, text: &str) {
    let bytes = |name| field(text, name).map(|kib| kib * 1024);
    row.memory_available_bytes = bytes("MemAvailable");
    row.memory_free_bytes = bytes("MemFree");
    row.cached_bytes = bytes("Cached");
    row.dirty_bytes = bytes("Dirty");
    row.swap_used_bytes =
        bytes("SwapTotal").zip(bytes("SwapFree")).map(|(all, free)| all.saturating_sub(free));
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  589044 842715 188025 952934 7594 5 1734 8943 3 0\n\
                        cpu0 286438 420290 89925 492777 1633 0 113 4405 0 0\n\
                        cpu1 302606 422425 98100 460157 5960 0 1620 4537 0 0\n\
                        intr 26257945 0 0 1 1 15\nctxt 76133579\nbtime 1795458410\nprocesses 134115\n\
                        procs_running 1\nprocs_blocked 2\nsoftirq 2794469 0 489933 7 90664\n";

    #[test]
    fn times_of_cpus_are_nanoseconds_and_cpus_are_counted() {
        let mut row = HostSampleRow::default();
        stat(&mut row, STAT, 10_000_000).unwrap();
        assert_eq!(
            (row.user_ns, row.steal_ns, row.guest_ns),
            (5_890_440_000_000, 89_430_000_000, 30_000_000)
        );
        assert_eq!((row.irq_ns, row.softirq_ns, row.iowait_ns), (50_000_000, 17_340_000_000, 75_940_000_000));
        assert_eq!((row.cpus, row.switches, row.forks), (2, 76_133_579, 134_115));
        assert_eq!((row.runnable, row.blocked), (1, 2));
        assert_eq!(stat(&mut row, "intr 5\n", 1), None);
    }

    #[test]
    fn pressure_is_its_total_and_what_is_not_told_is_null() {
        let text = "some avg10=1.62 avg60=0.67 avg300=0.27 total=130289393\nfull avg10=1.61 avg60=0.65 avg300=0.22 \
                    total=52642369\n";
        assert_eq!(
            pressure(text),
            Pressure { some_ns: Some(130_289_393_000), full_ns: Some(52_642_369_000) }
        );
        assert_eq!(pressure("full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n").some_ns, None);
        assert_eq!(pressure(""), Pressure::default());
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let mut row = HostSampleRow::default();
        memory(
            &mut row,
            "MemFree:        17922300 kB\nMemAvailable:   23488452 kB\nCached:          4954512 kB\nSwapCached: 9 kB\n\
             SwapTotal:      10 kB\nSwapFree:       4 kB\n",
        );
        assert_eq!(row.memory_free_bytes, Some(17_922_300 << 10));
        assert_eq!((row.cached_bytes, row.swap_used_bytes), (Some(4_954_512 << 10), Some(6 << 10)));
        assert_eq!(row.dirty_bytes, None);
    }
}
