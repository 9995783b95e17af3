//! A cgroup of version 2: one folder.

use super::{Folders, layout::UNIFIED};
use crate::{
    sampler::{
        file::{Kept, Reader, field},
        host::pressure,
    },
    table::CgroupSampleRow,
};

/// Its files; those of controllers it lacks are not there.
#[derive(Debug)]
pub struct Files {
    cpu_stat: Kept,
    cpu_max: Kept,
    memory_current: Kept,
    memory_max: Kept,
    memory_high: Kept,
    memory_swap: Kept,
    memory_stat: Kept,
    memory_events: Kept,
    io_stat: Kept,
    cpu_pressure: Kept,
    memory_pressure: Kept,
    io_pressure: Kept,
}

impl Files {
    pub fn new(folders: &Folders) -> Self {
        let folder = folders.get(UNIFIED).cloned().unwrap_or_default();
        let file = |name: &str| Kept::new(folder.join(name));
        Self {
            cpu_stat: file("cpu.stat"),
            cpu_max: file("cpu.max"),
            memory_current: file("memory.current"),
            memory_max: file("memory.max"),
            memory_high: file("memory.high"),
            memory_swap: file("memory.swap.current"),
            memory_stat: file("memory.stat"),
            memory_events: file("memory.events"),
            io_stat: file("io.stat"),
            cpu_pressure: file("cpu.pressure"),
            memory_pressure: file("memory.pressure"),
            io_pressure: file("io.pressure"),
        }
    }

    pub fn read(&mut self, reader: &mut Reader, row: &mut CgroupSampleRow) {
        let mut with = |file: &mut Kept, parse: fn(&mut CgroupSampleRow, &str)| {
            if let Ok(text) = reader.read(file) {
                parse(row, &text);
            }
        };
        with(&mut self.cpu_stat, cpu_stat);
        with(&mut self.cpu_max, cpu_max);
        // `max`, which is no number, is no limit.
        with(&mut self.memory_current, |row, text| row.memory_bytes = text.trim().parse().ok());
        with(&mut self.memory_max, |row, text| row.memory_max_bytes = text.trim().parse().ok());
        with(&mut self.memory_high, |row, text| row.memory_high_bytes = text.trim().parse().ok());
        with(&mut self.memory_swap, |row, text| row.swap_bytes = text.trim().parse().ok());
        with(&mut self.memory_stat, memory_stat);
        with(&mut self.memory_events, memory_events);
        with(&mut self.io_stat, io_stat);
        with(&mut self.cpu_pressure, |row, text| {
            let told = pressure(text);
            (row.cpu_some_ns, row.cpu_full_ns) = (told.some_ns, told.full_ns);
        });
        with(&mut self.memory_pressure, |row, text| {
            let told = pressure(text);
            (row.memory_some_ns, row.memory_full_ns) = (told.some_ns, told.full_ns);
        });
        with(&mut self.io_pressure, |row, text| {
            let told = pressure(text);
            (row.io_some_ns, row.io_full_ns) = (told.some_ns, told.full_ns);
        });
    }
}

fn cpu_stat(row: &mut CgroupSampleRow, text: &str) {
    let ns = |name| field(text, name).map(|micros| micros * 1000);
    row.cpu_ns = ns("usage_usec");
    row.user_ns = ns("user_usec");
    row.system_ns = ns("system_usec");
    row.periods = field(text, "nr_periods");
    row.throttled_periods = field(text, "nr_throttled");
    row.throttled_ns = ns("throttled_usec");
}

/// `20000 100000`, or `max 100000`: microseconds of quota and period.
fn cpu_max(row: &mut CgroupSampleRow, text: &str) {
    let mut ns = text.split_whitespace().map(|word| word.parse::<u64>().ok().map(|micros| micros * 1000));
    row.quota_ns = ns.next().flatten();
    row.period_ns = ns.next().flatten();
}

fn memory_stat(row: &mut CgroupSampleRow, text: &str) {
    row.anon_bytes = field(text, "anon");
    row.file_bytes = field(text, "file");
    row.faults = field(text, "pgfault");
    row.major_faults = field(text, "pgmajfault");
    row.refaults_file = field(text, "workingset_refault_file").or_else(|| field(text, "workingset_refault"));
    row.refaults_anon = field(text, "workingset_refault_anon");
    row.scanned_pages = field(text, "pgscan");
    row.reclaimed_pages = field(text, "pgsteal");
}

fn memory_events(row: &mut CgroupSampleRow, text: &str) {
    row.events_low = field(text, "low");
    row.events_high = field(text, "high");
    row.events_max = field(text, "max");
    row.events_oom = field(text, "oom");
    row.oom_kills = field(text, "oom_kill");
}

/// `254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`, a line a device; none where there was no I/O.
fn io_stat(row: &mut CgroupSampleRow, text: &str) {
    let sum = |name: &str| {
        let values = text.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Some(values.filter_map(|value| value.parse::<u64>().ok()).sum())
    };
    row.disk_read_bytes = sum("rbytes");
    row.disk_write_bytes = sum("wbytes");
    row.disk_reads = sum("rios");
    row.disk_writes = sum("wios");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(files: &[(&str, &str)]) -> CgroupSampleRow {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let mut row = CgroupSampleRow::default();
        let folders = Folders::from([(UNIFIED, dir.path().to_owned())]);
        Files::new(&folders).read(&mut Reader::default(), &mut row);
        row
    }

    #[test]
    fn a_throttled_cgroup_that_swaps_is_told_whole() {
        let row = read(&[
            (
                "cpu.stat",
                "usage_usec 1521517\nuser_usec 1400000\nsystem_usec 121517\nnice_usec 0\nnr_periods 50\n\
                 nr_throttled 40\nthrottled_usec 3200000\nnr_bursts 0\nburst_usec 0\n",
            ),
            ("cpu.max", "20000 100000\n"),
            ("memory.current", "104857600\n"),
            ("memory.max", "max\n"),
            ("memory.high", "209715200\n"),
            ("memory.swap.current", "4096\n"),
            (
                "memory.stat",
                "anon 8335360\nfile 9654272\nkernel 1000\nworkingset_refault_anon 7\nworkingset_refault_file 3968\n\
                 pgscan 12\npgsteal 11\npgscan_kswapd 5\npgfault 213978\npgmajfault 3\n",
            ),
            ("memory.events", "low 0\nhigh 5\nmax 2\noom 1\noom_kill 1\noom_group_kill 0\n"),
            (
                "io.stat",
                "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:0 rbytes=1 wbytes=0 rios=1 wios=0 \
                 dbytes=0 dios=0\n",
            ),
            ("cpu.pressure", "some avg10=1.00 total=9\nfull avg10=0.00 total=8\n"),
        ]);
        assert_eq!(
            (row.cpu_ns, row.user_ns, row.system_ns),
            (Some(1_521_517_000), Some(1_400_000_000), Some(121_517_000))
        );
        assert_eq!(
            (row.periods, row.throttled_periods, row.throttled_ns),
            (Some(50), Some(40), Some(3_200_000_000))
        );
        assert_eq!((row.quota_ns, row.period_ns), (Some(20_000_000), Some(100_000_000)));
        assert_eq!((row.memory_bytes, row.memory_max_bytes), (Some(100 << 20), None));
        assert_eq!((row.memory_high_bytes, row.swap_bytes), (Some(200 << 20), Some(4096)));
        assert_eq!((row.anon_bytes, row.file_bytes), (Some(8_335_360), Some(9_654_272)));
        assert_eq!((row.refaults_anon, row.refaults_file), (Some(7), Some(3968)));
        assert_eq!((row.scanned_pages, row.reclaimed_pages), (Some(12), Some(11)));
        assert_eq!((row.events_high, row.events_oom, row.oom_kills), (Some(5), Some(1), Some(1)));
        assert_eq!((row.disk_read_bytes, row.disk_write_bytes), (Some(4097), Some(8192)));
        assert_eq!((row.disk_reads, row.disk_writes), (Some(2), Some(2)));
        assert_eq!((row.cpu_some_ns, row.cpu_full_ns, row.io_some_ns), (Some(9000), Some(8000), None));
    }

    #[test]
    fn without_controllers_there_is_cpu_time_alone() {
        let row =
            read(&[("cpu.stat", "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"), ("cpu.max", "max 100000\n")]);
        assert_eq!(
            (row.cpu_ns, row.periods, row.quota_ns, row.period_ns),
            (Some(5000), None, None, Some(100_000_000))
        );
        assert_eq!((row.disk_reads, row.memory_bytes, row.faults), (None, None, None));
    }
}
